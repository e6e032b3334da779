//! Faults: in which ways a sandbox can fail.

use std::str::FromStr;
use std::time::Duration;

/// One way in which a sandbox fails on purpose. Parse a fault from the text of `docfetch sandbox --fault`.
///
/// ```
/// use docfetch::sandbox::Fault;
///
/// assert_eq!("truncate=64K".parse(), Ok(Fault::Truncate(65536)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// `truncate=BYTES`: the storage closes the connection after this many bytes of each body.
    Truncate(u64),
    /// `reset-every=BYTES`: the storage resets the connection after this many bytes of each body.
    ResetEvery(u64),
    /// `stall-after=BYTES`: the storage sends nothing more after this many bytes of each body, and keeps the
    /// connection open.
    StallAfter(u64),
    /// `expire-after=DURATION`: presigned URLs expire after this time instead of one hour.
    ExpireAfter(Duration),
    /// `ignore-range`: the storage answers a range request with the whole document.
    IgnoreRange,
    /// `wrong-range`: the storage answers a range request with a range that starts one byte earlier.
    WrongRange,
    /// `change-etag`: each answer of the storage has another entity tag.
    ChangeEtag,
    /// `status=CODE` or `status=CODExN`: the storage answers with this HTTP status, always or N times.
    Status(u16, Option<u32>),
    /// `drop-post-response`: One Codex counts a charge, and closes the connection without an answer.
    DropPostResponse,
    /// `latency=DURATION`: each answer is late by this time.
    Latency(Duration),
    /// `throttle=BYTES`: the storage sends this many bytes per second on each connection.
    Throttle(u64),
    /// `html-page`: the storage answers with the login page of a proxy instead of the document.
    HtmlPage,
    /// `not-ready=N`: a document of a table with `not_ready` is ready after N requests only.
    NotReady(u32),
}

/// The error of a text that is no fault. Its message says how to write the fault, or lists all faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFault(String);

const ALL_FAULTS: &str = "truncate=BYTES, reset-every=BYTES, stall-after=BYTES, expire-after=DUR, \
     ignore-range, wrong-range, change-etag, status=CODE[xN], drop-post-response, latency=DUR, \
     throttle=BYTES, html-page, not-ready=N";

impl FromStr for Fault {
    type Err = InvalidFault;

    /// Parses `KIND` or `KIND=VALUE`.
    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (kind, value) = match text.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (text, None),
        };
        let size = || crate::text::parse_size(value?).filter(|bytes| *bytes > 0);
        let duration = || crate::text::parse_duration(value?);
        let fault = match kind {
            "truncate" => size().map(Self::Truncate),
            "reset-every" => size().map(Self::ResetEvery),
            "stall-after" => size().map(Self::StallAfter),
            "throttle" => size().map(Self::Throttle),
            "expire-after" => duration().map(Self::ExpireAfter),
            "latency" => duration().map(Self::Latency),
            "not-ready" => value
                .and_then(|times| times.parse().ok())
                .map(Self::NotReady),
            "status" => value.and_then(status),
            "ignore-range" if value.is_none() => Some(Self::IgnoreRange),
            "wrong-range" if value.is_none() => Some(Self::WrongRange),
            "change-etag" if value.is_none() => Some(Self::ChangeEtag),
            "html-page" if value.is_none() => Some(Self::HtmlPage),
            "drop-post-response" if value.is_none() => Some(Self::DropPostResponse),
            _ => None,
        };
        fault.ok_or_else(|| InvalidFault::of(kind))
    }
}

impl InvalidFault {
    /// What docfetch expects instead of a fault that begins with `kind`.
    fn of(kind: &str) -> Self {
        let form_of = |form: &&str| form.split('=').next() == Some(kind);
        Self(match ALL_FAULTS.split(", ").find(form_of) {
            Some(form @ "status=CODE[xN]") => {
                format!("{form} is expected, as in status=503x2; CODE is 300 to 599")
            }
            Some(form) if form.ends_with("BYTES") => {
                format!("{form} is expected, as in {kind}=64K; BYTES is at least 1")
            }
            Some(form) if form.ends_with("DUR") => {
                format!("{form} is expected, as in {kind}=500ms")
            }
            Some(form) if form.ends_with("=N") => {
                format!("{form} is expected, as in {kind}=2")
            }
            Some(form) => format!("{form} is expected, without a value"),
            None => format!("one of {ALL_FAULTS} is expected"),
        })
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
    fn faults_are_parsed() {
        assert_eq!("truncate=64K".parse(), Ok(Fault::Truncate(65536)));
        assert_eq!("status=503x2".parse(), Ok(Fault::Status(503, Some(2))));
        assert_eq!("status=404".parse(), Ok(Fault::Status(404, None)));
        assert_eq!(
            "latency=40ms".parse(),
            Ok(Fault::Latency(Duration::from_millis(40)))
        );
        assert_eq!("not-ready=2".parse(), Ok(Fault::NotReady(2)));
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
        for (wrong, expected) in [
            ("truncate", "truncate=BYTES is expected, as in truncate=64K"),
            (
                "latency=soon",
                "latency=DUR is expected, as in latency=500ms",
            ),
            (
                "status=99",
                "status=CODE[xN] is expected, as in status=503x2",
            ),
            ("not-ready=x", "not-ready=N is expected, as in not-ready=2"),
            ("html-page=1", "html-page is expected, without a value"),
            ("cut=1", "one of truncate=BYTES, reset-every=BYTES, "),
        ] {
            let error = wrong.parse::<Fault>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
