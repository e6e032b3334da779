//! The answers of the steps from an id to a presigned URL.

use super::answers::{self, HandedUrl, refusal, url_place};
use super::received::Received;
use super::service::{STORAGE_HEADER, TableService};
use super::things::Thing;
use crate::provider::UrlSource;
use crate::sandbox::answer::{Answer, empty, insert_header, json};
use crate::sandbox::fault::Fault;
use crate::sandbox::state::{SandboxState, random};
use crate::sandbox::storage;
use hyper::header::{LOCATION, RETRY_AFTER};
use std::io;

impl TableService {
    /// The answer of a step.
    ///
    /// # Errors
    /// When the connection must close without an answer.
    pub(super) fn step(
        &self,
        state: &SandboxState,
        kind_number: usize,
        number: usize,
        thing: &Thing,
        received: &Received,
    ) -> io::Result<Answer> {
        let kind = &self.kinds[kind_number];
        let step = &kind.table.resolve[number];
        if let Some(status) = step.not_ready.first()
            && self.is_not_ready(state, (kind_number, thing.index))
        {
            let mut answer = refusal(
                *status,
                "The document is not ready yet.",
                step.error.as_ref(),
            );
            answer.headers_mut().insert(RETRY_AFTER, 1.into());
            return Ok(answer);
        }
        if step.is_charged {
            let key = format!("{}/{}", kind.table.identity, thing.id(&kind.table));
            *state.changing().report.charges.entry(key).or_default() += 1;
            if state.has(Fault::DropPostResponse) {
                return Err(io::Error::other("dropped on purpose"));
            }
        }
        let is_redirect = match &step.url {
            Some(UrlSource::Redirect { .. }) => true,
            Some(UrlSource::RedirectOrBody { .. }) => thing.is_even(),
            _ => false,
        };
        let is_body = step.url.as_ref().is_some_and(UrlSource::may_be_body) && !is_redirect;
        let mut answer = if is_body {
            let broken = storage::broken(state);
            broken.unwrap_or_else(|| {
                storage::send(
                    state,
                    &thing.document,
                    &received.headers,
                    &received.raw_query,
                )
            })
        } else if is_redirect {
            let mut answer = empty(302);
            let url = state.presigned(&thing.document, None);
            insert_header(&mut answer, LOCATION, &url);
            state.changing().report.downloads += 1;
            answer
        } else {
            let place = url_place(kind, number, thing);
            let handed =
                place.map(|place| handed_url(state, place.storage_headers.is_some(), thing));
            let handed = handed.transpose()?;
            let answer = answers::step(step, thing, place.zip(handed.as_ref()))?;
            json(200, &answer.into_json())
        };
        answers::set_checksums(&mut answer, &step.checksums, thing)?;
        Ok(answer)
    }

    /// Whether the fault says that the thing is not ready. Counts how often it was not.
    fn is_not_ready(&self, state: &SandboxState, key: (usize, usize)) -> bool {
        let times = state.fault(|fault| match fault {
            Fault::NotReady(times) => Some(*times),
            _ => None,
        });
        let Some(times) = times else {
            return false;
        };
        let mut serving = self.serving();
        let count = serving.not_ready.entry(key).or_default();
        let is_not_ready = *count < times;
        *count += u32::from(is_not_ready);
        is_not_ready
    }
}

/// A presigned URL of a thing's document, with a header for the storage where the table has such headers.
fn handed_url(state: &SandboxState, has_headers: bool, thing: &Thing) -> io::Result<HandedUrl> {
    let header = if has_headers {
        Some((STORAGE_HEADER.to_owned(), random(12)?))
    } else {
        None
    };
    Ok(HandedUrl {
        url: state.presigned(&thing.document, header.clone()),
        header,
        lifetime: state.url_lifetime(),
    })
}
