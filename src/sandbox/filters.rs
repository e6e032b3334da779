//! The filters of the listings. An API refuses a filter that it does not understand.

use super::document::Document;
use super::index::IndexedDocument;
use super::operators::{comparison, text_comparison};
use super::references::ReferenceCondition;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::cmp::Ordering;

const PARSE_STATES: [&str; 5] = [
    "not-started",
    "in-progress",
    "completed",
    "needs-input",
    "not-parseable",
];
const SOURCES: [&str; 4] = ["information-request", "implementation", "upload", "email"];

/// The filter of Standard Metrics: query parameters, which must all match.
#[derive(Debug, Default)]
pub(super) struct ParameterFilter<'a> {
    company: Option<&'a str>,
    parse_state: Option<&'a str>,
    source: Option<&'a str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl<'a> ParameterFilter<'a> {
    /// Parses the parameters of a query without those that choose the page. `None` for a parameter that the
    /// service does not know.
    pub(super) fn parse(query: &[&'a (String, String)]) -> Option<Self> {
        let mut filter = Self::default();
        for (name, value) in query {
            let known = |values: &[&str]| values.contains(&value.as_str()).then_some(value);
            match name.as_str() {
                "company_id" if !value.is_empty() => filter.company = Some(value),
                "parse_state" => filter.parse_state = Some(known(&PARSE_STATES)?),
                "source" => filter.source = Some(known(&SOURCES)?),
                "from" => filter.from = Some(day_or_time(value)?),
                "to" => filter.to = Some(day_or_time(value)?),
                _ => return None,
            }
        }
        Some(filter)
    }

    /// Whether a document matches.
    pub(super) fn matches(&self, document: IndexedDocument<'_>) -> bool {
        let IndexedDocument { document, created } = document;
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        is(self.company, &document.company)
            && is(self.parse_state, &document.parse_state)
            && is(self.source, &document.source)
            && self
                .from
                .is_none_or(|from| created.is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| created.is_some_and(|at| at <= to))
    }
}

/// The filter of One Codex: the conditions of the query parameter `where`, which must all hold.
#[derive(Debug, Default)]
pub(super) struct WhereFilter(Vec<Condition>);

#[derive(Debug)]
enum Condition {
    Filename(fn(&str, &str) -> bool, String),
    Size(fn(Ordering) -> bool, u64),
    Created(fn(Ordering) -> bool, Timestamp),
    Reference(ReferenceCondition),
}

impl WhereFilter {
    /// Parses a JSON object that maps each field of a resource of this `kind` to a value, or to an object with one
    /// operator. `None` for anything else.
    pub(super) fn parse(text: &str, kind: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
        let conditions = fields.iter().map(|(field, wanted)| match wanted {
            wanted if kind == "samples" && ReferenceCondition::is_of(field) => {
                ReferenceCondition::parse(field, wanted).map(Condition::Reference)
            }
            Value::Object(wanted) => {
                let mut operators = wanted.iter();
                let (operator, value) = operators.next()?;
                // The service accepts one operator for each field, so no range.
                operators.next().is_none().then_some(())?;
                condition(field, operator, value)
            }
            value => condition(field, "$eq", value),
        });
        conditions.collect::<Option<_>>().map(Self)
    }

    /// Whether the filter refers only to projects and tags that some document has.
    pub(super) fn has_known_references(&self, documents: &[Document]) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Reference(reference) => reference.is_known(documents),
            _ => true,
        })
    }

    /// Whether a document matches.
    pub(super) fn matches(&self, document: IndexedDocument<'_>) -> bool {
        let IndexedDocument { document, created } = document;
        self.0.iter().all(|condition| match condition {
            Condition::Filename(holds, wanted) => holds(&document.name, wanted),
            Condition::Size(holds, wanted) => holds(document.size.cmp(wanted)),
            Condition::Created(holds, wanted) => created.is_some_and(|at| holds(at.cmp(wanted))),
            Condition::Reference(reference) => reference.matches(document),
        })
    }
}

fn condition(field: &str, operator: &str, value: &Value) -> Option<Condition> {
    match field {
        "filename" => {
            let holds = text_comparison(operator)?;
            Some(Condition::Filename(holds, value.as_str()?.to_owned()))
        }
        "size" => Some(Condition::Size(comparison(operator)?, value.as_u64()?)),
        "created_at" => Some(Condition::Created(
            comparison(operator)?,
            time(value.as_str()?)?,
        )),
        _ => None,
    }
}

/// A time; of a day, its first moment in UTC.
fn day_or_time(text: &str) -> Option<Timestamp> {
    match text.len() {
        10 => time(&format!("{text}T00:00:00Z")),
        _ => time(text),
    }
}

/// A time as RFC 3339 section 5.6 writes it. The `jiff` library accepts more forms than that.
fn time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let written =
        marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) && !text.contains('[');
    written.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::index::{DocumentIndex, ListingOrder};
    use super::*;
    use serde_json::json;

    fn index() -> DocumentIndex {
        DocumentIndex::new(vec![
            Document::new("QC report.pdf", "1").with_id("a"),
            Document::new("qc.csv", "12")
                .with_id("b")
                .with_company("c2")
                .with_source("email")
                .with_created("2026-10-02T00:00:00Z"),
            Document::new("Reads.csv", "123")
                .with_id("c")
                .with_parse_state("needs-input")
                .with_created("2026-10-02T12:00:00+02:00"),
        ])
    }

    /// The ids of the documents that match, in one text.
    fn matching(matches: impl Fn(IndexedDocument<'_>) -> bool) -> String {
        let index = index();
        let documents = index.ordered(ListingOrder::AsGiven);
        documents
            .filter(|document| matches(*document))
            .map(|document| document.document.id.as_str())
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        owned.collect()
    }

    #[test]
    fn every_parameter_filters() {
        for (query, expected) in [
            (&[][..], "abc"),
            (&[("company_id", "c1")], "ac"),
            (&[("company_id", "c3")], ""),
            (&[("source", "email")], "b"),
            (&[("parse_state", "needs-input")], "c"),
            (&[("company_id", "c1"), ("source", "upload")], "ac"),
            (&[("company_id", "c2"), ("source", "upload")], ""),
            (&[("from", "2026-10-01T08:30:00Z")], "abc"),
            (&[("from", "2026-10-01T08:30:00.1Z")], "bc"),
            (&[("from", "2026-10-02")], "bc"),
            (&[("to", "2026-10-02")], "ab"),
            (&[("to", "2026-10-02T02:00:00+02:00")], "ab"),
            (&[("to", "2026-10-01T23:59:59Z")], "a"),
            (
                &[("from", "2026-10-02"), ("to", "2026-10-02T09:59:59Z")],
                "b",
            ),
        ] {
            let query = pairs(query);
            let query: Vec<_> = query.iter().collect();
            let filter = ParameterFilter::parse(&query).unwrap();
            assert_eq!(
                matching(|document| filter.matches(document)),
                expected,
                "{query:?}"
            );
        }
    }

    #[test]
    fn unknown_parameters_and_values_are_refused() {
        for (name, value) in [
            ("company_id", ""),
            ("company", "c1"),
            ("parse_state", "done"),
            ("parse_state", "Completed"),
            ("source", "fax"),
            ("from", "yesterday"),
            ("from", ""),
            ("from", "2026-13-01"),
            ("to", "2026-02-30"),
            ("to", "20261001"),
            ("to", "2026-10-01 00:00:00Z"),
            ("to", "2026-10-01T00:00:00"),
            ("to", "2026-10-01T00:00:00+00:00[UTC]"),
        ] {
            let query = pairs(&[(name, value)]);
            let filter = ParameterFilter::parse(&[&query[0]]);
            assert!(filter.is_none(), "{name}={value}: {filter:?}");
        }
    }

    #[test]
    fn every_operator_filters() {
        let noon = "2026-10-02T10:00:00Z";
        for (wanted, expected) in [
            (json!({}), "abc"),
            (json!({"filename": "qc.csv"}), "b"),
            (json!({"filename": {"$eq": "qc.csv"}}), "b"),
            (json!({"filename": {"$contains": "QC"}}), "a"),
            (json!({"filename": {"$icontains": "Qc"}}), "ab"),
            (json!({"filename": {"$startswith": "Re"}}), "c"),
            (json!({"filename": {"$endswith": ".csv"}}), "bc"),
            (json!({"size": 2}), "b"),
            (json!({"size": {"$eq": 2}}), "b"),
            (json!({"size": {"$gt": 2}}), "c"),
            (json!({"size": {"$gte": 2}}), "bc"),
            (json!({"size": {"$lt": 2}}), "a"),
            (json!({"size": {"$lte": 2}}), "ab"),
            (json!({"created_at": noon}), "c"),
            (json!({"created_at": {"$eq": noon}}), "c"),
            (json!({"created_at": {"$gt": "2026-10-02T00:00:00Z"}}), "c"),
            (
                json!({"created_at": {"$gte": "2026-10-02T00:00:00Z"}}),
                "bc",
            ),
            (json!({"created_at": {"$lt": "2026-10-02T00:00:00Z"}}), "a"),
            (
                json!({"created_at": {"$lte": "2026-10-02T00:00:00Z"}}),
                "ab",
            ),
            (
                json!({"filename": {"$endswith": ".csv"}, "size": {"$gt": 2}}),
                "c",
            ),
        ] {
            let filter = WhereFilter::parse(&wanted.to_string(), "documents").unwrap();
            assert_eq!(
                matching(|document| filter.matches(document)),
                expected,
                "{wanted}"
            );
        }
    }

    #[test]
    fn unknown_fields_and_operators_are_refused() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"name":"a"}"#,
            r#"{"filename":{}}"#,
            r#"{"filename":null}"#,
            r#"{"filename":1}"#,
            r#"{"filename":["a"]}"#,
            r#"{"filename":{"$gt":"a"}}"#,
            r#"{"filename":{"contains":"a"}}"#,
            r#"{"filename":{"$contains":{"$eq":"a"}}}"#,
            r#"{"size":"1"}"#,
            r#"{"size":-1}"#,
            r#"{"size":1.5}"#,
            r#"{"size":{"$contains":1}}"#,
            r#"{"size":{"$gt":1,"$lt":9}}"#,
            r#"{"created_at":1}"#,
            r#"{"created_at":"2026-10-02"}"#,
            r#"{"created_at":{"$icontains":"2026"}}"#,
            r#"{"created_at":{"$gte":"2026-10-01T00:00:00Z","$lte":"2026-10-02T00:00:00Z"}}"#,
            r#"{"size":1,"tags":"a"}"#,
        ] {
            let filter = WhereFilter::parse(wrong, "documents");
            assert!(filter.is_none(), "{wrong}: {filter:?}");
        }
    }
}
