//! The storage behind presigned URLs, strict as object storages are.

use super::{Answer, Document, Switches};
use crate::support::raw::Request;
use crate::support::{SIGNATURE, sha256};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a presigned URL permits.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Where the object is: a path that is percent-encoded already, without a query.
    pub path: String,
    /// What stands in the query before the signature, with `&` at its end; `{end}` is the end in seconds since 1970.
    pub query: &'static str,
    /// The headers without which the storage refuses the URL.
    pub headers: Vec<(String, String)>,
    /// How long the URL lives, unless a switch says otherwise.
    pub valid: Duration,
    /// The storage declares this `Content-Disposition`.
    pub disposition: Option<String>,
    /// The storage declares this `Content-Type`.
    pub media_type: &'static str,
    /// The status after the end of the URL.
    pub ended: u16,
}

impl Grant {
    /// Of an object at this path, for an hour, without headers.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            query: "",
            headers: Vec::new(),
            valid: Duration::from_secs(3600),
            disposition: None,
            media_type: "application/octet-stream",
            ended: 403,
        }
    }
}

/// A presigned URL and its end.
#[derive(Clone, Debug)]
pub struct Presigned {
    pub url: String,
    pub end: Timestamp,
}

struct Granted {
    id: String,
    /// The path and the query of the URL.
    target: String,
    grant: Grant,
    end: Timestamp,
}

pub(super) struct Storage {
    origin: String,
    documents: Vec<Document>,
    /// What the client must not send: the credentials of the API.
    secrets: Vec<String>,
    reset_after: Option<usize>,
    expires_at_reset: bool,
    has_reset: AtomicBool,
    granted: Mutex<Vec<Granted>>,
}

impl Storage {
    pub(super) fn new(
        address: SocketAddr,
        documents: &[Document],
        switches: &Switches,
        secrets: Vec<String>,
    ) -> Self {
        let stored = |document: &Document| Document {
            content: (switches.stored)(&document.content),
            ..document.clone()
        };
        Self {
            origin: format!("http://{address}"),
            documents: documents.iter().map(stored).collect(),
            secrets,
            reset_after: switches.reset_once_after,
            expires_at_reset: switches.expires_at_reset,
            has_reset: AtomicBool::new(false),
            granted: Mutex::default(),
        }
    }

    pub(super) fn presign(&self, id: &str, grant: Grant) -> Presigned {
        let mut granted = self.granted.lock().unwrap();
        let end = Timestamp::now() + grant.valid;
        let query = grant.query.replace("{end}", &end.as_second().to_string());
        let (path, number) = (&grant.path, granted.len());
        let target = format!("{path}?{query}X-Sig={SIGNATURE}-{number}");
        let url = format!("{}{target}", self.origin);
        granted.push(Granted {
            id: id.to_owned(),
            target,
            grant,
            end,
        });
        Presigned { url, end }
    }

    /// As S3 answers: [its error codes](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
    pub(super) fn answer(&self, request: &Request) -> Answer {
        let mut granted = self.granted.lock().unwrap();
        let mut known = granted.iter();
        let found = known.find(|granted| granted.target == request.target);
        let Some(found) = found.filter(|_| request.method == "GET") else {
            return denied("SignatureDoesNotMatch", "The signature does not match.");
        };
        if let Some(refused) = self.refuse_headers(request, &found.grant) {
            return refused;
        }
        if found.end <= Timestamp::now() {
            return error(found.grant.ended, "AccessDenied", "Request has expired");
        }
        let mut documents = self.documents.iter();
        let document = documents.find(|document| document.id == found.id);
        let mut answer = self.send(document.unwrap(), request);
        if answer.status < 300 {
            answer = answer.header("Content-Type", found.grant.media_type);
            if let Some(disposition) = &found.grant.disposition {
                answer = answer.header("Content-Disposition", disposition);
            }
        }
        if answer.reset_after.is_some() && self.expires_at_reset {
            for granted in granted.iter_mut() {
                granted.end = Timestamp::now();
            }
        }
        answer
    }

    /// A storage wants the headers of the grant, and no credential besides.
    fn refuse_headers(&self, request: &Request, grant: &Grant) -> Option<Answer> {
        for (name, value) in &grant.headers {
            if request.header(name) != Some(value) {
                return Some(denied("AccessDenied", "A header of the URL is missing."));
            }
        }
        let is_granted = |name: &str| {
            let mut granted = grant.headers.iter();
            granted.any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let is_credential = |(name, value): &&(String, String)| {
            let is_secret = self.secrets.iter().any(|secret| value.contains(secret));
            let is_known = ["authorization", "cookie", "referer"].contains(&name.as_str());
            is_secret || (is_known && !is_granted(name))
        };
        let found = request.headers.iter().find(is_credential)?;
        let message = format!("Only one auth mechanism allowed: {}", found.0);
        Some(error(400, "InvalidArgument", &message))
    }

    /// The bytes of a document, or the range that the request wants (RFC 9110, section 14).
    pub(super) fn send(&self, document: &Document, request: &Request) -> Answer {
        let (content, total) = (&document.content, document.content.len());
        let tag = format!("\"{}\"", &sha256(content)[..32]);
        let date = document.modified.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let is_current = request.header("if-range").is_none_or(|known| known == tag);
        let range = request.header("range").filter(|_| is_current);
        let answer = match range.and_then(|range| span(range, total)) {
            Some(Span::Unsatisfiable) => {
                return error(416, "InvalidRange", "The range is not satisfiable")
                    .header("Content-Range", &format!("bytes */{total}"));
            }
            Some(Span::Bytes { first, last }) => Answer::new(206, &content[first..=last])
                .header("Content-Range", &format!("bytes {first}-{last}/{total}")),
            None => Answer::new(200, content.clone()),
        };
        let mut answer = answer
            .header("Accept-Ranges", "bytes")
            .header("ETag", &tag)
            .header("Last-Modified", &date.to_string());
        let breaks = |end: &usize| *end < answer.body.len();
        if self.reset_after.is_some_and(|end| breaks(&end))
            && !self.has_reset.swap(true, Ordering::Relaxed)
        {
            answer.reset_after = self.reset_after;
        }
        answer
    }
}

enum Span {
    Unsatisfiable,
    Bytes { first: usize, last: usize },
}

/// A single range; none where the header is none that a storage understands, and is ignored.
fn span(range: &str, total: usize) -> Option<Span> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(total.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, total.saturating_sub(1)),
        (Err(_), Ok(0)) if first.is_empty() => return Some(Span::Unsatisfiable),
        (Err(_), Ok(length)) if first.is_empty() => {
            (total.saturating_sub(length), total.saturating_sub(1))
        }
        _ => return None,
    };
    if first >= total {
        return Some(Span::Unsatisfiable);
    }
    Some(Span::Bytes { first, last })
}

fn denied(code: &str, message: &str) -> Answer {
    error(403, code, message)
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer::new(status, body).header("Content-Type", "application/xml")
}
