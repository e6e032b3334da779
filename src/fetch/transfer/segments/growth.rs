//! How many connections a document has: as many as are asked for, or as many as help.
//!
//! It begins with one. While the process is idle for most of the time and much is missing, a measured
//! moment decides: several times as many, and so on as long as everything becomes faster by it. What did
//! not help is taken back; where it cannot be known what helped, it stays at that. Whoever was busy once
//! is given more only when it is idle for longer: a pause of the network is no reason.

use crate::fetch::options::Connections;
use crate::fetch::transfer::segments::missing::SHORTEST;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// How long the first look takes: whether much is left is soon seen.
const GLANCE: Duration = Duration::from_millis(80);
/// How long a look takes that tells what helped.
const LOOK: Duration = Duration::from_millis(100);
/// `auto` never has more connections, for all documents of a batch together.
const MOST: usize = 32;
/// It multiplies them by this.
const STEP: usize = 8;
/// More connections helped when everything is faster by this factor.
const HELPED: f64 = 1.25;
/// More connections may help a process that is busy for less than this part of the time.
const BUSY: f64 = 0.25;
/// A process that has been busy must be idle for so many looks in a row.
const PAUSE: u32 = 5;
/// What arrives within this time anyway needs no more connections.
const SOON: Duration = Duration::from_millis(250);

/// How many connections are wanted.
#[derive(Debug)]
pub(super) struct Growth {
    /// So many.
    pub wanted: usize,
    most: usize,
    /// Nothing is to be learned any more.
    settled: bool,
    /// For how many looks in a row the process must be idle yet.
    pause: u32,
    /// How fast it ever was, in bytes a second.
    best: f64,
    /// How fast it ever was with fewer connections: what is faster than in a pause only is not faster.
    before: Option<f64>,
    /// How fast it was at the last look since.
    last: Option<f64>,
    look: Look,
}

/// What was seen since a moment.
#[derive(Debug)]
struct Look {
    since: Instant,
    /// How busy the process had been.
    busy: Duration,
    /// How long it wrote since, or waited for that.
    writing: Duration,
    moved: u64,
}

impl Look {
    fn now() -> Self {
        Self {
            since: Instant::now(),
            busy: busy(),
            writing: Duration::ZERO,
            moved: 0,
        }
    }
}

/// How long this process has been busy.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Growth {
    /// For one of `jobs` documents at the same time.
    pub(super) fn new(connections: Connections, jobs: usize) -> Self {
        let (wanted, most) = match connections {
            Connections::Auto => (1, (MOST / jobs.max(1)).max(1)),
            Connections::Exactly(connections) => (connections, connections),
        };
        Self {
            wanted,
            most,
            settled: wanted == most,
            pause: 0,
            best: 0.0,
            before: None,
            last: None,
            look: Look::now(),
        }
    }

    /// Notes that it took so long to write `moved` bytes: a slow disk is not the network's fault.
    pub(super) fn wrote(&mut self, moved: usize, took: Duration) {
        self.look.moved += moved as u64;
        self.look.writing += took;
    }

    /// Looks whether more connections are wanted now that `rest` are missing; waits for those that are
    /// still `opening`.
    pub(super) fn look(&mut self, rest: u64, opening: usize) {
        if self.settled {
            return;
        }
        let took = self.look.since.elapsed();
        if opening > 0 {
            self.look = Look::now();
        } else if took >= self.before.map_or(GLANCE, |_| LOOK) {
            let seconds = took.as_secs_f64();
            let rate = self.look.moved as f64 / seconds;
            let busy = busy().saturating_sub(self.look.busy) + self.look.writing;
            let busy = busy.as_secs_f64() / seconds;
            self.look = Look::now();
            self.judge(rate, busy, rest);
        }
    }

    /// What a look at `rate` bytes a second means, by a process that is `busy` for that part of the time
    /// and has `rest` bytes before it.
    fn judge(&mut self, rate: f64, busy: f64, rest: u64) {
        self.best = self.best.max(rate);
        match self.before {
            None if busy >= BUSY => {
                self.pause = PAUSE - 1;
                return;
            }
            None if self.pause > 0 => {
                self.pause -= 1;
                return;
            }
            // New connections are slow at first (RFC 5681 section 3.1): wait for the end of that.
            Some(_) if self.last.is_none_or(|last| rate > last * HELPED) => {
                self.last = Some(rate);
                return;
            }
            Some(before) if rate < before * HELPED => {
                self.settled = true;
                self.wanted = (self.wanted / STEP).max(1);
                return;
            }
            // So much more is not due to the connections alone: the first one had just begun.
            Some(before) if rate > before * (2 * STEP) as f64 => {
                self.settled = true;
                return;
            }
            _ => {}
        }
        if rest < 4 * SHORTEST || rest as f64 <= rate * SOON.as_secs_f64() {
            return;
        }
        (self.before, self.last) = (Some(self.best), None);
        self.wanted = (self.wanted * STEP).min(self.most);
        self.settled = self.wanted == self.most;
        log::info!(
            "{:.1} MiB/s arrive, and time is left: {} connections from now on",
            rate / 1_048_576.0,
            self.wanted
        );
    }

    /// No more than these, from now on.
    pub(super) fn no_more_than(&mut self, connections: usize) {
        self.settled = true;
        self.wanted = self.wanted.min(connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;
    const MUCH: u64 = 1 << 30;

    fn auto(jobs: usize) -> Growth {
        Growth::new(Connections::Auto, jobs)
    }

    #[test]
    fn connections_are_added_as_long_as_each_step_helps() {
        let mut growth = auto(1);
        let mut wanted = vec![growth.wanted];
        for rate in [20.0, 90.0, 150.0, 160.0, 600.0] {
            growth.judge(rate * MIB, 0.1, MUCH);
            wanted.push(growth.wanted);
        }
        assert_eq!(wanted, [1, 8, 8, 8, 32, 32]);
    }

    #[test]
    fn what_did_not_help_is_taken_back_for_good() {
        let mut growth = auto(1);
        growth.judge(20.0 * MIB, 0.1, MUCH);
        growth.judge(24.0 * MIB, 0.1, MUCH);
        growth.judge(24.0 * MIB, 0.1, MUCH);
        assert!(growth.wanted == 1 && growth.settled);
    }

    #[test]
    fn what_became_faster_by_itself_is_no_reason_for_even_more() {
        let mut growth = auto(1);
        for rate in [1.0, 30.0, 60.0, 70.0] {
            growth.judge(rate * MIB, 0.1, MUCH);
        }
        assert!(growth.wanted == STEP && growth.settled);
    }

    #[test]
    fn a_busy_process_and_a_document_that_is_soon_here_need_no_more() {
        let mut growth = auto(1);
        growth.judge(600.0 * MIB, BUSY, MUCH);
        growth.judge(20.0 * MIB, 0.1, 3 << 20); // little
        growth.judge(100.0 * MIB, 0.1, 20 << 20); // soon
        assert!(growth.wanted == 1 && !growth.settled);
    }

    #[test]
    fn a_pause_of_the_network_is_no_reason_for_more() {
        let mut growth = auto(1);
        for busy in [0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1] {
            growth.judge(20.0 * MIB, busy, MUCH);
            assert_eq!(growth.wanted, 1);
        }
        growth.judge(20.0 * MIB, 0.1, MUCH);
        assert_eq!(growth.wanted, STEP);
    }

    #[test]
    fn what_is_faster_than_a_pause_only_is_not_faster() {
        let mut growth = auto(1);
        growth.judge(500.0 * MIB, 0.5, MUCH);
        for _ in 0..PAUSE {
            growth.judge(50.0 * MIB, 0.1, MUCH);
        }
        assert_eq!(growth.wanted, STEP);
        growth.judge(520.0 * MIB, 0.2, MUCH);
        growth.judge(520.0 * MIB, 0.2, MUCH);
        assert!(growth.wanted == 1 && growth.settled);
    }

    #[test]
    fn documents_of_a_batch_share_what_auto_may_have() {
        for (jobs, most) in [(1, 32), (4, 8), (256, 1)] {
            let mut growth = auto(jobs);
            for rate in [1.0, 10.0, 10.0, 100.0, 100.0] {
                growth.judge(rate * MIB, 0.0, 100 * MUCH);
            }
            assert_eq!(growth.wanted, most);
        }
        assert_eq!(Growth::new(Connections::Exactly(7), 8).wanted, 7);
    }
}
