//! The names of projects, tags and the like become their ids, by a free route of the provider.

use super::answer::AnswerSource;
use super::api::{Api, ApiCall};
use super::filter::{Filter, OwnFilter};
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::http::backoff::{RetryContext, RetryPolicy};
use crate::provider::ReferencedList;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// The longest answer in bytes.
const MAX_LOOKUP_BYTES: usize = 1 << 20;
/// How many things one request lists at most.
const MAX_LOOKUP_ROWS: &str = "100";

/// A thing that has a name, as the provider lists it.
#[derive(Deserialize)]
struct NamedThing {
    #[serde(rename = "$uri")]
    uri: String,
    name: Option<String>,
}

/// Replaces names in the provider's own options by ids. Text in the form of an id stays.
///
/// # Errors
/// [`Code::Usage`] for a name that nothing has, or that several things have; every code of an API that refuses or
/// cannot be reached in time.
pub(super) async fn with_ids(api: &Api, retry: RetryPolicy, filter: &mut Filter) -> Result<()> {
    let filters = api.provider.listing.filters;
    for OwnFilter { option, values } in &mut filter.own {
        let Some(list) = filters.own(option).and_then(|own| own.referenced) else {
            continue;
        };
        for value in values {
            *value = id_of(api, retry, list, value).await?;
        }
    }
    Ok(())
}

async fn id_of(api: &Api, retry: RetryPolicy, list: ReferencedList, text: &str) -> Result<String> {
    let id = text.strip_prefix(list.id_uri_prefix).unwrap_or(text);
    if ReferencedList::is_id(id) {
        return Ok(id.to_owned());
    }
    let mut retry = RetryContext::new(retry, active_time::now());
    let found = loop {
        match request(api, list, text, retry.time_left()).await {
            Ok(found) => break found,
            Err(error) => retry.wait_after(error).await?,
        }
    };
    // A server that ignores the filter lists other things, too.
    let named = found.iter().filter(|one| one.name.as_deref() == Some(text));
    let uris = named.map(|one| one.uri.trim_end_matches('/'));
    let ids = uris.filter_map(|uri| uri.rsplit('/').next());
    let ids: Vec<&str> = ids.filter(|id| ReferencedList::is_id(id)).collect();
    let (title, thing) = (&api.provider.table.title, list.thing);
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => {
            let what = format!("{title} knows no {thing} of the name {text:?}");
            let why =
                format!("a {thing} is named by its exact name, or by its id of 16 characters");
            let list = api.provider.list_command();
            let hint = format!(
                "`{list} --json` shows the {thing} of each {}",
                api.provider.table.thing
            );
            Err(Error::new(Code::Usage, what)
                .with_cause(why)
                .with_hint(hint))
        }
        several => {
            let what = format!(
                "{title} has {} {thing}s of the name {text:?}",
                several.len()
            );
            let hint = format!("give the id of one of them: {}", several.join(", "));
            Err(Error::new(Code::Usage, what).with_hint(hint))
        }
    }
}

async fn request(
    api: &Api,
    list: ReferencedList,
    name: &str,
    max_hold_wait: Duration,
) -> Result<Vec<NamedThing>> {
    let mut url = api.route(list.path, None);
    url.query_pairs_mut()
        .append_pair("where", &json!({ "name": name }).to_string())
        .append_pair("per_page", MAX_LOOKUP_ROWS);
    let call = ApiCall {
        max_hold_wait,
        ..ApiCall::new(Method::GET, url)
    };
    let reply = api.send(call).await.map_err(|failure| failure.error)?;
    if reply.status() != 200 {
        let what = format!("the list of {}s", list.thing);
        return Err(api.refusal_of(&what, reply).await);
    }
    let source = AnswerSource::of(&api.provider, &reply);
    let body = reply.json_body(MAX_LOOKUP_BYTES).await?;
    source.json(&body)
}
