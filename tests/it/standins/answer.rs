//! Answers of stand-ins.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use std::io;
use std::time::Duration;

/// How long the bytes before a reset have to reach the client.
const TIME_BEFORE_RESET: Duration = Duration::from_millis(50);

/// An answer. Its length is always declared.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection is reset after so many bytes of the body.
    pub reset_after: Option<usize>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            reset_after: None,
        }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("Content-Type", "application/json")
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn into_response(self) -> hyper::Response<UnsyncBoxBody<Bytes, io::Error>> {
        let mut response = hyper::Response::builder()
            .status(self.status)
            .header("Content-Length", self.body.len());
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = Bytes::from(self.body);
        let Some(end) = self.reset_after.filter(|end| *end < body.len()) else {
            let body = Full::new(body).map_err(|never| match never {});
            return response.body(body.boxed_unsync()).unwrap();
        };
        let sent = stream::once(async move { Ok(Frame::data(body.slice(..end))) });
        let reset = stream::once(async {
            tokio::time::sleep(TIME_BEFORE_RESET).await;
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        });
        let body = StreamBody::new(sent.chain(reset));
        response.body(body.boxed_unsync()).unwrap()
    }
}
