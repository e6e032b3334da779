//! What can be made to go wrong.

use std::str::FromStr;
use std::time::Duration;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Every body ends after so many bytes, without a word.
    Truncate(u64),
    /// The connection is reset after so many bytes of a body.
    ResetEvery(u64),
    /// Every body falls silent after so many bytes.
    StallAfter(u64),
    /// URLs live this long.
    ExpireAfter(Duration),
    /// A range request is answered with the whole document.
    IgnoreRange,
    /// A range request is answered with another range.
    WrongRange,
    /// Every response has another entity tag.
    ChangeEtag,
    /// The storage answers with a status: so many times, or always.
    Status(u16, Option<u32>),
    /// The paid POST is counted as charged, and never answered.
    DropPostResponse,
    /// Every answer waits this long.
    Latency(Duration),
    /// Bodies come at so many bytes a second.
    Throttle(u64),
    /// The storage answers with the login page of a proxy instead of the document.
    HtmlPage,
}

/// Why a text is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFault(String);

const KINDS: &str = "truncate=BYTES, reset-every=BYTES, stall-after=BYTES, expire-after=DUR, \
     ignore-range, wrong-range, change-etag, status=CODE[xN], drop-post-response, latency=DUR, \
     throttle=BYTES, html-page";

impl FromStr for Fault {
    type Err = InvalidFault;

    /// Reads `KIND` or `KIND=VALUE`.
    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (kind, value) = match text.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (text, None),
        };
        let wrong = || InvalidFault(format!("one of {KINDS} is expected"));
        let size = || crate::text::parse_size(value?).filter(|bytes| *bytes > 0);
        let duration = || crate::text::parse_duration(value?);
        let fault = match kind {
            "truncate" => size().map(Self::Truncate),
            "reset-every" => size().map(Self::ResetEvery),
            "stall-after" => size().map(Self::StallAfter),
            "throttle" => size().map(Self::Throttle),
            "expire-after" => duration().map(Self::ExpireAfter),
            "latency" => duration().map(Self::Latency),
            "status" => value.and_then(status),
            "ignore-range" if value.is_none() => Some(Self::IgnoreRange),
            "wrong-range" if value.is_none() => Some(Self::WrongRange),
            "change-etag" if value.is_none() => Some(Self::ChangeEtag),
            "html-page" if value.is_none() => Some(Self::HtmlPage),
            "drop-post-response" if value.is_none() => Some(Self::DropPostResponse),
            _ => None,
        };
        fault.ok_or_else(wrong)
    }
}

fn status(value: &str) -> Option<Fault> {
    let (code, times) = match value.split_once('x') {
        Some((code, times)) => (code, Some(times.parse().ok()?)),
        None => (value, None),
    };
    let code = code.parse().ok().filter(|code| (300..600).contains(code))?;
    Some(Fault::Status(code, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        assert_eq!("truncate=64K".parse(), Ok(Fault::Truncate(65536)));
        assert_eq!("status=503x2".parse(), Ok(Fault::Status(503, Some(2))));
        assert_eq!("status=404".parse(), Ok(Fault::Status(404, None)));
        assert_eq!(
            "latency=40ms".parse(),
            Ok(Fault::Latency(Duration::from_millis(40)))
        );
        assert_eq!("ignore-range".parse(), Ok(Fault::IgnoreRange));
        for wrong in [
            "",
            "truncate",
            "truncate=0",
            "status=99",
            "status=503x",
            "ignore-range=1",
            "x=1",
        ] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
