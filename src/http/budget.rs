//! The rate budget of an API: never more requests in a window than it allows, from all processes of
//! the user together.
//!
//! A request takes a slot before it leaves, and frees it one window after its *answer*: however long
//! it travels, the server never counts more than the budget. A request whose process died counts as
//! answered at the end of its time limit. `Retry-After` holds all of them, for at most 15 minutes;
//! whoever has less patience is told at once. Where the shared record cannot be written, the budget
//! is that of this process.
//!
//! Machines that share the record have clocks of their own, up to a second apart. So a stamp of another
//! process may be that much younger than it looks, and counts for that much longer.

use super::backoff::notice;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::model::{MOST_REQUESTS, Rate};
use crate::mutex::locked;
use crate::state::records::{Durability, Records};
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest time that one `Retry-After` can hold everybody.
const LONGEST_HOLD: u64 = 15 * 60 * 1000;
/// No request is counted as on its way for longer.
const LONGEST_ANSWER: u64 = 15 * 60 * 1000;
/// No window is longer.
const LONGEST_WINDOW: u64 = 24 * 60 * 60 * 1000;
/// How far clocks of machines that share a state folder may differ.
const CLOCKS: u64 = 1000;
/// No stamp or hold that they make is farther in the future.
const AHEAD: u64 = 2 * CLOCKS;
/// How often to look whether an answer came, and when to say so.
const POLL: Duration = Duration::from_millis(50);
const NOTICED: Duration = Duration::from_secs(2);

/// The requests of all processes to one API as one client.
#[derive(Debug)]
pub(crate) struct Budget {
    rates: Vec<Rate>,
    records: Records,
    name: String,
    /// Tells its stamps from those of other processes.
    own: u32,
    alone: AtomicBool,
    memory: Mutex<Log>,
    /// This process's own requests wait here for one another, not at the record's lock.
    queue: tokio::sync::Mutex<()>,
    /// The end of the wait that was told last.
    told_until: Mutex<Option<Instant>>,
}

/// What was sent, in milliseconds of this machine's clock since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Log {
    requests: Vec<Sent>,
    held_until: Option<u64>,
    /// The longest window that any process counts in, and the most requests that it counts.
    window: u64,
    most: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    key: u64,
    at: u64,
    /// When it was answered, or will have been at the latest.
    answered: u64,
    /// Whose clock says so; nobody's in records of an earlier version.
    #[serde(default)]
    by: u32,
}

impl Sent {
    /// When it was answered at the latest, by the clock of the process `own`.
    fn latest(&self, own: u32) -> u64 {
        let margin = if self.by == own { 0 } else { CLOCKS };
        self.answered.saturating_add(margin)
    }
}

/// A request's place in the budget.
#[derive(Debug)]
pub(crate) struct Slot(u64);

/// Why there is no slot.
#[derive(Debug)]
pub(crate) enum Blocked {
    /// A `Retry-After` holds everybody for this long.
    Held(Duration),
    /// Another process, which must have been stopped, keeps the record of the requests.
    Busy(Error),
}

/// When a slot is free.
#[derive(Debug, PartialEq, Eq)]
enum Free {
    /// In so many milliseconds.
    In(u64),
    /// After an answer that is still to come.
    AfterAnswer,
}

impl Budget {
    /// A budget of all `rates` at once, shared under `name`; none is no limit.
    pub(crate) fn new(rates: Vec<Rate>, records: Records, name: String) -> Self {
        Self {
            rates,
            records,
            name,
            own: tag(),
            alone: AtomicBool::new(false),
            memory: Mutex::default(),
            queue: tokio::sync::Mutex::default(),
            told_until: Mutex::default(),
        }
    }

    /// Whether there is any limit.
    pub(crate) fn is_limited(&self) -> bool {
        !self.rates.is_empty()
    }

    /// Says that a request waits; where many wait at the same time, the first one's word is enough.
    fn tell(&self, wait: Duration) {
        let now = Instant::now();
        let mut told_until = locked(&self.told_until);
        let level = match *told_until {
            Some(until) if until > now => log::Level::Info,
            _ => {
                *told_until = Some(now + wait);
                notice(wait)
            }
        };
        let seconds = wait.as_secs_f64();
        log::log!(level, "waiting {seconds:.1} s for the rate budget");
    }

    /// Waits for a slot for a request that is answered within `limit`. What the rates ask is always
    /// waited for; a hold is not, when it is longer than `patience`. Without rates there is nothing
    /// to wait for.
    ///
    /// # Errors
    /// A hold or a stopped process outlasts `patience`.
    pub(crate) async fn slot(
        &self,
        limit: Duration,
        patience: Duration,
    ) -> Result<Option<Slot>, Blocked> {
        if self.rates.is_empty() {
            return Ok(None);
        }
        let key = key();
        let limit = milliseconds(limit).min(LONGEST_ANSWER);
        let asked = active_time::now();
        let mut told = false;
        loop {
            let free = self
                .with(patience, |log| {
                    let now = now();
                    log.forget(&self.rates, self.own, now);
                    let held = log.held_until.unwrap_or(now).saturating_sub(now);
                    if held > milliseconds(patience) {
                        return Err(Blocked::Held(Duration::from_millis(held)));
                    }
                    let free = log.free(&self.rates, self.own, now);
                    if free == Free::In(0) {
                        log.requests.push(Sent {
                            key,
                            at: now,
                            answered: now + limit,
                            by: self.own,
                        });
                    }
                    Ok(free)
                })
                .await
                .map_err(Blocked::Busy)??;
            match free {
                Free::In(0) => return Ok(Some(Slot(key))),
                Free::In(wait) => {
                    let wait = Duration::from_millis(wait);
                    self.tell(wait);
                    active_time::sleep(wait).await;
                }
                Free::AfterAnswer => {
                    if !told && active_time::since(asked) > NOTICED {
                        log::warn!("waiting for the answers of requests that fill the rate budget");
                        told = true;
                    }
                    active_time::sleep(POLL).await;
                }
            }
        }
    }

    /// Notes that a request was answered, and lets nothing leave for `hold`, at most 15 minutes.
    pub(crate) async fn answered(&self, slot: Option<Slot>, hold: Option<Duration>) {
        let Some(Slot(key)) = slot else {
            return;
        };
        // Where that cannot be noted, it counts as on its way until the end of its time.
        let noted = self.with(NOTICED, |log| {
            let now = now();
            if let Some(sent) = log.requests.iter_mut().find(|sent| sent.key == key) {
                (sent.answered, sent.by) = (now, self.own);
            }
            if let Some(hold) = hold {
                let until = now + milliseconds(hold).min(LONGEST_HOLD);
                log.held_until = Some(log.held_until.map_or(until, |held| held.max(until)));
            }
        });
        if let Err(error) = noted.await {
            log::info!("an answer was not counted: {}", error.message());
        }
    }

    /// Does something with the log that all processes share; with this process's own where no record
    /// can be written.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process keeps the record for longer than `patience`.
    async fn with<T>(&self, patience: Duration, work: impl FnOnce(&mut Log) -> T) -> Result<T> {
        if self.alone.load(Ordering::Relaxed) {
            return Ok(work(&mut locked(&self.memory)));
        }
        let what = "counting its requests";
        let asked = active_time::now();
        let Ok(_first) = active_time::timeout(patience, pin!(self.queue.lock())).await else {
            return Err(Error::new(Code::Busy, format!("another process is {what}")));
        };
        let patience = patience.saturating_sub(active_time::since(asked));
        let failed = match self.records.lock(&self.name, patience, what).await {
            Ok(_lock) => {
                // One that cannot be trusted is written anew.
                let before: Option<Log> = self.records.read(&self.name).ok().flatten();
                let mut log = before.clone().unwrap_or_default();
                let done = work(&mut log);
                if before.as_ref() == Some(&log) {
                    return Ok(done);
                }
                let Err(error) = self.records.write(&self.name, &log, Durability::Buffered) else {
                    return Ok(done);
                };
                *locked(&self.memory) = log;
                self.be_alone(&error);
                return Ok(done);
            }
            Err(error) if error.code() == Code::Busy => return Err(error),
            Err(error) => error,
        };
        self.be_alone(&failed);
        Ok(work(&mut locked(&self.memory)))
    }

    fn be_alone(&self, error: &Error) {
        self.records.cannot_keep(error);
        self.alone.store(true, Ordering::Relaxed);
    }
}

impl Log {
    /// Drops what counts no more, what a changed clock left in the future, and what makes no sense.
    fn forget(&mut self, rates: &[Rate], own: u32, now: u64) {
        if self.requests.is_empty() {
            (self.window, self.most) = (0, 0); // of processes that are long gone
        }
        for rate in rates {
            let window = milliseconds(rate.window).min(LONGEST_WINDOW);
            self.window = self.window.max(window);
            self.most = self.most.max(rate.requests as usize);
        }
        self.window = self.window.min(LONGEST_WINDOW);
        self.most = self.most.min(MOST_REQUESTS as usize);
        let window = self.window;
        self.requests.retain(|sent| {
            let lasted = sent.answered.checked_sub(sent.at);
            sent.at <= now + AHEAD
                && lasted.is_some_and(|lasted| lasted <= LONGEST_ANSWER)
                && sent.latest(own) + window > now
        });
        let surplus = self.requests.len().saturating_sub(self.most);
        self.requests.drain(..surplus);
        self.held_until = self
            .held_until
            .filter(|until| (now..=now + LONGEST_HOLD + AHEAD).contains(until));
    }

    /// How long until a slot is free.
    fn free(&self, rates: &[Rate], own: u32, now: u64) -> Free {
        let mut free_at = self.held_until.unwrap_or(now).max(now);
        // What is on its way will be answered, nobody knows when.
        let (mut answered, on_its_way): (Vec<u64>, Vec<u64>) = self
            .requests
            .iter()
            .map(|sent| sent.latest(own))
            .partition(|answered| *answered <= now);
        answered.sort_unstable();
        for rate in rates {
            let window = milliseconds(rate.window).min(LONGEST_WINDOW);
            let counted = answered.iter().filter(|at| **at + window > now).count();
            let over = (on_its_way.len() + counted + 1).saturating_sub(rate.requests as usize);
            if over == 0 {
                continue;
            }
            if over > counted {
                return Free::AfterAnswer;
            }
            free_at = free_at.max(answered[answered.len() - counted + over - 1] + window);
        }
        Free::In(free_at - now)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    milliseconds(since.unwrap_or_default())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 1)
}

/// Tells one process from all others; never that of an earlier version.
fn tag() -> u32 {
    u32::try_from(key() >> 32).unwrap_or_default().max(1)
}

/// Tells one request from all others.
fn key() -> u64 {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 8];
    if ring::rand::SystemRandom::new().fill(&mut bytes).is_err() {
        return u64::from(std::process::id());
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::{BUDGETS, StateFolder};
    use proptest::prelude::*;

    const START: u64 = 1_000_000;
    const OWN: u32 = 1;
    const BOTH: [Rate; 2] = [
        Rate {
            requests: 4,
            window: Duration::from_mins(1),
        },
        Rate {
            requests: 2,
            window: Duration::from_secs(10),
        },
    ];

    fn answered(seconds: &[u64]) -> Log {
        let requests = seconds.iter().map(|second| Sent {
            key: *second,
            at: START + second * 1000,
            answered: START + second * 1000,
            by: OWN,
        });
        Log {
            requests: requests.collect(),
            ..Log::default()
        }
    }

    fn free(log: &mut Log, second: u64) -> Free {
        log.forget(&BOTH, OWN, START + second * 1000);
        log.free(&BOTH, OWN, START + second * 1000)
    }

    #[test]
    fn a_slot_is_free_one_window_after_its_answer() {
        assert_eq!(free(&mut Log::default(), 0), Free::In(0));
        let mut log = answered(&[0, 1]);
        assert_eq!(free(&mut log, 1), Free::In(9000));
        assert_eq!(free(&mut log, 10), Free::In(0));
    }

    #[test]
    fn every_rate_holds() {
        assert_eq!(free(&mut answered(&[0, 1, 11, 12]), 22), Free::In(38_000));
    }

    #[test]
    fn requests_on_their_way_count_until_their_answer_or_the_end_of_their_time() {
        let mut log = Log {
            requests: [1, 2]
                .map(|key| Sent {
                    key,
                    at: START,
                    answered: START + 30_000,
                    by: OWN,
                })
                .to_vec(),
            ..Log::default()
        };
        assert_eq!(free(&mut log, 20), Free::AfterAnswer);
        assert_eq!(free(&mut log, 31), Free::In(9000));
        assert_eq!(free(&mut log, 40), Free::In(0));
    }

    #[test]
    fn stamps_and_holds_from_the_future_are_dropped() {
        let mut log = answered(&[100, 101]);
        log.held_until = Some(START + LONGEST_HOLD + AHEAD + 5000);
        assert_eq!(free(&mut log, 0), Free::In(0));
        assert!(log.requests.is_empty());
        log.held_until = Some(START + 5000);
        assert_eq!(free(&mut log, 0), Free::In(5000));
    }

    #[test]
    fn what_makes_no_sense_is_dropped() {
        let nonsense = |at, answered| Sent {
            key: 0,
            at,
            answered,
            by: OWN,
        };
        let mut log = Log {
            requests: vec![
                nonsense(0, u64::MAX),
                nonsense(START, START + LONGEST_ANSWER + 1),
                nonsense(START, START - 1),
                nonsense(u64::MAX, u64::MAX),
            ],
            held_until: Some(u64::MAX),
            window: u64::MAX,
            most: usize::MAX,
        };
        assert_eq!(free(&mut log, 0), Free::In(0));
        assert!(log.requests.is_empty());
    }

    #[test]
    fn a_log_is_no_longer_than_the_largest_rate_needs() {
        let rate = Rate {
            requests: 3,
            window: Duration::from_hours(1),
        };
        let mut log = answered(&[0, 1, 2, 3, 4]);
        log.forget(&[rate], OWN, START + 5000);
        let kept: Vec<u64> = log.requests.iter().map(|sent| sent.key).collect();
        assert_eq!(kept, [2, 3, 4]);
        let most = Sent {
            key: u64::MAX,
            at: u64::MAX >> 8,
            answered: u64::MAX >> 8,
            by: u32::MAX,
        };
        let full = Log {
            requests: vec![most; MOST_REQUESTS as usize],
            ..Log::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let records = StateFolder::new(Some(folder.path().to_owned())).records(BUDGETS);
        records.write("x", &full, Durability::Buffered).unwrap();
        assert_eq!(records.read("x"), Ok(Some(full)));
    }

    #[test]
    fn a_process_with_shorter_windows_forgets_nothing_that_others_count() {
        let mut log = answered(&[0]);
        (log.window, log.most) = (60_000, 120);
        let short = [Rate {
            requests: 1,
            window: Duration::from_secs(1),
        }];
        log.forget(&short, OWN, START + 30_000);
        assert_eq!(log.requests.len(), 1);
        assert_eq!(log.free(&short, OWN, START + 30_000), Free::In(0));
        // Until there is nothing left that they counted.
        log.forget(&short, OWN, START + 60_000);
        log.forget(&short, OWN, START + 60_000);
        assert_eq!((log.window, log.most), (1000, 1));
    }

    #[tokio::test]
    async fn two_budgets_of_one_name_share_their_slots_and_holds() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(Some(folder.path().to_owned()));
        let rates = vec![Rate {
            requests: 1,
            window: Duration::from_millis(300),
        }];
        let second = Duration::from_secs(1);
        let budget = || Budget::new(rates.clone(), state.records(BUDGETS), "x".to_owned());
        let (one, other) = (budget(), budget());
        let slot = one.slot(second, second).await.unwrap();
        let started = Instant::now();
        let (after, ()) = tokio::join!(other.slot(second, second), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            one.answered(slot, None).await;
        });
        let waited = started.elapsed();
        // The clock of the other one may be a second off.
        let least = Duration::from_millis(500 + CLOCKS);
        assert!(waited >= least && waited < least + second, "{waited:?}");
        other.answered(after.unwrap(), Some(60 * second)).await;
        match one.slot(second, second).await.unwrap_err() {
            Blocked::Held(held) => assert!(held > 58 * second && held <= 60 * second),
            Blocked::Busy(error) => panic!("{error}"),
        }
    }

    proptest! {
        /// Whatever is asked when, and however long each answer takes: no window holds more than the
        /// rate, counted at any moment between a request's departure and its answer.
        #[test]
        fn no_window_ever_holds_more_than_its_rate(
            requests in prop::collection::vec((0u64..4000, 0u64..9000, 0u64..100), 1..60)
        ) {
            let mut log = Log::default();
            let mut now = START;
            let mut arrivals: Vec<u64> = Vec::new();
            for (pause, travel, when) in requests {
                now += pause;
                loop {
                    log.forget(&BOTH, OWN, now);
                    match log.free(&BOTH, OWN, now) {
                        Free::In(0) => break,
                        Free::In(wait) => now += wait,
                        Free::AfterAnswer => now += 25,
                    }
                }
                log.requests.push(Sent { key: 0, at: now, answered: now + travel, by: OWN });
                arrivals.push(now + travel * when / 100);
            }
            arrivals.sort_unstable();
            for rate in BOTH {
                let window = milliseconds(rate.window);
                for (index, first) in arrivals.iter().enumerate() {
                    let inside = arrivals[index..].iter().filter(|at| **at < first + window).count();
                    prop_assert!(inside <= rate.requests as usize, "{inside} in {window} ms");
                }
            }
        }

        /// The same by several processes, whose clocks are up to a second apart. One whose process died
        /// after it left is never answered.
        #[test]
        fn clocks_that_differ_by_a_second_let_nothing_more_pass(
            clocks in prop::collection::vec(0..=CLOCKS, 2..5),
            requests in prop::collection::vec(
                (0usize..5, 0u64..4000, 0u64..9000, 0u64..100, prop::bool::weighted(0.9)), 1..60
            ),
        ) {
            const LIMIT: u64 = 9000;
            let mut log = Log::default();
            let mut time = START;
            let mut arrivals: Vec<u64> = Vec::new();
            let mut answers: Vec<(u64, u64, u32)> = Vec::new();
            for (process, pause, travel, when, lives) in requests {
                let process = process % clocks.len();
                let own = u32::try_from(process).unwrap() + 1;
                time += pause;
                loop {
                    // What was answered until now was noted by the clocks of those who asked.
                    for (at, key, by) in &answers {
                        let sent = log.requests.iter_mut().find(|sent| sent.key == *key);
                        if let Some(sent) = sent.filter(|_| *at <= time) {
                            sent.answered = at + clocks[*by as usize - 1];
                        }
                    }
                    let now = time + clocks[process];
                    log.forget(&BOTH, own, now);
                    match log.free(&BOTH, own, now) {
                        Free::In(0) => break,
                        Free::In(wait) => time += wait,
                        Free::AfterAnswer => time += 25,
                    }
                }
                let (at, key) = (time + clocks[process], arrivals.len() as u64);
                log.requests.push(Sent { key, at, answered: at + LIMIT, by: own });
                arrivals.push(time + travel * when / 100);
                if lives {
                    answers.push((time + travel, key, own));
                }
            }
            arrivals.sort_unstable();
            for rate in BOTH {
                let window = milliseconds(rate.window);
                for (index, first) in arrivals.iter().enumerate() {
                    let inside = arrivals[index..].iter().filter(|at| **at < first + window).count();
                    prop_assert!(inside <= rate.requests as usize, "{inside} in {window} ms");
                }
            }
        }
    }
}
