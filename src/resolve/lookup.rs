//! The names of projects, tags and the like become their ids, by a free route of the provider.

use super::api::Api;
use super::filter::{Filter, OwnFilter};
use super::side_list::{self, NamedThing, SideLists};
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryPolicy;
use crate::provider::Lookup;
use crate::text::plural;

/// Replaces names in the provider's own options by ids. Text in the form of an id stays.
///
/// # Errors
/// [`Code::Usage`] for a name that nothing has, or that several things have; every code of an API that refuses or
/// cannot be reached in time.
pub(super) async fn with_ids(
    api: &Api,
    retry: RetryPolicy,
    side_lists: &SideLists,
    filter: &mut Filter,
) -> Result<()> {
    let table = &api.provider.table;
    for OwnFilter { option, values } in &mut filter.own {
        let Some(lookup) = table.option(option).and_then(|own| table.lookup_of(own)) else {
            continue;
        };
        for value in values {
            *value = id_of(api, retry, side_lists, lookup, value).await?;
        }
    }
    Ok(())
}

async fn id_of(
    api: &Api,
    retry: RetryPolicy,
    side_lists: &SideLists,
    lookup: &Lookup,
    text: &str,
) -> Result<String> {
    if let Some(id) = lookup.id_in(text) {
        return Ok(id.to_owned());
    }
    let things = match lookup.by_name {
        Some(_) => side_list::read(api, retry, lookup, Some(text)).await?,
        None => side_lists.things(api, retry, lookup).await?,
    };
    if let Some(id) = id_among(&things, lookup, text) {
        return Ok(id);
    }
    // A server that ignores the filter lists other things, too.
    let named = things.into_iter().filter(|thing| thing.name == text);
    let ids = named.map(|thing| thing.id);
    let mut ids: Vec<String> = ids
        .filter(|id| lookup.id_in(id).is_some() || lookup.id_pattern.is_none())
        .collect();
    if ids.len() == 1 {
        return Ok(ids.remove(0));
    }
    let title = &api.provider.table.title;
    Err(not_one(api, title, lookup, text, &ids))
}

/// The id `text`, where the side list tells which texts are ids.
fn id_among(things: &[NamedThing], lookup: &Lookup, text: &str) -> Option<String> {
    let is_id = lookup.id_pattern.is_none() && things.iter().any(|thing| thing.id == text);
    is_id.then(|| text.to_owned())
}

/// The error of a name that nothing has, or that the things with these ids have.
fn not_one(api: &Api, title: &str, lookup: &Lookup, text: &str, ids: &[String]) -> Error {
    let thing = &lookup.name;
    if !ids.is_empty() {
        let (count, things) = (ids.len(), plural(thing));
        let what = format!("{title} has {count} {things} of the name {text:?}");
        let hint = format!("give the id of one of them: {}", ids.join(", "));
        return Error::new(Code::Usage, what).with_hint(hint);
    }
    let what = format!("{title} knows no {thing} of the name {text:?}");
    let why = match &lookup.id_pattern {
        Some(pattern) => format!(
            "a {thing} is named by its exact name, or by its id, {}",
            shown(pattern.as_str())
        ),
        None => format!("a {thing} is named by its exact name, or by its id"),
    };
    let list = api.provider.list_command();
    let each = &api.provider.table.thing;
    let hint = format!("`{list} --json` shows the {thing} of each {each}");
    Error::new(Code::Usage, what)
        .with_cause(why)
        .with_hint(hint)
}

/// A pattern as a table writes it.
fn shown(pattern: &str) -> String {
    let own = pattern
        .strip_prefix("^(?:")
        .and_then(|rest| rest.strip_suffix(")$"));
    format!("which matches {}", own.unwrap_or(pattern))
}
