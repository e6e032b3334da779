//! Which rows of a listing the user wants.
//!
//! A request has every filter that the server knows. docfetch also compares each row itself, so a server
//! that ignores a filter, or applies it differently, changes nothing.

use super::row::Row;
use crate::error::{Code, Error, Result};
use crate::provider::{Listing, OwnField, Provider, ServerFilter};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a row must have. The default matches every row. A row does not match a filter of a field that
/// the row does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// A part of its name; upper and lower case are the same.
    pub name: Option<String>,
    /// The earliest time of its last change.
    pub since: Option<Timestamp>,
    /// The latest time of its last change.
    pub until: Option<Timestamp>,
    /// The company that it belongs to.
    pub company: Option<String>,
    /// How it reached the provider.
    pub source: Option<String>,
    /// How far the provider has parsed it.
    pub parse_state: Option<String>,
    /// A number of bytes that its size exceeds.
    pub larger_than: Option<u64>,
}

/// The filters of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilterQuery {
    /// Query parameters.
    pub(super) pairs: Vec<(&'static str, String)>,
    /// Whether a server that applies these parameters sends only rows that match.
    pub(super) is_exact: bool,
}

impl Filter {
    /// Checks that the provider's server or its rows have every field that this filter compares.
    ///
    /// # Errors
    /// [`Code::Usage`], with the provider and the option that it has no filter for.
    pub(crate) fn check(&self, provider: &Provider) -> Result<()> {
        let listing = &provider.listing;
        let known = &listing.filters;
        let size = listing.size.is_some() || known.size.is_some();
        for (given, known, option) in [
            (self.company.is_some(), known.company.is_some(), "--company"),
            (self.source.is_some(), known.source.is_some(), "--source"),
            (
                self.parse_state.is_some(),
                known.parse_state.is_some(),
                "--parse-state",
            ),
            (self.larger_than.is_some(), size, "--larger-than"),
        ] {
            if given && !known {
                let title = provider.title;
                return Err(
                    Error::new(Code::Usage, format!("{title} has no filter {option}"))
                        .with_cause("neither its API nor its listings have that field"),
                );
            }
        }
        Ok(())
    }

    /// The parameters for the filters that the server has.
    pub(super) fn query(&self, listing: &Listing) -> FilterQuery {
        let known = &listing.filters;
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let time = |time: Option<Timestamp>| time.map(|time| Value::String(rfc3339(time)));
        let server = |own: Option<OwnField>| own.and_then(|own| own.server);
        let filters = [
            (text(&self.name), known.name),
            (time(self.since), known.since),
            (time(self.until), known.until),
            (text(&self.company), server(known.company)),
            (text(&self.source), server(known.source)),
            (text(&self.parse_state), server(known.parse_state)),
            (self.larger_than.map(Value::from), known.size),
        ];
        let mut pairs = Vec::new();
        let mut objects: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        // The server's least size includes documents of that size.
        let mut is_exact = self.larger_than.is_none();
        for (value, server) in filters {
            match (value, server) {
                (None, _) => {}
                (Some(_), None) => is_exact = false,
                (Some(Value::String(text)), Some(ServerFilter::Parameter(name))) => {
                    pairs.push((name, text));
                }
                (Some(value), Some(ServerFilter::Parameter(name))) => {
                    pairs.push((name, value.to_string()));
                }
                (
                    Some(value),
                    Some(ServerFilter::Field {
                        parameter,
                        field,
                        operator,
                    }),
                ) => {
                    let object = objects.entry(parameter).or_default();
                    if object.contains_key(field) {
                        is_exact = false;
                    } else {
                        let one = Map::from_iter([(operator.to_owned(), value)]);
                        object.insert(field.to_owned(), Value::Object(one));
                    }
                }
            }
        }
        for (parameter, object) in objects {
            pairs.push((parameter, Value::Object(object).to_string()));
        }
        FilterQuery { pairs, is_exact }
    }

    /// Whether a row matches.
    pub(super) fn matches(&self, row: &Row, listing: &Listing) -> bool {
        let name = self.name.as_ref().is_none_or(|part| {
            let name = row.name.as_ref().map(|name| name.to_lowercase());
            name.is_some_and(|name| name.contains(&part.to_lowercase()))
        });
        let dated = self.since.is_some() || self.until.is_some();
        let time = !dated
            || row
                .modified
                .as_deref()
                .and_then(parse_time)
                .is_some_and(|at| {
                    self.since.is_none_or(|since| at >= since)
                        && self.until.is_none_or(|until| at <= until)
                });
        let size = self.larger_than.is_none_or(|size| {
            listing.size.is_none() || row.size.is_some_and(|bytes| bytes > size)
        });
        let is = |wanted: &Option<String>, own: Option<OwnField>| match (wanted, own) {
            (Some(wanted), Some(own)) => match row.fields.get(own.field) {
                Some(Value::String(text)) => text == wanted,
                Some(Value::Number(number)) => number.to_string() == *wanted,
                _ => false,
            },
            _ => true,
        };
        let known = &listing.filters;
        name && time
            && size
            && is(&self.company, known.company)
            && is(&self.source, known.source)
            && is(&self.parse_state, known.parse_state)
    }
}

/// A time for a query: to the microsecond, the precision of the servers.
fn rfc3339(time: Timestamp) -> String {
    match time.subsec_nanosecond() % 1000 {
        0 => time.to_string(),
        _ => format!("{time:.6}"),
    }
}

/// Reads a time as servers write it (ISO 8601). A time without an offset is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok();
    let civil = || utc(text.parse().ok()?).map(|time| time.timestamp());
    text.parse().ok().or_else(civil)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Resource, all};
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn asked(filter: &Filter, provider: &Provider) -> (String, bool) {
        let FilterQuery { pairs, is_exact } = filter.query(&provider.listing);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (pairs.join(" "), is_exact)
    }

    fn row(fields: &Value) -> Row {
        let text = |field: &str| fields[field].as_str().map(str::to_owned);
        Row {
            provider: "x",
            id: "1".to_owned(),
            name: text("name"),
            size: fields["size"].as_u64(),
            modified: text("modified"),
            fields: fields.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_request_has_every_filter_that_its_server_knows() {
        let (sm, codex) = (
            Provider::standard_metrics(),
            Provider::one_codex(Resource::Documents),
        );
        let is = |text: &str, exact| (text.to_owned(), exact);
        let mut filter = Filter {
            since: Some(at("2026-10-01T00:00:00Z")),
            ..Filter::default()
        };
        assert_eq!(asked(&Filter::default(), &sm), is("", true));
        assert_eq!(asked(&filter, &sm), is("from=2026-10-01T00:00:00Z", true));
        let where_since = r#"where={"created_at":{"$gte":"2026-10-01T00:00:00Z"}}"#;
        assert_eq!(asked(&filter, &codex), is(where_since, true));
        filter.until = Some(at("2026-10-02T23:59:59.999999999Z"));
        let both = "from=2026-10-01T00:00:00Z to=2026-10-02T23:59:59.999999Z";
        assert_eq!(asked(&filter, &sm), is(both, true));
        // The server takes one operator for each field: docfetch compares the end itself.
        assert_eq!(asked(&filter, &codex), is(where_since, false));
        filter.since = None;
        let where_until = r#"where={"created_at":{"$lte":"2026-10-02T23:59:59.999999Z"}}"#;
        assert_eq!(asked(&filter, &codex), is(where_until, true));
        let filter = Filter {
            name: Some("Q\"3".to_owned()),
            ..Filter::default()
        };
        assert_eq!(asked(&filter, &sm), is("", false));
        let where_name = r#"where={"filename":{"$icontains":"Q\"3"}}"#;
        assert_eq!(asked(&filter, &codex), is(where_name, true));
        let filter = Filter {
            larger_than: Some(7),
            ..Filter::default()
        };
        // The server also sends documents of exactly this size.
        assert_eq!(
            asked(&filter, &codex),
            is(r#"where={"size":{"$gte":7}}"#, false)
        );
        let filter = Filter {
            company: Some("c".to_owned()),
            source: Some("email".to_owned()),
            parse_state: Some("completed".to_owned()),
            ..Filter::default()
        };
        let own = "company_id=c source=email parse_state=completed";
        assert_eq!(asked(&filter, &sm), is(own, true));
    }

    #[test]
    fn a_filter_that_neither_server_nor_rows_know_is_a_usage_error() {
        let (sm, codex) = (
            Provider::standard_metrics(),
            Provider::one_codex(Resource::Samples),
        );
        let text = || Some("x".to_owned());
        let own = [
            Filter {
                company: text(),
                ..Filter::default()
            },
            Filter {
                source: text(),
                ..Filter::default()
            },
            Filter {
                parse_state: text(),
                ..Filter::default()
            },
        ];
        for (filter, option) in own.iter().zip(["--company", "--source", "--parse-state"]) {
            assert!(filter.check(&sm).is_ok());
            let error = filter.check(&codex).unwrap_err();
            assert_eq!(error.code(), Code::Usage);
            assert_eq!(error.what(), format!("One Codex has no filter {option}"));
        }
        let size = Filter {
            larger_than: Some(0),
            ..Filter::default()
        };
        assert!(size.check(&codex).is_ok());
        let error = size.check(&sm).unwrap_err();
        assert_eq!(error.what(), "Standard Metrics has no filter --larger-than");
        for provider in all() {
            let known = |own: &OwnField| provider.listing.fields.contains(&own.field);
            let filters = provider.listing.filters;
            assert!(
                [filters.company, filters.source, filters.parse_state]
                    .iter()
                    .flatten()
                    .all(known)
            );
        }
    }

    #[test]
    fn every_row_is_compared_here_also_where_the_server_filters() {
        let (sm, codex) = (
            Provider::standard_metrics(),
            Provider::one_codex(Resource::Documents),
        );
        let full = json!({
            "name": "Umsätze Q3.PDF", "size": 10, "modified": "2026-10-01T08:30:00Z",
            "company_id": 7, "source": "email", "parse_state": "completed",
        });
        let check = |provider: &Provider, field: &str, matching: Filter, others: &[Filter]| {
            assert!(matching.matches(&row(&full), &provider.listing), "{field}");
            for other in others {
                assert!(!other.matches(&row(&full), &provider.listing), "{other:?}");
            }
            // A row without the field does not match.
            let mut less = full.clone();
            less[field] = Value::Null;
            assert!(!matching.matches(&row(&less), &provider.listing), "{field}");
            assert!(Filter::default().matches(&row(&less), &provider.listing));
        };
        let name = |name: &str| Filter {
            name: Some(name.to_owned()),
            ..Filter::default()
        };
        check(&sm, "name", name("UMSÄTZE q3.p"), &[name("Q4")]);
        let larger = |size| Filter {
            larger_than: Some(size),
            ..Filter::default()
        };
        check(&codex, "size", larger(9), &[larger(10), larger(11)]);
        let span = |since: &str, until: &str| Filter {
            since: Some(at(since)),
            until: Some(at(until)),
            ..Filter::default()
        };
        let moment = "2026-10-01T08:30:00Z";
        let (before, after) = ("2026-10-01T08:29:59.9Z", "2026-10-01T08:30:00.1Z");
        let others = [span(before, before), span(after, after)];
        check(&sm, "modified", span(moment, moment), &others);
        let company = |id: &str| Filter {
            company: Some(id.to_owned()),
            ..Filter::default()
        };
        check(&sm, "company_id", company("7"), &[company("8")]);
        let source = |source: &str| Filter {
            source: Some(source.to_owned()),
            ..Filter::default()
        };
        check(&sm, "source", source("email"), &[source("upload")]);
        let state = |state: &str| Filter {
            parse_state: Some(state.to_owned()),
            ..Filter::default()
        };
        check(&sm, "parse_state", state("completed"), &[state("complete")]);
    }

    #[test]
    fn times_are_read_as_servers_write_them() {
        for text in [
            "2026-10-01T08:30:00Z",
            "2026-10-01T08:30:00.000000Z",
            "2026-10-01T10:30:00+02:00",
            "2026-10-01T08:30:00.000",
            "2026-10-01T08:30:00",
            "2026-10-01 08:30:00",
        ] {
            assert_eq!(parse_time(text), Some(at("2026-10-01T08:30:00Z")), "{text}");
        }
        assert_eq!(parse_time("2026-10-01"), Some(at("2026-10-01T00:00:00Z")));
        assert_eq!(parse_time("yesterday"), None);
    }
}
