//! Permanent redirects within an API, such as that of a renamed repository.

use super::api::{Api, ApiCall};
use crate::error::{Code, Error};
use crate::http::{Failure, Reply, handed_over};
use reqwest::Method;
use url::Url;

/// How often a request is repeated where the API says that its resource moved.
const MAX_MOVES: usize = 3;

impl Api {
    /// Sends a request as [`Api::send_once`] does. Where the API's own origin says that the resource of a free GET
    /// request moved for good (301 and 308, RFC 9110 sections 15.4.2 and 15.4.9), the same request goes to the new URL:
    /// such a redirect hands over no presigned URL, which is temporary.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived. [`Code::UnsafeRedirect`] for a resource that moves
    /// more than three times.
    pub(super) async fn send(&self, call: ApiCall<'_>) -> Result<Reply, Failure> {
        if call.before_send.is_some() || call.method != Method::GET || call.body.is_some() {
            return self.send_once(call).await;
        }
        let mut url = call.url;
        for _ in 0..=MAX_MOVES {
            let call = ApiCall {
                headers: call.headers.clone(),
                bytes: call.bytes,
                max_hold_wait: call.max_hold_wait,
                max_answer_time: call.max_answer_time,
                ..ApiCall::new(Method::GET, url.clone())
            };
            let reply = self.send_once(call).await?;
            let Some(moved) = moved_to(&reply, &url) else {
                return Ok(reply);
            };
            let title = &self.provider.table.title;
            log::info!("{title} says that the resource moved for good; requesting the new URL");
            url = moved;
        }
        let title = &self.provider.table.title;
        let what = format!("{title} redirects without end");
        let error = Error::new(Code::UnsafeRedirect, what).with_cause(format!(
            "more than {MAX_MOVES} permanent redirects in a row"
        ));
        Err(Failure { error, sent: true })
    }
}

/// The new URL of a resource that moved for good within the origin of `url`.
fn moved_to(reply: &Reply, url: &Url) -> Option<Url> {
    let moved = matches!(reply.status(), 301 | 308);
    let target = moved.then(|| handed_over::location(reply.headers(), url).ok())??;
    let is_plain = target.username().is_empty() && target.password().is_none();
    (is_plain && target.origin() == url.origin()).then_some(target)
}
