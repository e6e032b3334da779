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
    /// How many documents of known length are under way.
    measured: u64,
    /// How many bytes of these documents are missing.
    missing: u64,
    started: Instant,
}

impl BatchProgress {
    /// A batch that starts now.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            total,
            ended: 0,
            bytes: 0,
            measured: 0,
            missing: 0,
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
        let time_left = self.time_left(elapsed);
        let time_left = time_left.map(|left| format!("{} left", short_duration(left)));
        BatchParts {
            documents,
            bytes: (self.bytes > 0).then(|| size(self.bytes)),
            rate: (self.bytes > 0).then(|| format!("{}/s", size(rate))),
            time_left,
        }
    }

    /// How long the batch takes at the present rate: the documents at the rate of those that ended, and no less than
    /// the missing bytes of those under way take. `elapsed` is in seconds. `None` where nothing tells.
    fn time_left(&self, elapsed: f64) -> Option<Duration> {
        let documents = self
            .total?
            .checked_sub(self.ended)
            .filter(|left| *left > 0)?;
        let by_documents = (self.ended > 0).then(|| documents as f64 * elapsed / self.ended as f64);
        let by_bytes = (self.measured > 0 && self.bytes > 0)
            .then(|| self.missing as f64 * elapsed / self.bytes as f64);
        let seconds = match (by_documents, by_bytes) {
            // The bytes of all documents that are left are known.
            (_, Some(bytes)) if self.measured >= documents => bytes,
            (Some(documents), Some(bytes)) => documents.max(bytes),
            (documents, _) => documents?,
        };
        Some(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

impl fmt::Display for BatchProgress {
    /// Documents, bytes, rate, and the time that is left at this rate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().line([true; 3]))
    }
}

/// What one document under way adds to the progress of its batch.
#[derive(Debug, Default)]
pub(super) struct DocumentShare {
    position: u64,
    /// How many bytes are missing; `None` where docfetch does not know the length.
    missing: Option<u64>,
    total: Option<u64>,
}

impl DocumentShare {
    /// The transfer starts behind the first `from` bytes of `total`.
    pub(super) fn start(&mut self, batch: &mut BatchProgress, from: u64, total: Option<u64>) {
        self.end(batch);
        self.total = total;
        self.position = from;
        self.missing = total.map(|total| total.saturating_sub(from));
        batch.measured += u64::from(total.is_some());
        batch.missing += self.missing.unwrap_or_default();
    }

    /// The file has `position` bytes now.
    pub(super) fn step(&mut self, batch: &mut BatchProgress, position: u64) {
        batch.bytes += position.saturating_sub(self.position);
        self.position = position;
        let missing = self.total.map(|total| total.saturating_sub(position));
        let before = self.missing.unwrap_or_default();
        batch.missing = batch.missing.saturating_sub(before) + missing.unwrap_or_default();
        self.missing = missing;
    }

    /// The document is no longer under way.
    pub(super) fn end(&mut self, batch: &mut BatchProgress) {
        self.total = None;
        if let Some(missing) = self.missing.take() {
            batch.measured -= 1;
            batch.missing = batch.missing.saturating_sub(missing);
        }
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
            measured: 0,
            missing: 0,
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

    #[test]
    fn the_time_left_is_that_of_the_missing_bytes_where_they_are_known() {
        let began = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        let line = |total, ended, others: &[u64]| {
            let mut progress = BatchProgress {
                started: began,
                ended,
                ..BatchProgress::new(Some(total))
            };
            let mut running = DocumentShare::default();
            running.start(&mut progress, 500, Some(4_000_500));
            running.step(&mut progress, 1_000_500);
            for missing in others {
                DocumentShare::default().start(&mut progress, 0, Some(*missing));
            }
            let line = progress.to_string();
            // After an outage, the document starts again.
            running.start(&mut progress, 1_000_500, Some(4_000_500));
            assert_eq!(progress.to_string(), line);
            running.end(&mut progress);
            (line, progress)
        };
        // 3,000,000 bytes at 500,000 bytes/s, whatever the documents before needed.
        for (total, ended, others, left) in [
            (3, 2, &[][..], ", 6 s left"),
            (1, 0, &[], ", 6 s left"),
            (3, 1, &[1_000_000], ", 8 s left"),
            (4, 2, &[], ", 6 s left"),
            (20, 2, &[], ", 18 s left"),
        ] {
            let (line, progress) = line(total, ended, others);
            assert!(line.ends_with(left), "{line}");
            let expected = others.iter().sum::<u64>();
            assert_eq!(progress.missing, expected);
            assert_eq!(progress.measured, others.len() as u64);
        }
        let (line, _) = line(2, 0, &[]);
        assert!(!line.contains("left"), "{line}");
    }
}
