//! Requests as a table describes them, with values in their slots.

use crate::error::{Code, Error, Result};
use crate::http::RequestBody;
use crate::model::DocumentId;
use crate::provider::{BodyTemplate, Provider, RequestTemplate, SlotValues, TextTemplate};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use url::{Url, form_urlencoded};

/// A request to an API, without the credential.
#[derive(Clone)]
pub(super) struct TableRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<RequestBody>,
}

/// The values of the slots in the templates of `provider` for an API at `base`; those of a document's id where `id` is
/// one.
pub(super) fn slot_values<'a>(
    provider: &'a Provider,
    base: &'a Url,
    id: Option<&'a DocumentId>,
) -> SlotValues<'a> {
    let table = &provider.table;
    let mut values = SlotValues::default();
    values.add("base_host", base.host_str().unwrap_or_default());
    if let Some(kind) = &table.kind {
        values.add("resource", kind.as_str());
    }
    provider.add_parameters(&mut values);
    let parts = id.map(DocumentId::parts).into_iter().flatten();
    let count = table.id.parts.len();
    for (index, (name, part)) in table.id.parts.iter().zip(parts).enumerate() {
        if table.id.has_rest && index + 1 == count {
            values.add_path(name.as_str(), part);
        } else {
            values.add(name.as_str(), part);
        }
    }
    values
}

/// The request of `template`, with the headers of every request to the API.
///
/// # Errors
/// [`Code::Usage`] for a value that a path or a header cannot carry, and for one that is no number where the table wants
/// one.
pub(super) fn filled(
    provider: &Provider,
    base: &Url,
    template: &RequestTemplate,
    values: &SlotValues<'_>,
) -> Result<TableRequest> {
    let path = template.path.fill_path(values);
    check_segments(&path)?;
    let mut url = route(base, &path);
    if !template.query.is_empty() {
        let query = template.query.iter();
        let query = query.map(|(name, value)| (name, value.fill(values)));
        url.query_pairs_mut().extend_pairs(query);
    }
    let mut headers = filled_headers(&provider.table.headers, values)?;
    headers.extend(filled_headers(&template.headers, values)?);
    let body = match &template.body {
        None => None,
        Some(BodyTemplate::Json(json)) => {
            let json = json
                .fill(values)
                .map_err(|why| Error::new(Code::Usage, why.to_string()))?;
            Some(RequestBody {
                media_type: "application/json",
                bytes: json.to_string().into_bytes(),
            })
        }
        Some(BodyTemplate::Form(fields)) => {
            let fields = fields.iter();
            Some(form(fields.map(|(name, value)| (name, value.fill(values)))))
        }
    };
    Ok(TableRequest {
        method: template.method.clone(),
        url,
        headers,
        body,
    })
}

/// Headers with values in their slots.
///
/// # Errors
/// [`Code::Usage`] for a value that a header cannot carry.
pub(super) fn filled_headers(
    headers: &[(HeaderName, TextTemplate)],
    values: &SlotValues<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let headers = headers.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(&value.fill(values)).map_err(|_| {
            let what = format!("no header {name} can carry that value");
            Error::new(Code::Usage, what)
        })?;
        Ok((name.clone(), value))
    });
    headers.collect()
}

/// A form as a body.
pub(super) fn form(
    fields: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> RequestBody {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    RequestBody {
        media_type: "application/x-www-form-urlencoded",
        bytes: form.finish().into_bytes(),
    }
}

/// Checks that no segment of a filled path is `.` or `..`, which would lead the request to another route (RFC 3986
/// section 5.2.4).
///
/// # Errors
/// [`Code::Usage`] for a path with such a segment.
fn check_segments(path: &str) -> Result<()> {
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        let what = "no path of a request can carry that value";
        return Err(Error::new(Code::Usage, what)
            .with_cause("a segment of the path would be '.' or '..', which stand for folders"));
    }
    Ok(())
}

/// The URL of a path below the base.
pub(super) fn route(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
