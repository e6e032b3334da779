//! The JSON records, from the structures that serde writes.

use super::source;

const FETCH: &str = include_str!("../../fetch/outcome.rs");
const SUMMARY: &str = include_str!("../../fetch/summary.rs");
const VERIFY: &str = include_str!("../../manifest/check.rs");
const LIST: &str = include_str!("../../resolve/row.rs");
const PARTIALS: &str = include_str!("../../ui/partials_list.rs");
const LEDGER: &str = include_str!("../../ui/ledger_table.rs");
const PROVIDERS: &str = include_str!("../../ui/providers_table.rs");
const PRESIGNED_URL: &str = include_str!("../../ui/presigned_url_row.rs");
const SETTINGS: &str = include_str!("../../ui/settings_table.rs");

/// A record and its definition.
struct Record {
    /// What the record tells of.
    title: &'static str,
    /// The source that defines its structure.
    text: &'static str,
    /// The begin of the definition.
    head: &'static str,
}

const RECORDS: [Record; 13] = [
    Record {
        title: "A document that did not fail",
        text: FETCH,
        head: "struct Outcome",
    },
    Record {
        title: "A document that failed",
        text: FETCH,
        head: "struct FailedDocument<",
    },
    Record {
        title: "The field `error`",
        text: FETCH,
        head: "struct ErrorRecord<",
    },
    Record {
        title: "The summary of a run",
        text: SUMMARY,
        head: "struct Summary",
    },
    Record {
        title: "A row of `docfetch list`",
        text: LIST,
        head: "struct Row",
    },
    Record {
        title: "A presigned URL of `docfetch url`",
        text: PRESIGNED_URL,
        head: "struct PresignedUrlRow<",
    },
    Record {
        title: "A file of `docfetch verify`",
        text: VERIFY,
        head: "struct CheckRecord<",
    },
    Record {
        title: "The summary of `docfetch verify`",
        text: VERIFY,
        head: "struct VerifySummary",
    },
    Record {
        title: "A row of `docfetch ledger list`",
        text: LEDGER,
        head: "struct LedgerRow<",
    },
    Record {
        title: "A row of `docfetch partials`",
        text: PARTIALS,
        head: "struct PartialRow<",
    },
    Record {
        title: "The configuration file of `docfetch config`",
        text: SETTINGS,
        head: "struct ConfigFileRow<",
    },
    Record {
        title: "A setting of `docfetch config`",
        text: SETTINGS,
        head: "struct SettingRow",
    },
    Record {
        title: "A row of `docfetch providers`",
        text: PROVIDERS,
        head: "struct ProviderRow<",
    },
];

const INTRODUCTION: &str = "\
## Records

With `--json`, standard output has one JSON object on each line. A value that docfetch does not know is null. Later
versions may add fields.

";

const EVENTS: &str = "\
### Progress

With `--progress json`, standard error has one JSON object on each line:

| `type` | further fields |
| --- | --- |
| `progress` | `event`, and with the event `batch`: `documents`, `total`, `bytes` of all documents together; with all other \
events: `id`, `name`, `bytes`, `total` of one document |
| `log` | `level`, `message` |
| `error` | `id`, `error` |

The events of a document are `checking` (once a second, while docfetch compares a large partial with its digests), `started`,
`progress` (once a second), `retrying`, and in the end `finished`, `skipped` or `failed`. `retrying` and `failed` have an
`error` with `code` and `message`.
";

/// A field of a record.
struct Field {
    name: String,
    kind: String,
    meaning: String,
}

/// The section of all records.
pub(super) fn section() -> String {
    let mut section = INTRODUCTION.to_owned();
    for record in RECORDS {
        section += &format!("### {}\n\n", record.title);
        if let Some(kind) = source::quoted(record.text, record.head, "rename = ") {
            section += &format!("`type` is `{kind}`.\n\n");
        }
        section += "| field | value | meaning |\n| --- | --- | --- |\n";
        for Field {
            name,
            kind,
            meaning,
        } in fields(record.text, record.head)
        {
            section += &format!("| `{name}` | {kind} | {meaning} |\n");
        }
        section.push('\n');
    }
    section + EVENTS
}

/// The fields of a structure, with those that serde flattens into it.
fn fields(text: &str, head: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for item in source::items(text, head) {
        let Some((name, rust)) = item.code.trim_end_matches(',').split_once(": ") else {
            continue;
        };
        let is_flat = item.attributes.contains("flatten");
        let is_path = item.attributes.contains("serialize_path");
        if item.attributes.contains("serde(skip)") {
        } else if is_flat && rust.starts_with("Map<") {
            fields.push(field("…", "any", item.doc));
        } else if is_flat && !is_path {
            let inner = rust.trim_start_matches("Option<").trim_end_matches('>');
            fields.extend(self::fields(text, &format!("struct {inner}")));
        } else {
            let kind = json(rust);
            let is_absent = item.attributes.contains("skip_serializing_if");
            let kind = kind.trim_end_matches(if is_absent { " or null" } else { "" });
            fields.push(field(name.trim_start_matches("r#"), kind, item.doc));
        }
        if is_path {
            let meaning =
                "The bytes of a path that is not UTF-8, percent-encoded; absent for others.";
            fields.push(field("path_bytes", "text", meaning.to_owned()));
        }
    }
    fields
}

fn field(name: &str, kind: &str, meaning: String) -> Field {
    Field {
        name: name.to_owned(),
        kind: kind.to_owned(),
        meaning,
    }
}

/// The JSON type of a Rust type.
fn json(rust: &str) -> String {
    if let Some(inner) = rust.strip_prefix("Option<") {
        return format!("{} or null", json(inner.trim_end_matches('>')));
    }
    let kind = match rust {
        "bool" => "true or false",
        "u8" | "u16" | "u32" | "u64" => "number",
        rust if rust.starts_with("ErrorRecord") || rust.starts_with("BTreeMap") => "object",
        _ => "text",
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::outcome::{Outcome, Status};
    use crate::fetch::summary::{PlanCounts, Summary};
    use crate::manifest::VerifySummary;
    use crate::model::DocumentId;
    use serde_json::Value;

    #[test]
    fn the_fields_are_those_that_serde_writes() {
        let id = DocumentId::parse("1", None).unwrap();
        let outcome = Outcome::new("sm", id, Status::Fetched);
        let summary = Summary {
            gone: Some(0),
            plan: Some(PlanCounts::default()),
            ..Summary::default()
        };
        for (written, text, head) in [
            (serde_json::to_value(outcome), FETCH, "struct Outcome"),
            (serde_json::to_value(summary), SUMMARY, "struct Summary"),
            (
                serde_json::to_value(VerifySummary::default()),
                VERIFY,
                "struct VerifySummary",
            ),
        ] {
            let Value::Object(written) = written.unwrap() else {
                panic!("{head} is no object");
            };
            let written: Vec<&String> = written.keys().filter(|key| *key != "type").collect();
            let fields = fields(text, head);
            let names = fields.iter().map(|field| &field.name);
            let names: Vec<&String> = names.filter(|name| *name != "path_bytes").collect();
            assert_eq!(names, written, "{head}");
        }
    }
}
