//! A row of a listing becomes a document that can be fetched. The length of each field is limited, since
//! docfetch writes the fields into manifests and must be able to read them back.

use super::page::text_of;
use super::place::Place;
use super::place::{PlaceValues, RowText, text_or_integer, with_taken_texts};
use super::row_names::RowNames;
use super::row_plan::{IdPart, RowPlan};
use super::row_time;
use super::scope::written;
use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::provider::TimeForm;
use crate::secret::{contains_secret, redact, redact_value};
use crate::text::LARGEST_SIZE;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::sync::Arc;

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
    #[serde(serialize_with = "text")]
    pub provider: Arc<str>,
    /// The id of the document.
    pub id: String,
    /// The file name of the document.
    pub name: Option<String>,
    /// The length of the document in bytes.
    pub size: Option<u64>,
    /// When the document last changed: as the provider writes the time (ISO 8601), or as RFC 3339 where the provider
    /// writes a number.
    pub modified: Option<String>,
    /// Further fields of the provider, such as `company_id`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

fn text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
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

/// Reads a row from its JSON text. `number` is the row's number in the listing. None for a row that does not count.
///
/// # Errors
/// [`BadRow`] for a row without a usable id, or with a field that is too long.
pub(super) fn read(
    json: &str,
    number: u64,
    plan: &RowPlan,
    names: &[RowNames],
) -> Result<Option<Row>, BadRow> {
    let reader = RowReader {
        row: plan.places.row(json),
        number,
        plan,
    };
    if !reader.counts() {
        return Ok(None);
    }
    let id = reader.document_id()?;
    let name = match &plan.name {
        Some(place) => reader
            .row
            .find_map(place, |json| reader.text(json, place))?,
        None => None,
    };
    let mut fields = Map::with_capacity(plan.fields.len() + names.len() + 1);
    let kind = plan.kind.as_deref();
    fields.extend(kind.map(|kind| ("resource".to_owned(), kind.into())));
    for (field, place) in &plan.fields {
        fields.insert(field.clone(), reader.value(field, place)?);
    }
    for names in names {
        let value = names.of(fields.get(&names.field));
        fields.insert(names.name.clone(), value);
    }
    let size = plan.size.as_ref().and_then(|place| reader.size(place));
    let modified = reader.modified()?;
    Ok(Some(Row {
        provider: Arc::clone(&plan.provider),
        id: id.as_str().to_owned(),
        name: name.filter(|name| !contains_secret(name)),
        size: size.filter(|size| *size <= LARGEST_SIZE),
        modified: modified.map(|text| redact(&text).into_owned()),
        fields,
    }))
}

/// The fields of a row that docfetch reads.
struct RowReader<'a> {
    row: RowText<'a>,
    number: u64,
    plan: &'a RowPlan,
}

impl RowReader<'_> {
    /// Whether the row has the value that rows of this list have.
    fn counts(&self) -> bool {
        self.plan.only.as_ref().is_none_or(|(place, wanted)| {
            let found = self.row.first(place).unwrap_or("null");
            serde_json::from_str::<Value>(found).is_ok_and(|found| found == *wanted)
        })
    }

    fn document_id(&self) -> Result<DocumentId, BadRow> {
        let plan = self.plan;
        let mut parts = Vec::with_capacity(plan.id.len());
        for part in &plan.id {
            parts.push(match part {
                IdPart::Scope(value) => value.clone(),
                IdPart::Row { place, is_rest } => self.id_part(place, *is_rest)?,
            });
        }
        let shown = plan.shown_id();
        let id = parts.join("/");
        if id.len() > MAX_ROW_ID_BYTES {
            return Err(self.bad(format!("a row's {shown} is too long")));
        }
        let id = plan
            .document_id(&id)
            .map_err(|rule| self.bad(format!("a row's {shown} is not an id: {rule}")))?;
        if contains_secret(id.as_str()) {
            return Err(self.bad(format!("a row's {shown} holds a secret")));
        }
        Ok(id)
    }

    /// A part of the id, as an id has it.
    fn id_part(&self, place: &Place, is_rest: bool) -> Result<String, BadRow> {
        if place.is_in_object() && !self.row.is_object() {
            return Err(self.bad("a row is no JSON object".into()));
        }
        let usable = |json| Ok(text_or_integer(json, MAX_ROW_ID_BYTES));
        let Some(text) = self.row.find_map(place, usable)? else {
            let field = &place.shown;
            return Err(self.bad(match self.row.first(place) {
                None => format!("a row has no {field}"),
                Some(_) => format!("a row's {field} is not text, or is too long"),
            }));
        };
        let text = place.taken(&text);
        if self.plan.id.len() == 1 {
            return Ok(text.to_owned());
        }
        if !is_rest && text.to_ascii_lowercase().contains("%2f") {
            let field = &place.shown;
            return Err(self.bad(format!("a row's {field} has %2F, which stands for a slash")));
        }
        if text.is_empty() {
            let field = &place.shown;
            return Err(self.bad(format!("a row's {field} is empty")));
        }
        Ok(written(text, is_rest))
    }

    /// Text, or a whole number as text; none for other JSON.
    fn text(&self, json: &str, place: &Place) -> Result<Option<String>, BadRow> {
        let found = text_or_integer(json, MAX_FIELD_BYTES);
        if found.is_none() && json.starts_with('"') {
            return Err(self.bad(too_long(&place.shown, MAX_FIELD_BYTES)));
        }
        Ok(found.map(|text| place.taken(&text).to_owned()))
    }

    fn size(&self, place: &Place) -> Option<u64> {
        let usable = |json| Ok::<_, ()>(super::page::number(json));
        self.row.find_map(place, usable).ok().flatten()
    }

    fn modified(&self) -> Result<Option<String>, BadRow> {
        let Some((place, form)) = &self.plan.modified else {
            return Ok(None);
        };
        self.row.find_map(place, |json| match form {
            TimeForm::Rfc3339 if json.starts_with('"') => self.text(json, place),
            form => Ok(row_time::read(json, *form)),
        })
    }

    /// The value of a field without secrets; null when the field is missing.
    fn value(&self, field: &str, place: &Place) -> Result<Value, BadRow> {
        let mut value = match self.row.values(place) {
            PlaceValues::None => Value::Null,
            PlaceValues::One(json) => self.parsed(field, place, json)?,
            PlaceValues::Several(texts) => {
                if texts.iter().map(|text| text.len()).sum::<usize>() > MAX_NESTED_BYTES {
                    return Err(self.bad(too_long(field, MAX_NESTED_BYTES)));
                }
                let values = texts
                    .into_iter()
                    .map(|json| self.parsed(field, place, json));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
        };
        redact_value(&mut value, false);
        Ok(value)
    }

    fn parsed(&self, field: &str, place: &Place, json: &str) -> Result<Value, BadRow> {
        let value = if json.starts_with('"') {
            let text = text_of(json, MAX_FIELD_BYTES);
            Value::String(text.ok_or_else(|| self.bad(too_long(field, MAX_FIELD_BYTES)))?)
        } else if json.len() > MAX_NESTED_BYTES {
            return Err(self.bad(too_long(field, MAX_NESTED_BYTES)));
        } else {
            serde_json::from_str(json).unwrap_or(Value::Null)
        };
        Ok(with_taken_texts(place, value))
    }

    fn bad(&self, why: String) -> BadRow {
        let mut places = self.plan.id.iter().filter_map(|part| match part {
            IdPart::Row { place, .. } => self.row.first(place),
            IdPart::Scope(_) => None,
        });
        let id = places.next_back();
        let id = id.and_then(|json| text_or_integer(json, MAX_ROW_ID_BYTES));
        let id = id.filter(|id| !id.is_empty() && !contains_secret(id));
        let shown_id = id.map_or_else(
            || format!("row {}", self.number),
            |id| id.chars().take(MAX_SHOWN_CHARACTERS).collect(),
        );
        BadRow { shown_id, why }
    }
}

fn too_long(field: &str, max_bytes: usize) -> String {
    format!("a row's {field} has more than {max_bytes} bytes")
}
