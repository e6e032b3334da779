//! Time in which this process ran: what every deadline and every silence is measured in.
//!
//! A process can be stopped (SIGSTOP, a frozen container) while its servers go on. The clock of the machine
//! goes on, too; so on waking, every timer would be over before anything that arrived meanwhile is read.
//! Here, the process looks at the clock at least every `SLICE` while it waits. A gap of more than twice
//! that is time in which it did not run (or was kept from waiting), and counts as one slice, or as the
//! processor time that was used in it.
//!
//! And no timer wins over bytes that have arrived: at its end, all that has arrived is read first
//! ([`turn`]).

use std::cell::Cell;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest time between two looks at the clock while something is waited for.
const SLICE: Duration = Duration::from_millis(250);
/// A longer time between two looks is a stop.
const STOP: Duration = Duration::from_millis(500);
/// The processor time is read no more often than this.
const SAMPLE: Duration = Duration::from_millis(100);
/// How often the runtime looks at its sockets and runs all that is ready before a timer is believed:
/// an answer goes through several tasks, and several reads.
const TURNS: u32 = 64;
/// It looks so often at least, and no longer than that when more keeps arriving.
const FEW_TURNS: u32 = 4;
const LONG_TURNS: Duration = Duration::from_secs(1);

/// The clock of this process.
struct Clock {
    seen: Option<Instant>,
    /// For how long the process did not run.
    lost: Duration,
    /// The processor time that the process had used, and when.
    used: Option<(Instant, Duration)>,
}

static CLOCK: Mutex<Clock> = Mutex::new(Clock {
    seen: None,
    lost: Duration::ZERO,
    used: None,
});

impl Clock {
    /// The time at which this clock would be, had the process never been stopped.
    fn look(&mut self, now: Instant, used: impl FnOnce() -> Duration) -> Instant {
        let seen = self.seen.replace(now).unwrap_or(now);
        let gap = now.saturating_duration_since(seen);
        let is_old = |(at, _)| now.saturating_duration_since(at) >= SAMPLE;
        if self.used.is_none_or(is_old) {
            let used = used();
            let (_, before) = self.used.replace((now, used)).unwrap_or((now, used));
            if gap > STOP {
                let ran = used.saturating_sub(before);
                self.lost += gap.saturating_sub(ran.max(SLICE));
            }
        }
        now.checked_sub(self.lost).unwrap_or(now)
    }
}

/// The processor time that this process has used.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Now. Only instants of this clock can be compared with one another.
pub(crate) fn now() -> Instant {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    clock.look(Instant::now(), processor_time)
}

/// How much time passed since `then`, an instant of this clock.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Waits for `work`, for `limit` at most.
///
/// # Errors
/// It is not done, though all that has arrived was read.
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
            () = tokio::time::sleep(left.min(SLICE)) => {}
        }
    }
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        () = turn() => Err(Elapsed),
    }
}

/// A time limit has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Waits until `time` has passed by the machine's clock: a time that somebody asks for passes while the
/// process is stopped, too.
pub(crate) async fn sleep(time: Duration) {
    let began = Instant::now();
    loop {
        now();
        let left = time.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}

/// Lets the runtime read all that has arrived, and hand it on; not for long, where it never ends.
pub(crate) async fn turn() {
    let began = now();
    for number in 0..TURNS {
        tokio::task::yield_now().await;
        if number >= FEW_TURNS && since(began) > LONG_TURNS {
            break;
        }
    }
}

thread_local! {
    /// For how long this thread, which reads all connections, did something else.
    static BUSY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Does blocking `work`. Its time counts in no [`Wait`] of this thread.
pub(crate) fn excluded_from_stall<T>(work: impl FnOnce() -> T) -> T {
    let began = now();
    let done = work();
    BUSY.set(BUSY.get() + since(began));
    done
}

/// A wait for the network that begins.
#[derive(Debug)]
pub(crate) struct Wait {
    began: Instant,
    busy: Duration,
}

impl Wait {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self {
            began: now(),
            busy: BUSY.get(),
        }
    }

    /// How long it took, without what was done [`apart`].
    pub(crate) fn took(&self) -> Duration {
        let busy = BUSY.get().saturating_sub(self.busy);
        since(self.began).saturating_sub(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn a_stop_of_any_length_counts_as_one_slice_and_work_as_work() {
        let start = Instant::now();
        let mut clock = Clock {
            seen: None,
            lost: Duration::ZERO,
            used: None,
        };
        let mut at = |(millis, used)| {
            let now = start + Duration::from_millis(millis);
            let used = || Duration::from_millis(used);
            clock.look(now, used).duration_since(start).as_millis()
        };
        let looks = [
            (0, 0),
            (250, 0),
            (750, 0),
            (600_750, 0),
            (601_000, 0),
            (1_201_000, 0),
            // It was busy.
            (1_204_000, 3000),
            (1_205_000, 3600),
        ];
        let expected = [0, 250, 750, 1000, 1250, 1500, 4500, 5100];
        assert_eq!(looks.map(&mut at), expected);
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

    #[tokio::test]
    async fn what_does_not_come_is_waited_for_until_the_limit() {
        for millis in [0, 20, 300] {
            let limit = Duration::from_millis(millis);
            let began = Instant::now();
            let waited = timeout(limit, std::future::pending::<()>()).await;
            assert_eq!(waited, Err(Elapsed));
            let took = began.elapsed();
            assert!(took >= limit && took < limit + STOP, "{took:?}");
        }
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    }
}
