//! The answers of the sandbox.

use super::body::SandboxBody;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// An answer of the sandbox.
pub(super) type Answer = Response<SandboxBody>;

/// An answer without a body.
pub(super) fn empty(status: u16) -> Answer {
    with_status(status, Vec::new())
}

/// An answer in JSON.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    let mut answer = with_status(status, value.to_string().into_bytes());
    insert_header(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

/// An error of the storage, in the XML of Amazon S3.
pub(super) fn storage_error(status: u16, code: &str, message: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut answer = with_status(status, xml.into_bytes());
    insert_header(&mut answer, CONTENT_TYPE, "application/xml");
    answer
}

/// Sets a header. A value that no header can have is left out.
pub(super) fn insert_header(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn with_status(status: u16, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(SandboxBody::of(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer
}
