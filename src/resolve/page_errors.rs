//! What the rows of a route are called, and the errors of a route that gives none.

use super::answer;
use super::api::Api;
use super::base_hint::other_base_hint;
use crate::error::{Code, Error};
use crate::http::Reply;
use crate::provider::{Pointers, Provider};
use crate::text::plural;
use url::Url;

/// The rows of a route, in sentences.
#[derive(Debug)]
pub(super) struct ListedThings {
    /// One of them.
    pub(super) thing: String,
    /// Whether every account has the route: where there is none, the base is wrong.
    pub(super) is_main_list: bool,
    /// The options of the request whose values are ids of other things.
    pub(super) references: Vec<String>,
}

impl ListedThings {
    /// The error of an answer whose status is no success. `url` is the route's, and `error_at` is where the table has the
    /// reason.
    pub(super) async fn refusal(
        &self,
        api: &Api,
        url: &Url,
        reply: Reply,
        error_at: Option<&Pointers>,
    ) -> Error {
        let status = reply.status();
        let what = format!("the list of {}", plural(&self.thing));
        let error = api.refusal_of(&what, reply, error_at).await;
        match status {
            404 if self.is_main_list && self.references.is_empty() => self
                .no_list(api, url, &error)
                .with_http_status(status)
                .into_permanent(),
            400 | 404 if !self.references.is_empty() => {
                let options = self.references.join(" and --");
                error.with_hint(format!("check --{options}: perhaps nothing has that id"))
            }
            _ => error,
        }
    }

    /// The error of a list that the API does not have.
    fn no_list(&self, api: &Api, url: &Url, refusal: &Error) -> Error {
        let table = &api.provider.table;
        let things = plural(&self.thing);
        let what = format!("{} has no list of {things} at {url}", table.title);
        let error = Error::new(Code::NotFound, what);
        let error = match refusal.cause() {
            Some(cause) => error.with_cause(cause),
            None => error,
        };
        let hint = other_base_hint(&api.provider, &api.base);
        error.with_hint(hint.unwrap_or_else(|| answer::wrong_base_hint(&table.variables.api_base)))
    }

    /// The error of an answer that is not a page of the list.
    pub(super) fn no_page(&self, api: &Api, url: &Url, error: Error) -> Error {
        if error.code() != Code::Protocol {
            return error;
        }
        let things = plural(&self.thing);
        let what = format!("the answer for {url} is not a list of {things}");
        let hint = other_base_hint(&api.provider, &api.base);
        let hint = hint.filter(|_| !error.has_own_hint());
        Error::new(Code::Protocol, what)
            .with_cause(error.cause().unwrap_or_default())
            .with_hint(hint.unwrap_or_else(|| error.hint().to_owned()))
    }
}

/// The error of a provider that lists nothing.
pub(super) fn no_list(provider: &Provider) -> Error {
    let table = &provider.table;
    let things = plural(&table.thing);
    let what = format!("docfetch cannot list the {things} of {}", table.title);
    Error::new(Code::Usage, what)
        .with_cause("the table of this provider has no list")
        .with_hint(format!("fetch by id: docfetch {} ID", table.name))
}
