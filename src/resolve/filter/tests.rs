use super::check::similar_field;
use super::*;
use crate::error::Code;
use crate::provider::{Provider, all};
use crate::resolve::filter::query::FilterQuery;
use serde_json::json;

/// A kind of things at One Codex.
fn kind(name: &str) -> Provider {
    let provider = Provider::shipped("onecodex").unwrap();
    provider.of_kind(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn asked(filter: &Filter, provider: &Provider) -> (String, bool) {
    let query = FilterQuery::of(filter, &provider.table);
    let pairs = query.pairs.iter();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (pairs.join(" "), query.is_exact)
}

/// A filter of these options of the provider's own.
fn own(options: &[(&'static str, &[&str])]) -> Filter {
    let own = options.iter().map(|(option, values)| OwnFilter {
        option: (*option).to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    });
    Filter {
        own: own.collect(),
        ..Filter::default()
    }
}

/// The filter `--where`.
fn fields(fields: &[(&str, &[&str])]) -> Filter {
    let fields = fields.iter().map(|(field, values)| FieldFilter {
        field: (*field).to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    });
    Filter {
        fields: fields.collect(),
        ..Filter::default()
    }
}

fn globs(include: &[&str], exclude: &[&str]) -> Filter {
    let globs = |texts: &[&str]| {
        let globs = texts.iter().map(|text| NameGlob::parse(text).unwrap());
        globs.collect()
    };
    Filter {
        include: globs(include),
        exclude: globs(exclude),
        ..Filter::default()
    }
}

fn row(fields: &Value) -> Row {
    let text = |field: &str| fields[field].as_str().map(str::to_owned);
    Row {
        provider: "x".into(),
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
        Provider::shipped("sm").unwrap(),
        Provider::shipped("onecodex").unwrap(),
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
    let filter = own(&[
        ("company", &["c"]),
        ("source", &["email"]),
        ("parse-state", &["completed"]),
    ]);
    let own = "company_id=c source=email parse_state=completed";
    assert_eq!(asked(&filter, &sm), is(own, true));
}

#[test]
fn references_go_to_the_server_as_its_own_client_writes_them() {
    let samples = kind("samples");
    let (one, two) = ("0123456789abcdef", "fedcba9876543210");
    let filter = own(&[("project", &[one]), ("tag", &[one, two])]);
    let query = r#"where={"project":{"$ref":"/api/v1/projects/0123456789abcdef"},"tags":{"$containsall":[{"$ref":"/api/v1/tags/0123456789abcdef"},{"$ref":"/api/v1/tags/fedcba9876543210"}]}}"#;
    assert_eq!(asked(&filter, &samples), (query.to_owned(), true));
    let references = FilterQuery::of(&filter, &samples.table).references;
    assert_eq!(references, ["project", "tag"]);
}

#[test]
fn the_server_compares_only_what_it_compares_as_docfetch_does() {
    let (sm, samples, assets) = (
        Provider::shipped("sm").unwrap(),
        kind("samples"),
        kind("assets"),
    );
    let name = |name: &str| Filter {
        name: Some(name.to_owned()),
        ..Filter::default()
    };
    let one = "0123456789abcdef";
    let tags = r#"where={"tags":{"$containsall":[{"$ref":"/api/v1/tags/0123456789abcdef"}]}}"#;
    for (filter, provider, query, is_exact) in [
        (name("\u{e4}"), &samples, "", false),
        (name("a\\b"), &samples, "", false),
        // An asset without a file name shows its name, which this filter of the server does not compare.
        (name("a"), &assets, "", false),
        (globs(&["*.pdf"], &[]), &samples, "", false),
        (globs(&[], &["*.pdf"]), &sm, "", false),
        (fields(&[("company_id", &["c"])]), &sm, "company_id=c", true),
        (fields(&[("source", &["email"])]), &sm, "source=email", true),
        (fields(&[("source", &["fax"])]), &sm, "", false),
        (fields(&[("source", &["email", "upload"])]), &sm, "", false),
        (fields(&[("company_id", &[""])]), &sm, "", false),
        (fields(&[("name", &["a"])]), &sm, "", false),
        (fields(&[("tags", &[one])]), &samples, tags, true),
        (fields(&[("tags", &["trimmed"])]), &samples, "", false),
        (fields(&[("tags", &[""])]), &samples, "", false),
        (fields(&[("status", &["available"])]), &samples, "", false),
    ] {
        assert_eq!(
            asked(&filter, provider),
            (query.to_owned(), is_exact),
            "{filter:?}"
        );
    }
    // The server takes each parameter once.
    let mut both = own(&[("company", &["c"])]);
    both.fields = fields(&[("company_id", &["d"])]).fields;
    assert_eq!(asked(&both, &sm), ("company_id=c".to_owned(), false));
}

#[test]
fn a_filter_that_neither_server_nor_rows_know_is_a_usage_error() {
    let sm = Provider::shipped("sm").unwrap();
    let [documents, samples, _] = ["documents", "samples", "assets"].map(kind);
    for (provider, other, option) in [
        (&sm, &samples, "company"),
        (&sm, &samples, "source"),
        (&sm, &samples, "parse-state"),
        (&samples, &sm, "project"),
        (&samples, &sm, "tag"),
    ] {
        let table = &provider.table;
        let values = &table.option(option).unwrap().values;
        let value = values.first().map_or("x", String::as_str);
        let filter = own(&[(option, &[value])]);
        assert!(filter.check(provider).is_ok());
        if !values.is_empty() {
            let wrong = own(&[(option, &["x"])]).check(provider).unwrap_err();
            assert_eq!(
                wrong.what(),
                format!("invalid value \"x\" for '--{option}'")
            );
        }
        let error = filter.check(other).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
        let what = format!("{} has no filter --{option}", other.table.title);
        assert_eq!(error.what(), what);
        assert!(error.cause().unwrap().starts_with("it is a filter of "));
    }
    let error = own(&[("tag", &["x"])]).check(&documents).unwrap_err();
    assert_eq!(error.hint(), "add --resource samples");
    let size = Filter {
        larger_than: Some(0),
        ..Filter::default()
    };
    assert!(size.check(&samples).is_ok());
    let error = size.check(&sm).unwrap_err();
    assert_eq!(error.what(), "Standard Metrics has no filter --larger-than");
    for provider in all() {
        let fields = provider.table.row_fields();
        let mut options = provider.table.options.iter();
        assert!(options.all(|own| fields.contains(&own.field.as_str())));
    }
}

#[test]
fn a_field_that_the_rows_do_not_have_is_a_usage_error_that_lists_the_fields() {
    let (sm, samples) = (Provider::shipped("sm").unwrap(), kind("samples"));
    for provider in [&sm, &samples] {
        for field in provider.table.row_fields() {
            assert!(fields(&[(field, &["x"])]).check(provider).is_ok());
        }
    }
    for (provider, field, listed) in [
        (&sm, "size", "id, name, modified, company_id, "),
        (&sm, "compan", "submitted_date, company"),
        (&sm, "Source", "source"),
        (
            &samples,
            "company_id",
            "provider, id, name, size, modified, resource, created_at, status, project, tags",
        ),
    ] {
        let error = fields(&[(field, &["x"])]).check(provider).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
        assert!(error.what().ends_with(&format!("have no field {field:?}")));
        assert!(
            error.cause().unwrap().contains(listed),
            "{:?}",
            error.cause()
        );
    }
}

#[test]
fn a_field_has_one_of_the_values_and_every_field_counts() {
    let samples = kind("samples");
    let full = row(&json!({
        "name": "a.fastq", "size": 1024, "modified": "2026-10-01T08:30:00Z", "status": "available",
        "project": null, "tags": ["one", "two"], "flag": true,
    }));
    let matches = |filter: Filter| filter.matches(&full, &samples.table);
    for (wanted, expected) in [
        (&[("id", &["1"][..])][..], true),
        (&[("name", &["a.fastq"])], true),
        (&[("name", &["a.fast"])], false),
        (&[("name", &["A.fastq"])], false),
        (&[("size", &["1024"])], true),
        (&[("size", &["1K"])], false),
        (&[("modified", &["2026-10-01T08:30:00Z"])], true),
        (&[("status", &["importing", "available"])], true),
        (&[("status", &["importing"])], false),
        (&[("status", &[""])], false),
        (&[("flag", &["true"])], true),
        (&[("project", &[""])], true),
        (&[("project", &["x", ""])], true),
        (&[("project", &["null"])], false),
        (&[("tags", &["two"])], true),
        (&[("tags", &["tw"])], false),
        (&[("tags", &[""])], false),
        (&[("tags", &["one"]), ("status", &["available"])], true),
        (&[("tags", &["one"]), ("status", &["importing"])], false),
    ] {
        assert_eq!(matches(fields(wanted)), expected, "{wanted:?}");
    }
    assert!(matches(own(&[("tag", &["one", "two"])])));
    assert!(!matches(own(&[("tag", &["one", "three"])])));
    assert!(!matches(own(&[("project", &["x"])])));
}

#[test]
fn a_name_matches_one_of_the_patterns_and_no_excluded_one() {
    let sm = Provider::shipped("sm").unwrap();
    let matches =
        |filter: &Filter, name: Value| filter.matches(&row(&json!({ "name": name })), &sm.table);
    let both = globs(&["*.pdf", "*.csv"], &["draft*", "*old*"]);
    for (name, expected) in [
        ("a.pdf", true),
        ("a.csv", true),
        ("a.txt", false),
        ("draft.pdf", false),
        ("very old.csv", false),
        ("Draft.pdf", true),
    ] {
        assert_eq!(matches(&both, name.into()), expected, "{name}");
    }
    assert!(matches(&globs(&[], &["*.pdf"]), "a.csv".into()));
    // A row without a name matches no pattern.
    assert!(!matches(&globs(&["*"], &[]), Value::Null));
    assert!(matches(&globs(&[], &["*"]), Value::Null));
}

#[test]
fn every_row_is_compared_here_also_where_the_server_filters() {
    let (sm, codex) = (
        Provider::shipped("sm").unwrap(),
        Provider::shipped("onecodex").unwrap(),
    );
    let full = json!({
        "name": "Umsätze Q3.PDF", "size": 10, "modified": "2026-10-01T08:30:00Z",
        "company_id": 7, "source": "email", "parse_state": "completed",
    });
    let check = |provider: &Provider, field: &str, matching: Filter, others: &[Filter]| {
        assert!(matching.matches(&row(&full), &provider.table), "{field}");
        for other in others {
            assert!(!other.matches(&row(&full), &provider.table), "{other:?}");
        }
        // A row without the field does not match.
        let mut less = full.clone();
        less[field] = Value::Null;
        assert!(!matching.matches(&row(&less), &provider.table), "{field}");
        assert!(Filter::default().matches(&row(&less), &provider.table));
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
    let option = |option, value| own(&[(option, &[value])]);
    check(
        &sm,
        "company_id",
        option("company", "7"),
        &[option("company", "8")],
    );
    let (source, other) = (option("source", "email"), option("source", "upload"));
    check(&sm, "source", source, &[other]);
    let (state, other) = (
        option("parse-state", "completed"),
        option("parse-state", "complete"),
    );
    check(&sm, "parse_state", state, &[other]);
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

#[test]
fn a_similar_field_is_the_same_in_another_case_or_else_begins_so() {
    let known = ["provider", "id", "old_name", "name", "name_of", "companyId"];
    for (field, similar) in [
        ("ID", Some("id")),
        ("NAME", Some("name")),
        ("n", Some("name")),
        ("old", Some("old_name")),
        ("companyid", Some("companyId")),
        ("vide", Some("provider")),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(similar_field(field, &known), similar, "{field}");
    }
}
