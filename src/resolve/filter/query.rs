//! The filters of a request: what the server of a listing can compare.
//!
//! A server may compare in another way than docfetch. A filter goes to the server only where the server then
//! sends every row that matches here.

use super::{FieldFilter, Filter, OwnFilter};
use crate::provider::{Listing, OwnOption, ReferencedList, ServerFilter};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The filters of a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::resolve) struct FilterQuery {
    /// Query parameters.
    pub(in crate::resolve) pairs: Vec<(&'static str, String)>,
    /// Whether a server that applies these parameters sends only rows that match.
    pub(in crate::resolve) is_exact: bool,
    /// The options whose values are ids of other things. The server may refuse an id that it does not know.
    pub(in crate::resolve) references: Vec<&'static str>,
}

impl FilterQuery {
    /// The parameters for the filters that the server has.
    pub(in crate::resolve) fn of(filter: &Filter, listing: &Listing) -> Self {
        let mut query = Builder::default();
        let known = &listing.filters;
        let time = |time: Timestamp| Value::String(rfc3339(time));
        if let Some(name) = &filter.name {
            query.add(name.as_str().into(), known.name.filter(|_| is_plain(name)));
        }
        if let Some(since) = filter.since {
            query.add(time(since), known.since);
        }
        if let Some(until) = filter.until {
            query.add(time(until), known.until);
        }
        for own in &filter.own {
            query.add_own(own, listing);
        }
        if let Some(size) = filter.larger_than {
            query.add(size.into(), known.size);
            query.is_inexact = true; // the server's least size includes documents of that size
        }
        for field in &filter.fields {
            query.add_field(field, listing);
        }
        query.is_inexact |= !filter.include.is_empty() || !filter.exclude.is_empty();
        query.build()
    }
}

/// Whether every server finds this text in a name as docfetch does. Servers differ in the case of other letters
/// than ASCII, and take a backslash for an escape.
fn is_plain(text: &str) -> bool {
    text.is_ascii() && !text.contains('\\')
}

#[derive(Default)]
struct Builder {
    pairs: Vec<(&'static str, String)>,
    objects: BTreeMap<&'static str, Map<String, Value>>,
    is_inexact: bool,
    references: Vec<&'static str>,
}

impl Builder {
    /// Adds a filter, unless the server lacks the filter or compares the field already.
    fn add(&mut self, value: Value, server: Option<ServerFilter>) {
        match server {
            None => self.is_inexact = true,
            Some(ServerFilter::Parameter(name)) => {
                if self.pairs.iter().any(|(known, _)| *known == name) {
                    self.is_inexact = true;
                    return;
                }
                let text = value.as_str().map(str::to_owned);
                self.pairs
                    .push((name, text.unwrap_or_else(|| value.to_string())));
            }
            Some(ServerFilter::Field {
                parameter,
                field,
                operator,
            }) => {
                let object = self.objects.entry(parameter).or_default();
                if object.contains_key(field) {
                    self.is_inexact = true;
                    return;
                }
                let value = match operator {
                    "" => value,
                    operator => Map::from_iter([(operator.to_owned(), value)]).into(),
                };
                object.insert(field.to_owned(), value);
            }
        }
    }

    fn add_own(&mut self, filter: &OwnFilter, listing: &Listing) {
        let Some(own) = listing.filters.own(filter.option) else {
            return; // `Filter::check` refused it
        };
        let values: Vec<&str> = filter.values.iter().map(String::as_str).collect();
        self.note_reference(own);
        self.add(value(own, &values), Some(own.server));
    }

    /// Adds `--where`, where the provider has an option for the field and the server knows the value.
    fn add_field(&mut self, filter: &FieldFilter, listing: &Listing) {
        let mut options = listing.filters.own.iter();
        let own = options.find(|own| own.field == filter.field);
        let one = filter.values.first().filter(|_| filter.values.len() == 1);
        let (Some(own), Some(wanted)) = (own, one) else {
            self.is_inexact = true;
            return;
        };
        let is_known = match own.referenced {
            Some(_) => ReferencedList::is_id(wanted),
            None if own.values.is_empty() => !wanted.is_empty(),
            None => own.values.contains(&wanted.as_str()),
        };
        if is_known {
            self.note_reference(own);
        }
        self.add(value(own, &[wanted]), is_known.then_some(own.server));
    }

    /// Notes an option whose values are ids of other things.
    fn note_reference(&mut self, own: &OwnOption) {
        if own.referenced.is_some() && !self.references.contains(&own.name) {
            self.references.push(own.name);
        }
    }

    fn build(mut self) -> FilterQuery {
        for (parameter, object) in self.objects {
            self.pairs
                .push((parameter, Value::Object(object).to_string()));
        }
        FilterQuery {
            pairs: self.pairs,
            is_exact: !self.is_inexact,
            references: self.references,
        }
    }
}

/// The value of an option in a request.
fn value(own: &OwnOption, values: &[&str]) -> Value {
    let one = |text: &&str| match own.referenced {
        Some(list) => json!({ "$ref": list.uri(text) }),
        None => Value::String((*text).to_owned()),
    };
    if own.is_list {
        return values.iter().map(one).collect();
    }
    values.first().map_or(Value::Null, one)
}

/// A time for a query: to the microsecond, the precision of the servers.
fn rfc3339(time: Timestamp) -> String {
    match time.subsec_nanosecond() % 1000 {
        0 => time.to_string(),
        _ => format!("{time:.6}"),
    }
}
