//! What the listings can be narrowed by; what makes no sense is no filter.

use super::shelf::Entry;
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

/// The filters of Standard Metrics.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    company: Option<&'a str>,
    parse_state: Option<&'a str>,
    source: Option<&'a str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl<'a> Parameters<'a> {
    /// Reads the parameters of a query that are not its paging.
    pub(super) fn read(query: &[&'a (String, String)]) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in query {
            let known = |values: &[&str]| values.contains(&value.as_str()).then_some(value);
            match name.as_str() {
                "company_id" if !value.is_empty() => read.company = Some(value),
                "parse_state" => read.parse_state = Some(known(&PARSE_STATES)?),
                "source" => read.source = Some(known(&SOURCES)?),
                "from" => read.from = Some(day_or_time(value)?),
                "to" => read.to = Some(day_or_time(value)?),
                _ => return None,
            }
        }
        Some(read)
    }

    pub(super) fn passes(&self, entry: Entry) -> bool {
        let document = entry.document;
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        is(self.company, &document.company)
            && is(self.parse_state, &document.parse_state)
            && is(self.source, &document.source)
            && self
                .from
                .is_none_or(|from| entry.created.is_some_and(|at| at >= from))
            && self
                .to
                .is_none_or(|to| entry.created.is_some_and(|at| at <= to))
    }
}

/// One Codex' `where`.
#[derive(Debug, Default)]
pub(super) struct Where(Vec<Test>);

#[derive(Debug)]
enum Test {
    Filename(fn(&str, &str) -> bool, String),
    Size(fn(Ordering) -> bool, u64),
    Created(fn(Ordering) -> bool, Timestamp),
}

impl Where {
    /// Reads a JSON object of fields: a literal, or an object with one operator for each.
    pub(super) fn read(text: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
        let tests = fields.iter().map(|(field, wanted)| match wanted {
            Value::Object(wanted) => {
                let mut operators = wanted.iter();
                let (operator, value) = operators.next()?;
                // The service takes one operator a field, and refuses a range in one go.
                operators.next().is_none().then_some(())?;
                test(field, operator, value)
            }
            value => test(field, "$eq", value),
        });
        tests.collect::<Option<_>>().map(Self)
    }

    pub(super) fn passes(&self, entry: Entry) -> bool {
        self.0.iter().all(|test| match test {
            Test::Filename(holds, wanted) => holds(&entry.document.name, wanted),
            Test::Size(holds, wanted) => holds(entry.document.size.cmp(wanted)),
            Test::Created(holds, wanted) => entry.created.is_some_and(|at| holds(at.cmp(wanted))),
        })
    }
}

fn test(field: &str, operator: &str, value: &Value) -> Option<Test> {
    match field {
        "filename" => {
            let holds: fn(&str, &str) -> bool = match operator {
                "$eq" => |name, wanted| name == wanted,
                "$contains" => |name, wanted| name.contains(wanted),
                "$icontains" => |name, wanted| name.to_lowercase().contains(&wanted.to_lowercase()),
                "$startswith" => |name, wanted| name.starts_with(wanted),
                "$endswith" => |name, wanted| name.ends_with(wanted),
                _ => return None,
            };
            Some(Test::Filename(holds, value.as_str()?.to_owned()))
        }
        "size" => Some(Test::Size(comparison(operator)?, value.as_u64()?)),
        "created_at" => Some(Test::Created(comparison(operator)?, time(value.as_str()?)?)),
        _ => None,
    }
}

fn comparison(operator: &str) -> Option<fn(Ordering) -> bool> {
    Some(match operator {
        "$eq" => Ordering::is_eq,
        "$gt" => Ordering::is_gt,
        "$gte" => Ordering::is_ge,
        "$lt" => Ordering::is_lt,
        "$lte" => Ordering::is_le,
        _ => return None,
    })
}

/// A time, or a day for the midnight that it starts with.
fn day_or_time(text: &str) -> Option<Timestamp> {
    match text.len() {
        10 => time(&format!("{text}T00:00:00Z")),
        _ => time(text),
    }
}

/// A time as RFC 3339 section 5.6 writes it; the library alone would take other forms, too.
fn time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let written =
        marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) && !text.contains('[');
    written.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::shelf::{Order, Shelf};
    use super::super::store::Document;
    use super::*;
    use serde_json::json;

    fn shelf() -> Shelf {
        Shelf::new(vec![
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

    /// The ids that pass, in one text.
    fn passing(passes: impl Fn(Entry) -> bool) -> String {
        let shelf = shelf();
        let entries = shelf.entries(Order::AsGiven);
        entries
            .filter(|entry| passes(*entry))
            .map(|entry| entry.document.id.as_str())
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        owned.collect()
    }

    #[test]
    fn parameters_narrow() {
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
            let read = Parameters::read(&query).unwrap();
            assert_eq!(passing(|entry| read.passes(entry)), expected, "{query:?}");
        }
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused() {
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
            let read = Parameters::read(&[&query[0]]);
            assert!(read.is_none(), "{name}={value}: {read:?}");
        }
    }

    #[test]
    fn every_operator_narrows() {
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
            let read = Where::read(&wanted.to_string()).unwrap();
            assert_eq!(passing(|entry| read.passes(entry)), expected, "{wanted}");
        }
    }

    #[test]
    fn a_where_that_makes_no_sense_is_refused() {
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
            let read = Where::read(wrong);
            assert!(read.is_none(), "{wrong}: {read:?}");
        }
    }
}
