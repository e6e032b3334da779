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
const MAX_ID_BYTES: usize = 1 << 10;
/// The longest text or JSON of any other field in bytes.
const MAX_FIELD_BYTES: usize = 4 << 10;
/// How many characters of a bad row's id are shown.
const MAX_SHOWN_CHARACTERS: usize = 60;

/// A document that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// The provider's name on the command line.
    pub provider: &'static str,
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
    pub shown: String,
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
pub(crate) fn read(json: &str, number: u64, provider: &Provider) -> Result<Row, BadRow> {
    let listing = &provider.listing;
    let mut names = vec![listing.id, listing.modified];
    names.extend(listing.size);
    names.extend(listing.name);
    names.extend(listing.fields);
    let found = pick(json, &names);
    let raw = |name: &str| -> Option<&str> {
        let place = names.iter().position(|known| *known == name)?;
        let value: Option<&RawValue> = *found.as_ref()?.get(place)?;
        value.map(RawValue::get)
    };
    let id = raw(listing.id).and_then(|id| text_of(id, MAX_ID_BYTES));
    let bad = |why: String| {
        let id = id
            .as_deref()
            .filter(|id| !id.is_empty() && !contains_secret(id));
        let shown = id.map_or_else(
            || format!("row {number}"),
            |id| id.chars().take(MAX_SHOWN_CHARACTERS).collect(),
        );
        BadRow { shown, why }
    };
    if found.is_none() {
        return Err(bad("a row is no JSON object".into()));
    }
    let Some(text) = &id else {
        return Err(bad(match raw(listing.id) {
            None | Some("null") => format!("a row has no {}", listing.id),
            Some(_) => format!("a row's {} is no text, or too long", listing.id),
        }));
    };
    let document = DocumentId::parse(text, provider.id_uri_prefix)
        .map_err(|rule| bad(format!("a row's {} is no id: {rule}", listing.id)))?;
    if contains_secret(document.as_str()) {
        return Err(bad(format!("a row's {} holds a secret", listing.id)));
    }
    // A field of another type counts as missing. A field that is too long makes the row bad.
    let text = |name: &str| -> Result<Option<String>, BadRow> {
        match raw(name) {
            Some(json) if json.starts_with('"') => match text_of(json, MAX_FIELD_BYTES) {
                None => Err(bad(too_long(name))),
                text => Ok(text),
            },
            _ => Ok(None),
        }
    };
    let mut name = None;
    for field in listing.name {
        name = name.or(text(field)?);
    }
    let kind = provider.resource.map(|kind| kind.name().into());
    let mut fields = Map::with_capacity(listing.fields.len() + 1);
    fields.extend(kind.map(|kind| ("resource".to_owned(), kind)));
    for field in listing.fields {
        let mut value = match (text(field)?, raw(field)) {
            (Some(text), _) => text.into(),
            (None, Some(json)) if json.len() > MAX_FIELD_BYTES => return Err(bad(too_long(field))),
            (None, json) => json.map_or(Value::Null, |json| {
                serde_json::from_str(json).unwrap_or(Value::Null)
            }),
        };
        redact_value(&mut value, false);
        fields.insert((*field).to_owned(), value);
    }
    let size = listing
        .size
        .and_then(raw)
        .and_then(|size| size.parse().ok());
    Ok(Row {
        provider: provider.name,
        name: name.filter(|name| !contains_secret(name)),
        size: size.filter(|size| *size <= LARGEST_SIZE),
        modified: text(listing.modified)?.map(|text| redact(&text).into_owned()),
        fields,
        id: document.as_str().to_owned(),
    })
}

fn too_long(field: &str) -> String {
    format!("a row's {field} has more than {MAX_FIELD_BYTES} bytes")
}
