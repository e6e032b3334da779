//! How many connections a document has: as many as the user wants, or as many as make the download faster.
//!
//! The automatic number begins with one connection. A short measurement decides whether more connections
//! may help: the process must be idle for most of the time, and enough bytes must be missing. docfetch then
//! multiplies the connections, and does that again as long as each step makes the download faster. A step
//! that does not help is undone. Where docfetch cannot tell what made the download faster, the number stays
//! as it is. A process that was busy gets more connections only after several idle measurements in a row: a
//! short pause of the network is no reason for more.

use crate::fetch::options::Connections;
use crate::fetch::transfer::segments::missing::MIN_SEGMENT_BYTES;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// A measurement with one connection takes this long: it must only tell whether many bytes are left.
const FIRST_MEASUREMENT: Duration = Duration::from_millis(80);
/// A measurement with more connections takes this long.
const MEASUREMENT: Duration = Duration::from_millis(100);
/// The documents of a batch that are fetched at the same time share this many automatic connections.
const MAX_AUTO_CONNECTIONS: usize = 32;
/// Each step multiplies the connections by this factor.
const STEP_FACTOR: usize = 8;
/// A step helps when the download becomes faster by this factor.
const MIN_SPEEDUP: f64 = 1.25;
/// A process that is busy for this part of the time or more does not get more connections.
const MAX_BUSY_PART: f64 = 0.25;
/// A process that was busy gets more connections after this many idle measurements in a row.
const IDLE_MEASUREMENTS_AFTER_BUSY: u32 = 5;
/// A document whose rest arrives within this time gets no more connections.
const MIN_REMAINING_TRANSFER_TIME: Duration = Duration::from_millis(250);
/// A document with a shorter rest gets no more connections.
const MIN_REMAINING_BYTES: u64 = 4 * MIN_SEGMENT_BYTES;

/// Decides how many connections one document has.
#[derive(Debug)]
pub(super) struct Growth {
    wanted: usize,
    max: usize,
    /// Whether the number is final.
    settled: bool,
    /// How many idle measurements in a row must come before the first step.
    idle_measurements_left: u32,
    /// The best rate so far, in bytes per second.
    best_rate: f64,
    /// The best rate before the last step, in bytes per second; `None` before the first step. It is the
    /// best earlier rate, so that a slow sample cannot flatter an increase.
    baseline: Option<f64>,
    /// The rate of the last measurement since the last step.
    last_rate: Option<f64>,
    sample: Sample,
}

/// What happened since a measurement started.
#[derive(Debug)]
struct Sample {
    started: Instant,
    /// The processor time of the process when the measurement started.
    processor_time: Duration,
    /// How long the process waited for writes to the disk.
    write_time: Duration,
    /// How many bytes arrived.
    received: u64,
}

impl Sample {
    fn new(now: Instant, processor_time: Duration) -> Self {
        Self {
            started: now,
            processor_time,
            write_time: Duration::ZERO,
            received: 0,
        }
    }
}

/// The processor time that this process has used so far.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Growth {
    /// For one of `jobs` documents that are fetched at the same time. The process has used `processor_time`
    /// so far.
    pub(super) fn new(
        connections: Connections,
        jobs: usize,
        now: Instant,
        processor_time: Duration,
    ) -> Self {
        let (wanted, max) = match connections {
            Connections::Auto => (1, (MAX_AUTO_CONNECTIONS / jobs.max(1)).max(1)),
            Connections::Exactly(connections) => (connections, connections),
        };
        Self {
            wanted,
            max,
            settled: wanted == max,
            idle_measurements_left: 0,
            best_rate: 0.0,
            baseline: None,
            last_rate: None,
            sample: Sample::new(now, processor_time),
        }
    }

    /// How many connections the document has.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Notes that `bytes` arrived, and that their writing took `write_time`. That time counts as busy: more
    /// connections do not make a slow disk faster.
    pub(super) fn received(&mut self, bytes: usize, write_time: Duration) {
        self.sample.received += bytes as u64;
        self.sample.write_time += write_time;
    }

    /// Ends the measurement at `now`, if that has taken long enough, and decides about more connections.
    /// `missing` bytes are left. While requests are `unanswered`, the connections of the last step do not
    /// work yet, so the measurement starts anew.
    pub(super) fn measure(
        &mut self,
        now: Instant,
        processor_time: impl FnOnce() -> Duration,
        missing: u64,
        unanswered: usize,
    ) {
        if self.settled {
            return;
        }
        let elapsed = now.saturating_duration_since(self.sample.started);
        let needed = self.baseline.map_or(FIRST_MEASUREMENT, |_| MEASUREMENT);
        if unanswered == 0 && elapsed < needed {
            return;
        }
        let ended = std::mem::replace(&mut self.sample, Sample::new(now, processor_time()));
        if unanswered == 0 {
            let worked = self
                .sample
                .processor_time
                .saturating_sub(ended.processor_time);
            let seconds = elapsed.as_secs_f64();
            let busy_part = (worked + ended.write_time).as_secs_f64() / seconds;
            self.judge(ended.received as f64 / seconds, busy_part, missing);
        }
    }

    /// Judges a measurement of `rate` bytes per second, in a process that was busy for `busy_part` of the
    /// time. `missing` bytes are left.
    fn judge(&mut self, rate: f64, busy_part: f64, missing: u64) {
        self.best_rate = self.best_rate.max(rate);
        match self.baseline {
            None if busy_part >= MAX_BUSY_PART => {
                self.idle_measurements_left = IDLE_MEASUREMENTS_AFTER_BUSY - 1;
                return;
            }
            None if self.idle_measurements_left > 0 => {
                self.idle_measurements_left -= 1;
                return;
            }
            // New connections are slow at first (RFC 5681 section 3.1). Wait until the rate is steady.
            Some(_) if self.last_rate.is_none_or(|last| rate > last * MIN_SPEEDUP) => {
                self.last_rate = Some(rate);
                return;
            }
            Some(baseline) if rate < baseline * MIN_SPEEDUP => {
                self.settled = true;
                self.wanted = (self.wanted / STEP_FACTOR).max(1);
                return;
            }
            // More connections alone cannot explain that: the first one was still slow at the baseline.
            Some(baseline) if rate > baseline * (2 * STEP_FACTOR) as f64 => {
                self.settled = true;
                return;
            }
            _ => {}
        }
        let arrives_soon = missing as f64 <= rate * MIN_REMAINING_TRANSFER_TIME.as_secs_f64();
        if missing < MIN_REMAINING_BYTES || arrives_soon {
            return;
        }
        (self.baseline, self.last_rate) = (Some(self.best_rate), None);
        self.wanted = (self.wanted * STEP_FACTOR).min(self.max);
        self.settled = self.wanted == self.max;
        log::info!(
            "{:.1} MiB/s arrive, and the process is mostly idle: {} connections from now on",
            rate / 1_048_576.0,
            self.wanted
        );
    }

    /// Limits the document to this many connections, for good.
    pub(super) fn limit_to(&mut self, connections: usize) {
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
        Growth::new(Connections::Auto, jobs, Instant::now(), Duration::ZERO)
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
    fn a_step_that_does_not_help_is_undone_for_good() {
        let mut growth = auto(1);
        growth.judge(20.0 * MIB, 0.1, MUCH);
        growth.judge(24.0 * MIB, 0.1, MUCH);
        growth.judge(24.0 * MIB, 0.1, MUCH);
        assert!(growth.wanted == 1 && growth.settled);
    }

    #[test]
    fn a_download_that_becomes_faster_by_itself_gets_no_further_connections() {
        let mut growth = auto(1);
        for rate in [1.0, 30.0, 60.0, 70.0] {
            growth.judge(rate * MIB, 0.1, MUCH);
        }
        assert!(growth.wanted == STEP_FACTOR && growth.settled);
    }

    #[test]
    fn a_busy_process_and_a_document_that_arrives_soon_get_no_more_connections() {
        let mut growth = auto(1);
        growth.judge(600.0 * MIB, MAX_BUSY_PART, MUCH);
        growth.judge(20.0 * MIB, 0.1, MIN_REMAINING_BYTES - 1);
        growth.judge(100.0 * MIB, 0.1, 20 << 20); // arrives within 200 ms
        assert!(growth.wanted == 1 && !growth.settled);
    }

    #[test]
    fn a_pause_of_the_network_is_no_reason_for_more_connections() {
        let mut growth = auto(1);
        for busy in [0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1] {
            growth.judge(20.0 * MIB, busy, MUCH);
            assert_eq!(growth.wanted, 1);
        }
        growth.judge(20.0 * MIB, 0.1, MUCH);
        assert_eq!(growth.wanted, STEP_FACTOR);
    }

    #[test]
    fn the_baseline_is_the_best_earlier_rate() {
        let mut growth = auto(1);
        growth.judge(500.0 * MIB, 0.5, MUCH);
        for _ in 0..IDLE_MEASUREMENTS_AFTER_BUSY {
            growth.judge(50.0 * MIB, 0.1, MUCH);
        }
        assert_eq!(growth.wanted, STEP_FACTOR);
        growth.judge(520.0 * MIB, 0.2, MUCH);
        growth.judge(520.0 * MIB, 0.2, MUCH);
        assert!(growth.wanted == 1 && growth.settled);
    }

    #[test]
    fn documents_of_a_batch_share_the_automatic_connections() {
        for (jobs, most) in [(1, 32), (4, 8), (256, 1)] {
            let mut growth = auto(jobs);
            for rate in [1.0, 10.0, 10.0, 100.0, 100.0] {
                growth.judge(rate * MIB, 0.0, 100 * MUCH);
            }
            assert_eq!(growth.wanted, most);
        }
        let exactly = Growth::new(Connections::Exactly(7), 8, Instant::now(), Duration::ZERO);
        assert_eq!(exactly.wanted, 7);
    }

    /// The clock and the processor time are values here.
    #[test]
    fn a_measurement_takes_its_time_and_counts_what_happened_in_it() {
        let start = Instant::now();
        let millis = Duration::from_millis;
        let mut growth = Growth::new(Connections::Auto, 1, start, Duration::ZERO);
        let mut measure = |at, processor_time, write_time, unanswered| {
            growth.received(8 << 20, millis(write_time));
            let processor_time = || millis(processor_time);
            growth.measure(start + millis(at), processor_time, MUCH, unanswered);
            growth.wanted
        };
        assert_eq!(measure(79, 0, 0, 0), 1, "too early");
        // Busy for 20 of 80 ms: half of that for the disk.
        assert_eq!(measure(80, 10, 10, 0), 1);
        for number in 1..5 {
            assert_eq!(measure(80 + number * 80, 10, 0, 0), 1, "{number}");
        }
        assert_eq!(measure(480, 10, 0, 0), 8, "five idle measurements in a row");
        // The requests of the step are not answered yet: the measurement starts anew.
        assert_eq!(measure(600, 10, 0, 7), 8);
        assert_eq!(measure(699, 10, 0, 0), 8, "too early");
        assert_eq!(measure(700, 10, 0, 0), 8, "the rate may still rise");
        assert_eq!(
            measure(800, 10, 0, 0),
            1,
            "the rate is not higher than before"
        );
    }

    #[test]
    fn a_storage_that_refuses_a_request_gets_fewer_connections_for_good() {
        let mut growth = auto(1);
        growth.judge(20.0 * MIB, 0.1, MUCH);
        growth.limit_to(2);
        assert_eq!(growth.wanted, 2);
        for _ in 0..3 {
            growth.judge(1000.0 * MIB, 0.1, MUCH);
        }
        growth.limit_to(5);
        assert_eq!(growth.wanted, 2);
    }
}
