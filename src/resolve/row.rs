//! A row of a listing becomes a document that can be fetched. The length of each field is limited, since
//! docfetch writes the fields into manifests and must be able to read them back.

use super::page::{pick, text_of};
use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::secret::{contains_secret, redact, redact_value};
use crate::text::LARGEST_SIZE;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The longest id in bytes.
const MAX_ROW_ID_BYTES: usize = 1 << 10;
/// The longest text or JSON of any other field in bytes.
const MAX_FIELD_BYTES: usize = 4 << 10;
/// The longest JSON of a list or an object in bytes: a list of references to tags.
const MAX_NESTED_BYTES: usize = 64 << 10;
/// How many characters of a bad row's id are shown.
const MAX_SHOWN_CHARACTERS: usize = 60;

/// A document that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// The provider's name on the command line.
    pub provider: String,
    /// The id of the document.
    pub id: String,
    /// The file name of the document.
    pub name: Option<String>,
    /// The length of the document in bytes.
    pub size: Option<u64>,
    /// When the document last changed, as the provider writes the time (ISO 8601).
    pub modified: Option<String>,
    /// Further fields of the provider, such as `company_id`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// A row that cannot be used as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// What messages call it: its id, or its number in the listing.
    pub shown_id: String,
    /// What is wrong with the row.
    pub why: String,
}

impl BadRow {
    /// The failure of the document that this row should be; `title` is the provider's.
    pub(crate) fn error(&self, title: &str) -> Error {
        let what = format!("{title} lists a document that cannot be used");
        let error = Error::new(Code::Protocol, what).with_cause(&*self.why);
        error
            .with_hint("tell the provider; the other documents are not concerned")
            .into_permanent()
    }
}

/// Reads a row from its JSON text. `number` is the row's number in the listing.
///
/// # Errors
/// [`BadRow`] for a row that is no JSON object, without a usable id, or with a field that is too long.
pub(super) fn read(json: &str, number: u64, provider: &Provider) -> Result<Row, BadRow> {
    let listing = &provider.listing;
    let mut names = vec![listing.id, listing.modified];
    names.extend(listing.size);
    names.extend(listing.name);
    names.extend(listing.fields);
    let row = RowText {
        values: pick(json, &names).unwrap_or_default(),
        names,
        number,
        id_field: listing.id,
    };
    let id = row.document_id(provider)?;
    let mut name = None;
    for field in listing.name {
        name = name.or(row.text(field)?);
    }
    let mut fields = Map::with_capacity(listing.fields.len() + 1);
    let kind = provider.table.kind.as_deref().map(Value::from);
    fields.extend(kind.map(|kind| ("resource".to_owned(), kind)));
    for field in listing.fields {
        fields.insert((*field).to_owned(), row.value(field)?);
    }
    let size = listing.size.and_then(|field| row.json(field)?.parse().ok());
    let modified = row.text(listing.modified)?;
    Ok(Row {
        provider: provider.table.name.clone(),
        id: id.as_str().to_owned(),
        name: name.filter(|name| !contains_secret(name)),
        size: size.filter(|size| *size <= LARGEST_SIZE),
        modified: modified.map(|text| redact(&text).into_owned()),
        fields,
    })
}

/// The JSON text of the fields of a row that docfetch reads.
struct RowText<'a> {
    names: Vec<&'a str>,
    /// The values of these fields; empty for a row that is no JSON object.
    values: Vec<Option<&'a RawValue>>,
    number: u64,
    id_field: &'a str,
}

impl RowText<'_> {
    fn json(&self, field: &str) -> Option<&str> {
        let index = self.names.iter().position(|name| *name == field)?;
        let value: Option<&RawValue> = *self.values.get(index)?;
        value.map(RawValue::get)
    }

    fn id(&self) -> Option<String> {
        text_of(self.json(self.id_field)?, MAX_ROW_ID_BYTES)
    }

    fn document_id(&self, provider: &Provider) -> Result<DocumentId, BadRow> {
        if self.values.is_empty() {
            return Err(self.bad("a row is no JSON object".into()));
        }
        let field = self.id_field;
        let Some(text) = self.id() else {
            return Err(self.bad(match self.json(field) {
                None | Some("null") => format!("a row has no {field}"),
                Some(_) => format!("a row's {field} is not text, or is too long"),
            }));
        };
        let id = provider
            .parse_id(&text)
            .map_err(|rule| self.bad(format!("a row's {field} is not an id: {rule}")))?;
        if contains_secret(id.as_str()) {
            return Err(self.bad(format!("a row's {field} holds a secret")));
        }
        Ok(id)
    }

    /// The text of a field; none when the field is missing or has another type.
    fn text(&self, field: &str) -> Result<Option<String>, BadRow> {
        match self.json(field) {
            Some(json) if json.starts_with('"') => match text_of(json, MAX_FIELD_BYTES) {
                None => Err(self.bad(too_long(field, MAX_FIELD_BYTES))),
                text => Ok(text),
            },
            _ => Ok(None),
        }
    }

    /// The value of a field without secrets; null when the field is missing.
    fn value(&self, field: &str) -> Result<Value, BadRow> {
        let mut value = match (self.text(field)?, self.json(field)) {
            (Some(text), _) => text.into(),
            (None, Some(json)) if json.len() > MAX_NESTED_BYTES => {
                return Err(self.bad(too_long(field, MAX_NESTED_BYTES)));
            }
            (None, json) => json.map_or(Value::Null, |json| {
                ids_of_references(serde_json::from_str(json).unwrap_or(Value::Null))
            }),
        };
        redact_value(&mut value, false);
        Ok(value)
    }

    fn bad(&self, why: String) -> BadRow {
        let id = self.id();
        let id = id.filter(|id| !id.is_empty() && !contains_secret(id));
        let shown_id = id.map_or_else(
            || format!("row {}", self.number),
            |id| id.chars().take(MAX_SHOWN_CHARACTERS).collect(),
        );
        BadRow { shown_id, why }
    }
}

/// A value in which each reference to another thing (`{"$ref": "/api/v1/tags/ID"}`) is the id of that thing.
fn ids_of_references(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(ids_of_references).collect(),
        Value::Object(object) => {
            let uri = object.get("$ref").or_else(|| object.get("$uri"));
            let uri = uri
                .and_then(Value::as_str)
                .map(|uri| uri.trim_end_matches('/'));
            match uri.and_then(|uri| uri.rsplit('/').next()) {
                Some(id) => id.into(),
                None => Value::Object(object),
            }
        }
        other => other,
    }
}

fn too_long(field: &str, max_bytes: usize) -> String {
    format!("a row's {field} has more than {max_bytes} bytes")
}
