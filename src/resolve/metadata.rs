//! Name and size of a document, by the free route that some providers have for them.

use super::answer;
use super::api::{Api, ApiCall};
use super::checksums::ChecksumAnswer;
use super::facts::FactPlaces;
use super::fields::{self, FieldsError, Wanted};
use crate::error::{Code, Error, Result};
use crate::http::backoff;
use crate::http::headers::ExpectedChecksum;
use crate::http::{DocumentFacts, Reply};
use crate::model::DocumentId;
use crate::provider::MetadataRoute;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// How long the answer may take: docfetch can do without it.
const MAX_METADATA_TIME: Duration = Duration::from_secs(5);

/// The status of a network that wants a login (RFC 6585 section 6).
const NETWORK_AUTHENTICATION_REQUIRED: u16 = 511;

/// What is known of a document before its URL is requested.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    /// Its file name.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its checksums. All of them must match.
    pub checksums: Vec<ExpectedChecksum>,
    /// Whether name and size are those of a list, which tells no checksums.
    pub is_listed: bool,
    /// Why docfetch requested the metadata and did not learn the name.
    pub failure: Option<MetadataFailure>,
}

/// Why a request for metadata brought no name.
#[derive(Clone, Debug)]
pub(crate) struct MetadataFailure {
    /// The error of the request.
    pub error: Error,
    /// Whether a later run may learn the name: the API did not say in this run that the document has none.
    pub is_temporary: bool,
    /// Whether something else than the API answered, or the API refused the credential. A paid request would
    /// fail likewise, or be in doubt: docfetch sends none.
    pub forbids_payment: bool,
}

impl Metadata {
    /// Adds what another answer tells of the document and what is not known yet.
    pub(crate) fn learn(&mut self, facts: &DocumentFacts) {
        self.name = self.name.take().or_else(|| facts.name.clone());
        self.size = self.size.or(facts.size);
        for checksum in &facts.checksums {
            if !self.checksums.contains(checksum) {
                self.checksums.push(checksum.clone());
            }
        }
    }
}

impl MetadataFailure {
    /// Warns that docfetch does not know a property of the document `id`, its name or its size.
    pub(crate) fn warn_of_unknown(&self, property: &str, id: &DocumentId) {
        let why = self.error.message();
        log::warn!("docfetch does not know the {property} of {id}: {why}");
    }

    /// A failure of the request, or of an answer that is no success.
    fn of_request(error: Error) -> Self {
        let is_login = error.http_status() == Some(NETWORK_AUTHENTICATION_REQUIRED);
        let is_refusal =
            |status| matches!(status, 400..=499) && !backoff::is_transient_status(status);
        Self {
            is_temporary: !error.http_status().is_some_and(is_refusal),
            forbids_payment: is_login || error.code() == Code::CredentialsRejected,
            error,
        }
    }

    /// A failure to read the JSON of a success.
    fn of_body(error: FieldsError) -> Self {
        Self {
            is_temporary: true,
            forbids_payment: matches!(error, FieldsError::WebPage(_)),
            error: error.into(),
        }
    }
}

/// Requests the metadata once, with at most 5 s for the answer. A failure leaves both unknown, as does a
/// provider without such a route.
pub(super) async fn metadata(api: &Api, id: &DocumentId) -> Metadata {
    let Some(route) = &api.provider.table.metadata else {
        return Metadata::default();
    };
    request(api, id, route).await.unwrap_or_else(|failure| {
        log::info!("no metadata for {id}: {}", failure.error.message());
        // A checksum in the id needs no answer.
        let answer = ChecksumAnswer {
            json: &Value::Null,
            headers: &HeaderMap::new(),
            id,
        };
        Metadata {
            failure: Some(failure),
            checksums: answer.checksums(&api.provider.table, &route.checksums),
            ..Metadata::default()
        }
    })
}

/// Requests the metadata of a document by `route`, once.
///
/// # Errors
/// Why the request brought no metadata.
async fn request(
    api: &Api,
    id: &DocumentId,
    route: &MetadataRoute,
) -> Result<Metadata, MetadataFailure> {
    let call = api.call(&route.request, &api.slot_values(Some(id)));
    let call = ApiCall {
        max_answer_time: Some(MAX_METADATA_TIME), // the wait for the rate budget is not part of it
        ..call.map_err(MetadataFailure::of_request)?
    };
    let sent = api.send(call).await;
    let reply = sent.map_err(|failure| MetadataFailure::of_request(failure.error))?;
    if !(200..300).contains(&reply.status()) {
        let refusal = api.refusal(id, reply, None).await;
        return Err(MetadataFailure::of_request(refusal));
    }
    read(api, id, reply, route).await
}

/// Reads the answer to a request by `route`.
///
/// # Errors
/// Why the answer has no metadata.
pub(super) async fn read(
    api: &Api,
    id: &DocumentId,
    reply: Reply,
    route: &MetadataRoute,
) -> Result<Metadata, MetadataFailure> {
    let places = FactPlaces::from(route);
    let wanted = Wanted {
        enough: vec![places.name_and_size().collect()],
        useful: places.checksums().collect(),
    };
    let headers = reply.headers().clone();
    let reading = fields::read_wanted(&api.provider, reply, &wanted);
    let json = reading.await.map_err(MetadataFailure::of_body)?;
    let answer = ChecksumAnswer {
        json: &json,
        headers: &headers,
        id,
    };
    let mut metadata = Metadata::default();
    metadata.learn(&places.read(&api.provider.table, answer));
    if let (Some(at), None) = (&route.name, &metadata.name) {
        let why = format!("{} is missing or is not text", at.shown());
        let error = answer::protocol(&api.provider.table.title).with_cause(why);
        metadata.failure = Some(MetadataFailure {
            is_temporary: false,
            forbids_payment: false,
            error,
        });
    }
    Ok(metadata)
}
