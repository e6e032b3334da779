//! The JSON of answers: the smallest one in which the table's pointers find their values.

use super::checksums::{algorithm_name, checksum_text};
use super::things::{ServedKind, Thing};
use crate::provider::{
    AlgorithmRule, ChecksumPlace, ChecksumRule, Expiry, MetadataRoute, Pointer, Pointers, Step,
    TimeForm, UrlPlace, UrlSource,
};
use crate::sandbox::answer::{Answer, insert_header, json};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;

/// JSON in the making.
#[derive(Debug, Default)]
pub(super) struct AnswerJson {
    pub(super) json: Value,
    /// The pointers that find no value, because the JSON has something else on their way.
    pub(super) conflicts: Vec<String>,
}

impl AnswerJson {
    /// Puts a value where the first of the pointers leads.
    pub(super) fn put(&mut self, pointers: &Pointers, value: &Value) {
        if let Some(pointer) = pointers.iter().next() {
            self.put_at(pointer, value);
        }
    }

    /// Puts a value where the pointer leads.
    pub(super) fn put_at(&mut self, pointer: &Pointer, value: &Value) {
        if !pointer.place(&mut self.json, value) {
            self.conflicts.push(pointer.to_string());
        }
    }

    /// The JSON: an empty object where no pointer has a value.
    pub(super) fn into_json(self) -> Value {
        if self.json.is_null() {
            return json!({});
        }
        self.json
    }

    /// Puts the facts of a document.
    ///
    /// # Errors
    /// When the document cannot be read.
    fn put_facts(
        &mut self,
        places: [Option<&Pointers>; 2],
        checksums: &[ChecksumRule],
        thing: &Thing,
    ) -> io::Result<()> {
        let document = &thing.document;
        let [name, size] = places;
        if let Some(pointers) = name {
            self.put(pointers, &document.name.as_str().into());
        }
        if let Some(pointers) = size {
            self.put(pointers, &document.size.into());
        }
        for rule in checksums {
            let ChecksumPlace::At(pointers) = &rule.place else {
                continue;
            };
            self.put(pointers, &checksum_text(rule, document)?.into());
            if let AlgorithmRule::At(pointers) = &rule.algorithm {
                self.put(pointers, &algorithm_name(rule).into());
            }
        }
        Ok(())
    }
}

/// A presigned URL, and the header that the storage wants with it.
#[derive(Clone, Debug)]
pub(super) struct HandedUrl {
    pub(super) url: String,
    pub(super) header: Option<(String, String)>,
    pub(super) lifetime: Duration,
}

/// The place of the presigned URL in the JSON of this step's answer. None where the answer has none: every second
/// document takes the way over the later steps, where the table permits both.
pub(super) fn url_place<'a>(
    kind: &'a ServedKind,
    step: usize,
    thing: &Thing,
) -> Option<&'a UrlPlace> {
    let is_last = step + 1 == kind.table.resolve.len();
    match &kind.table.resolve[step].url {
        Some(UrlSource::Json(places)) if is_last || thing.is_even() => places.first(),
        _ => None,
    }
}

/// The JSON of a step's answer.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn step(
    step: &Step,
    thing: &Thing,
    url: Option<(&UrlPlace, &HandedUrl)>,
) -> io::Result<AnswerJson> {
    let mut answer = AnswerJson::default();
    let places = [step.name.as_ref(), step.size.as_ref()];
    answer.put_facts(places, &step.checksums, thing)?;
    let Some((place, handed)) = url else {
        for (name, pointers) in &step.captures {
            let captured = thing.captures.iter().find(|(known, _)| known == name);
            if let Some((_, value)) = captured {
                answer.put(pointers, &value.as_str().into());
            }
        }
        return Ok(answer);
    };
    answer.put_at(&place.at, &handed.url.as_str().into());
    if let (Some(at), Some((name, value))) = (&place.storage_headers, &handed.header) {
        // A service uses one form; docfetch reads both.
        let headers = if thing.is_even() {
            json!({name: value})
        } else {
            json!([format!("{name}: {value}")])
        };
        answer.put_at(at, &headers);
    }
    if let Some(Expiry::At(field)) = &place.expires {
        answer.put(&field.at, &time_after(field.form, handed.lifetime));
    }
    Ok(answer)
}

/// The JSON of the answer of `metadata`.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn metadata(metadata: &MetadataRoute, thing: &Thing) -> io::Result<AnswerJson> {
    let mut answer = AnswerJson::default();
    let places = [metadata.name.as_ref(), metadata.size.as_ref()];
    answer.put_facts(places, &metadata.checksums, thing)?;
    Ok(answer)
}

/// Sets the headers with checksums.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn set_checksums(
    answer: &mut Answer,
    rules: &[ChecksumRule],
    thing: &Thing,
) -> io::Result<()> {
    for rule in rules {
        if let ChecksumPlace::Header(name) = &rule.place {
            insert_header(answer, name.clone(), &checksum_text(rule, &thing.document)?);
        }
    }
    Ok(())
}

/// The time of the end of something that lasts this long from now on.
pub(super) fn time_after(form: TimeForm, lifetime: Duration) -> Value {
    match form {
        TimeForm::Seconds => lifetime.as_secs().max(1).into(),
        TimeForm::Hours => lifetime.as_secs().div_ceil(3600).into(),
        _ => {
            let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::ZERO);
            let end = Timestamp::now().saturating_add(lifetime);
            time_at(form, end.unwrap_or(Timestamp::MAX))
        }
    }
}

/// A time.
pub(super) fn time_at(form: TimeForm, time: Timestamp) -> Value {
    match form {
        TimeForm::UnixMilliseconds => time.as_millisecond().into(),
        TimeForm::Rfc3339 => time.to_string().into(),
        TimeForm::Unix | TimeForm::Seconds | TimeForm::Hours => time.as_second().into(),
    }
}

/// An error, with its reason where the table says, and where services usually have the reason.
pub(super) fn refusal(status: u16, why: &str, error: Option<&Pointers>) -> Answer {
    let mut answer = AnswerJson::default();
    if let Some(pointers) = error {
        answer.put(pointers, &why.into());
    }
    let mut body = answer.into_json();
    if let Some(object) = body.as_object_mut() {
        object.entry("message").or_insert_with(|| why.into());
    }
    json(status, &body)
}
