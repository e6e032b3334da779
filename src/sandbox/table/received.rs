//! A request that arrived, and how it differs from the one that the table describes.

use crate::provider::{BodyTemplate, RequestTemplate, SlotValues, TextTemplate};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::form_urlencoded;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// A request that arrived.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) method: Method,
    /// The path, as [`normal_path`] writes it.
    pub(super) path: String,
    pub(super) raw_query: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn new(head: &hyper::http::request::Parts, body: Bytes) -> Self {
        let raw_query = head.uri.query().unwrap_or_default().to_owned();
        Self {
            method: head.method.clone(),
            path: normal_path(head.uri.path()),
            query: pairs(raw_query.as_bytes()),
            raw_query,
            headers: head.headers.clone(),
            body,
        }
    }

    /// A header's value, where it is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The text behind `scheme` in `Authorization`.
    pub(super) fn authorization(&self, scheme: &str) -> Option<&str> {
        self.header(&AUTHORIZATION)?.strip_prefix(scheme)
    }

    /// The JSON of the body. None where the body is no JSON, or says that it is something else.
    pub(super) fn json(&self) -> Option<Value> {
        let media_type = self.header(&CONTENT_TYPE)?;
        let is_json = media_type.split(';').next() == Some("application/json");
        is_json
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }

    /// The fields of a form in the body. None where the body says that it is something else.
    pub(super) fn form(&self) -> Option<Vec<(String, String)>> {
        (self.header(&CONTENT_TYPE) == Some(FORM)).then(|| pairs(&self.body))
    }

    /// The query parameters beside those of `template`.
    ///
    /// # Errors
    /// The parameter that is missing.
    pub(super) fn other_query(
        &self,
        template: &RequestTemplate,
        values: &SlotValues<'_>,
    ) -> Result<Vec<(String, String)>, String> {
        let mut others = self.query.clone();
        for (name, value) in filled(&template.query, values) {
            let wanted = (name, value);
            match others.iter().position(|pair| *pair == wanted) {
                Some(at) => drop(others.remove(at)),
                None => return Err(format!("the query has no {}={}", wanted.0, wanted.1)),
            }
        }
        Ok(others)
    }

    /// Demands headers.
    ///
    /// # Errors
    /// The header that is missing or has another value.
    pub(super) fn demand_headers(
        &self,
        headers: &[(HeaderName, TextTemplate)],
        values: &SlotValues<'_>,
    ) -> Result<(), String> {
        for (name, value) in headers {
            let value = value.fill(values);
            if self.header(name) != Some(value.as_str()) {
                return Err(format!("the header {name} is not {value:?}"));
            }
        }
        Ok(())
    }

    /// Demands the body of `template`.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn demand_body(
        &self,
        template: Option<&BodyTemplate>,
        values: &SlotValues<'_>,
    ) -> Result<(), String> {
        match template {
            None if self.body.is_empty() => Ok(()),
            None => Err("the request has a body".to_owned()),
            Some(BodyTemplate::Json(json)) => {
                let expected = json.fill(values).map_err(|why| why.to_string())?;
                if self.json().as_ref() == Some(&expected) {
                    return Ok(());
                }
                Err(format!("the body is not the JSON {expected}"))
            }
            Some(BodyTemplate::Form(fields)) => self.demand_form(filled(fields, values)),
        }
    }

    /// Demands a form with these fields, in any order.
    ///
    /// # Errors
    /// What differs, without the values.
    pub(super) fn demand_form(&self, mut expected: Vec<(String, String)>) -> Result<(), String> {
        let mut given = self.form().ok_or("the body is not a form")?;
        given.sort();
        expected.sort();
        if given == expected {
            return Ok(());
        }
        let names: Vec<String> = expected.into_iter().map(|(name, _)| name).collect();
        let names = names.join(", ");
        Err(format!("the form has not just {names}, or another value"))
    }
}

/// The names with their filled templates.
pub(super) fn filled(
    fields: &[(String, TextTemplate)],
    values: &SlotValues<'_>,
) -> Vec<(String, String)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.clone(), value.fill(values)))
        .collect()
}

/// A path whose segments are percent-encoded in one way, so that two spellings of one path are the same text.
pub(super) fn normal_path(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        percent_encoding::percent_encode(&decoded, NON_ALPHANUMERIC).to_string()
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The text in a path or a query, percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(bytes).into_owned().collect()
}
