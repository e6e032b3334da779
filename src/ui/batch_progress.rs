//! The progress of a batch in one line.

use super::text_width::shortened;
use crate::text::{counted, short_duration, size};
use std::fmt;
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr as _;

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

    /// The progress in at most so many columns: the bytes, then the rate, then the time are left out where the
    /// columns do not suffice.
    pub(super) fn fitting(&self, columns: usize) -> String {
        let parts = self.parts();
        let lines = [
            [true, true, true],
            [false, true, true],
            [false, false, true],
        ];
        let lines = lines.map(|kept| parts.line(kept));
        let fitting = lines.into_iter().find(|line| line.width() <= columns);
        fitting.unwrap_or_else(|| shortened(&parts.documents, columns))
    }

    fn parts(&self) -> BatchParts {
        let elapsed = self.started.elapsed().as_secs_f64().max(0.001);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the conversion saturates"
        )]
        let rate = (self.bytes as f64 / elapsed) as u64;
        let documents = match self.total {
            Some(total) => format!("{} of {}", self.ended, counted(total, "document")),
            None => counted(self.ended, "document"),
        };
        let time_left = self.total.and_then(|total| {
            let is_known = self.ended > 0 && self.ended < total;
            is_known.then(|| {
                let left = (total - self.ended) as f64 * elapsed / self.ended as f64;
                let left = Duration::try_from_secs_f64(left).unwrap_or_default();
                format!("{} left", short_duration(left))
            })
        });
        BatchParts {
            documents,
            bytes: (self.bytes > 0).then(|| size(self.bytes)),
            rate: (self.bytes > 0).then(|| format!("{}/s", size(rate))),
            time_left,
        }
    }
}

impl fmt::Display for BatchProgress {
    /// Documents, bytes, rate, and the time that is left at this rate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().line([true; 3]))
    }
}

/// The parts of the line about a batch; `None` where docfetch does not know them.
struct BatchParts {
    documents: String,
    bytes: Option<String>,
    rate: Option<String>,
    time_left: Option<String>,
}

impl BatchParts {
    /// The documents, and those of the bytes, the rate and the time that are `kept`.
    fn line(&self, kept: [bool; 3]) -> String {
        let mut line = self.documents.clone();
        for (part, is_kept) in [&self.bytes, &self.rate, &self.time_left]
            .into_iter()
            .zip(kept)
        {
            if let Some(part) = part.as_ref().filter(|_| is_kept) {
                line += ", ";
                line += part;
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_leaves_out_what_does_not_fit() {
        let progress = BatchProgress {
            total: Some(60),
            ended: 12,
            bytes: 360_096,
            started: Instant::now().checked_sub(Duration::from_secs(10)).unwrap(),
        };
        let all = "12 of 60 documents, 351.7 KiB, 35.2 KiB/s, 40 s left";
        assert_eq!(progress.to_string(), all);
        for (columns, expected) in [
            (52, all),
            (51, "12 of 60 documents, 35.2 KiB/s, 40 s left"),
            (40, "12 of 60 documents, 40 s left"),
            (28, "12 of 60 documents"),
            (5, "12 o\u{2026}"),
        ] {
            assert_eq!(progress.fitting(columns), expected, "{columns}");
        }
        for (total, ended, expected) in [
            (None, 1, "1 document"),
            (None, 0, "0 documents"),
            (Some(2), 1, "1 of 2 documents"),
        ] {
            let mut progress = BatchProgress::new(total);
            progress.ended = ended;
            assert_eq!(progress.fitting(20), expected);
        }
    }
}
