//! The progress of a batch in one line.

use crate::text::{short_duration, size};
use std::fmt;
use std::time::{Duration, Instant};

/// How far a batch is.
#[derive(Debug)]
pub(super) struct BatchProgress {
    /// How many documents the batch has; `None` where the listing has not ended.
    pub total: Option<u64>,
    /// How many documents ended.
    pub ended: u64,
    /// How many bytes arrived.
    pub bytes: u64,
    started: Instant,
}

impl BatchProgress {
    /// A batch that starts now.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            total,
            ended: 0,
            bytes: 0,
            started: Instant::now(),
        }
    }
}

impl fmt::Display for BatchProgress {
    /// Documents, bytes, rate, and the time that is left at this rate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = self.started.elapsed().as_secs_f64().max(0.001);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the conversion saturates"
        )]
        let rate = (self.bytes as f64 / elapsed) as u64;
        write!(f, "{}", self.ended)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        f.write_str(" documents")?;
        if self.bytes > 0 {
            write!(f, ", {}, {}/s", size(self.bytes), size(rate))?;
        }
        match self.total {
            Some(total) if self.ended > 0 && self.ended < total => {
                let left = (total - self.ended) as f64 * elapsed / self.ended as f64;
                let left = Duration::try_from_secs_f64(left).unwrap_or_default();
                write!(f, ", {} left", short_duration(left))
            }
            _ => Ok(()),
        }
    }
}
