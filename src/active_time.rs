//! Active time: the time in which this process could run. Every deadline and every stall timer counts it.
//!
//! A process can be stopped, by SIGSTOP or in a frozen container. Servers answer meanwhile, and the clock of
//! the machine runs on. With that clock, every timer would expire at the moment when the process wakes,
//! before docfetch reads the answers. So a process that waits reads the clock at least every 250 ms. A gap of
//! more than 500 ms between two readings means that the process was stopped. Such a gap counts as 250 ms, or
//! as the processor time that the process used in it, where that is more.
//!
//! No timer wins over bytes that have arrived: before a timer expires, the runtime reads all sockets
//! ([`read_ready_sockets`]).

use std::cell::Cell;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A process that waits reads the clock at least this often.
const MAX_READING_INTERVAL: Duration = Duration::from_millis(250);
/// A longer gap between two readings of the clock means that the process was stopped.
const MAX_RUNNING_GAP: Duration = Duration::from_millis(500);
/// The processor time is read at most this often: that takes longer than to read the clock.
const MIN_PROCESSOR_TIME_INTERVAL: Duration = Duration::from_millis(100);
/// How often a task yields to the runtime before its timer expires. An answer passes several tasks, and
/// several reads of a socket, before docfetch has it.
const MAX_YIELDS: u32 = 64;
/// The task yields at least this often, also when that takes long.
const MIN_YIELDS: u32 = 4;
/// The task does not yield for longer than this: some peers send without end.
const MAX_YIELD_TIME: Duration = Duration::from_secs(1);

/// The clock of active time.
struct ActiveClock {
    /// The last reading of the machine's clock.
    last_reading: Option<Instant>,
    /// How long the process was stopped in all.
    stopped: Duration,
    /// The last reading of the processor time, and when that was.
    processor_time: Option<(Instant, Duration)>,
}

static CLOCK: Mutex<ActiveClock> = Mutex::new(ActiveClock::new());

impl ActiveClock {
    const fn new() -> Self {
        Self {
            last_reading: None,
            stopped: Duration::ZERO,
            processor_time: None,
        }
    }

    /// The active time when the machine's clock says `now`. Reads the `processor_time` of this process when
    /// the last reading is old.
    fn read(&mut self, now: Instant, processor_time: impl FnOnce() -> Duration) -> Instant {
        let last_reading = self.last_reading.replace(now).unwrap_or(now);
        let gap = now.saturating_duration_since(last_reading);
        let is_old = |(at, _)| now.saturating_duration_since(at) >= MIN_PROCESSOR_TIME_INTERVAL;
        if self.processor_time.is_none_or(is_old) {
            let used = processor_time();
            let (_, used_before) = self
                .processor_time
                .replace((now, used))
                .unwrap_or((now, used));
            if gap > MAX_RUNNING_GAP {
                let worked = used.saturating_sub(used_before);
                self.stopped += gap.saturating_sub(worked.max(MAX_READING_INTERVAL));
            }
        }
        now.checked_sub(self.stopped).unwrap_or(now)
    }
}

/// The processor time that this process has used so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The active time now. Compare it only with other instants of active time.
pub(crate) fn now() -> Instant {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    clock.read(Instant::now(), processor_time)
}

/// The active time since `then`, an instant of active time.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Waits for `work`, at most for `limit` of active time.
///
/// # Errors
/// [`Elapsed`], when `work` is not done after that, and after the runtime has read all sockets.
pub(crate) async fn timeout<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let began = now();
    loop {
        let left = limit.saturating_sub(since(began));
        if left.is_zero() {
            break;
        }
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(left.min(MAX_READING_INTERVAL)) => {}
        }
    }
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        () = read_ready_sockets() => Err(Elapsed),
    }
}

/// A time limit has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Waits until `time` has passed by the machine's clock. That time passes while this process is stopped, too:
/// a server that wants a pause does not stop with it.
pub(crate) async fn sleep(time: Duration) {
    let began = Instant::now();
    loop {
        now(); // so that the gap between two readings stays short
        let left = time.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(MAX_READING_INTERVAL)).await;
    }
}

/// Lets the runtime read all bytes that have arrived, and pass them to the tasks that wait for them. Returns
/// after about 1 s when more bytes arrive all the time.
pub(crate) async fn read_ready_sockets() {
    let began = now();
    for number in 0..MAX_YIELDS {
        tokio::task::yield_now().await;
        if number >= MIN_YIELDS && since(began) > MAX_YIELD_TIME {
            break;
        }
    }
}

thread_local! {
    /// How long this thread did blocking work, so that it read no connection.
    static BLOCKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Does blocking `work`, and excludes its time from every stall timer of this thread.
pub(crate) fn excluded_from_stall<T>(work: impl FnOnce() -> T) -> T {
    let began = now();
    let done = work();
    BLOCKED.set(BLOCKED.get() + since(began));
    done
}

/// Measures how long this thread waits for the network.
#[derive(Debug)]
pub(crate) struct StallTimer {
    began: Instant,
    blocked_before: Duration,
}

impl StallTimer {
    /// Starts the timer.
    pub(crate) fn start() -> Self {
        Self {
            began: now(),
            blocked_before: BLOCKED.get(),
        }
    }

    /// The active time since the start, without the work that is [`excluded_from_stall`].
    pub(crate) fn elapsed(&self) -> Duration {
        let blocked = BLOCKED.get().saturating_sub(self.blocked_before);
        since(self.began).saturating_sub(blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn a_stop_of_any_length_counts_as_one_reading_interval_and_work_as_work() {
        let start = Instant::now();
        let mut clock = ActiveClock::new();
        let mut at = |(millis, used)| {
            let now = start + Duration::from_millis(millis);
            let used = || Duration::from_millis(used);
            clock.read(now, used).duration_since(start).as_millis()
        };
        let readings = [
            (0, 0),
            (250, 0),
            (750, 0),
            (600_750, 0),
            (601_000, 0),
            (1_201_000, 0),
            // The process worked.
            (1_204_000, 3000),
            (1_205_000, 3600),
        ];
        let expected = [0, 250, 750, 1000, 1250, 1500, 4500, 5100];
        assert_eq!(readings.map(&mut at), expected);
    }

    /// Bytes arrive while the thread is kept from reading them, for longer than the limit.
    #[tokio::test]
    async fn no_timer_wins_over_bytes_that_have_arrived() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut sender = std::net::TcpStream::connect(address).unwrap();
        let (mut receiver, _) = listener.accept().await.unwrap();
        // Through another task, as in the HTTP library.
        let (hand_on, handed) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _ = hand_on.send(receiver.read_u8().await);
        });
        let keep = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sender.write_all(b"x").unwrap();
            std::thread::sleep(Duration::from_millis(400));
        };
        let limit = Duration::from_millis(200);
        let (read, ()) = tokio::join!(timeout(limit, handed), keep);
        assert!(read.is_ok());
    }

    #[test]
    fn blocking_work_counts_in_no_stall_timer() {
        let timer = StallTimer::start();
        let blocked = Duration::from_millis(300);
        excluded_from_stall(|| std::thread::sleep(blocked));
        let (counted, elapsed) = (timer.elapsed(), since(timer.began));
        assert!(
            counted <= elapsed.saturating_sub(Duration::from_millis(240)),
            "{counted:?}"
        );
    }

    #[tokio::test]
    async fn a_timeout_waits_until_its_limit() {
        for millis in [0, 20, 300] {
            let limit = Duration::from_millis(millis);
            let began = Instant::now();
            let waited = timeout(limit, std::future::pending::<()>()).await;
            assert_eq!(waited, Err(Elapsed));
            let took = began.elapsed();
            assert!(took >= limit, "{took:?}");
        }
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    }
}
