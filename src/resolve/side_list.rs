//! Free side lists of a provider, such as its companies: each is read once a run, and only where docfetch needs it.

use super::api::Api;
use super::filter::query::FilterQuery;
use super::page_errors::ListedThings;
use super::pager::{FirstPage, Pager};
use super::place::{Place, RowFields, text_or_integer};
use super::row_names::NamesById;
use crate::error::{Error, Result};
use crate::http::backoff::RetryPolicy;
use crate::mutex::locked;
use crate::provider::{Lookup, Pointers};
use crate::secret::contains_secret;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The longest id or name in bytes.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// The most things of a side list: docfetch keeps their names in memory.
const MAX_THINGS: usize = 1_000_000;

/// The side lists that were read in this run, by their names.
#[derive(Debug, Default)]
pub(super) struct SideLists {
    read: Mutex<HashMap<String, Option<Arc<NamesById>>>>,
}

/// A thing of a side list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedThing {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
}

impl SideLists {
    /// The names of a side list by their ids. The list is requested once a run: later calls return what the first one
    /// found, and nothing where it failed.
    ///
    /// # Errors
    /// As [`read`], of the first call.
    pub(super) async fn names(
        &self,
        api: &Api,
        retry: RetryPolicy,
        lookup: &Lookup,
    ) -> Result<Option<Arc<NamesById>>> {
        if let Some(names) = locked(&self.read).get(&lookup.name) {
            return Ok(names.clone());
        }
        let found = Box::pin(read(api, retry, lookup, None)).await;
        let names = found.map(|things| {
            let pairs = things.into_iter().map(|thing| (thing.id, thing.name));
            Arc::new(pairs.collect::<NamesById>())
        });
        let known = names.as_ref().ok().map(Arc::clone);
        locked(&self.read).insert(lookup.name.clone(), known);
        names.map(Some)
    }
}

impl SideLists {
    /// Every thing of a side list, in no order.
    ///
    /// # Errors
    /// As [`SideLists::names`].
    pub(super) async fn things(
        &self,
        api: &Api,
        retry: RetryPolicy,
        lookup: &Lookup,
    ) -> Result<Vec<NamedThing>> {
        let names = self.names(api, retry, lookup).await?.unwrap_or_default();
        let thing = |(id, name): (&String, &String)| NamedThing {
            id: id.clone(),
            name: name.clone(),
        };
        Ok(names.iter().map(thing).collect())
    }
}

/// Requests the things of a side list; with `name`, those of this name as far as the server can tell.
///
/// # Errors
/// As [`Pager::next`].
pub(super) async fn read(
    api: &Api,
    retry: RetryPolicy,
    lookup: &Lookup,
    name: Option<&str>,
) -> Result<Vec<NamedThing>> {
    let listed = ListedThings {
        thing: lookup.name.clone(),
        is_main_list: false,
        references: Vec::new(),
    };
    let filters = match (name, &lookup.by_name) {
        (Some(name), Some(rule)) => FilterQuery::of_name(name, rule).pairs,
        _ => Vec::new(),
    };
    let first = FirstPage {
        filters,
        rows: None,
    };
    let values = api.slot_values(None);
    let mut pager = Pager::new(api, retry, &lookup.rows, listed, values, first)?;
    let reader = ThingReader::new(lookup);
    let mut things = Vec::new();
    while let Some(mut page) = pager.next().await? {
        while let Some(json) = page.next_row() {
            things.extend(reader.read(json));
        }
        if things.len() > MAX_THINGS {
            return Err(too_many(&pager));
        }
    }
    Ok(things)
}

fn too_many(pager: &Pager<'_>) -> Error {
    pager.endless(&format!("it lists more than {MAX_THINGS} things"))
}

/// Where rows of a side list have what docfetch reads.
struct ThingReader {
    places: RowFields,
    id: Place,
    name: Place,
    only: Option<(Place, Value)>,
}

impl ThingReader {
    fn new(lookup: &Lookup) -> Self {
        let mut places = RowFields::default();
        let id = places.field_place(&lookup.id);
        let name = places.place(&lookup.named, false);
        let only = lookup.rows.only.as_ref().map(|only| {
            let at = Pointers(vec![only.at.clone()]);
            (places.place(&at, false), only.equals.clone())
        });
        Self {
            places,
            id,
            name,
            only,
        }
    }

    /// The thing in a row; none for a row without an id or a name that docfetch can show.
    fn read(&self, json: &str) -> Option<NamedThing> {
        let row = self.places.row(json);
        if let Some((place, wanted)) = &self.only {
            let found = row.first(place).unwrap_or("null");
            let found: Value = serde_json::from_str(found).ok()?;
            (found == *wanted).then_some(())?;
        }
        let text = |place: &Place| {
            let usable = |json| Ok::<_, ()>(text_or_integer(json, MAX_TEXT_BYTES));
            let text = row.find_map(place, usable).ok().flatten()?;
            let text = place.taken(&text).to_owned();
            (!text.is_empty() && !contains_secret(&text)).then_some(text)
        };
        Some(NamedThing {
            id: text(&self.id)?,
            name: text(&self.name)?,
        })
    }
}
