//! Name and size of a document, by the free route that some providers have for them.

use super::api::{Api, ApiCall};
use super::fields;
use crate::error::Result;
use crate::model::DocumentId;
use crate::provider::MetadataRoute;
use crate::secret::register_public;
use crate::text::LARGEST_SIZE;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// How long the answer may take: docfetch can do without it.
const MAX_METADATA_TIME: Duration = Duration::from_secs(5);

/// What is known of a document before its URL is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Its file name.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

impl Metadata {
    /// The metadata in an answer to a request by `route`.
    pub(super) fn of(json: &Value, route: &MetadataRoute) -> Self {
        let name = json.pointer(route.name).and_then(Value::as_str);
        name.inspect(|name| register_public(name));
        let size = json.pointer(route.size).and_then(Value::as_u64);
        Self {
            name: name.map(str::to_owned),
            size: size.filter(|size| *size <= LARGEST_SIZE),
        }
    }
}

/// Requests the metadata once, with at most 5 s for the answer. A failure leaves both unknown, as does a
/// provider without such a route.
pub(super) async fn metadata(api: &Api, id: &DocumentId) -> Metadata {
    request(api, id).await.unwrap_or_else(|error| {
        log::info!("no metadata for {id}: {}", error.message());
        Metadata::default()
    })
}

/// As [`metadata`], for a caller that must know of a failure.
///
/// # Errors
/// The codes of an API that refuses, or cannot be reached in time.
pub(super) async fn request(api: &Api, id: &DocumentId) -> Result<Metadata> {
    let Some(route) = &api.provider.metadata else {
        return Ok(Metadata::default());
    };
    let call = ApiCall {
        max_answer_time: Some(MAX_METADATA_TIME), // the wait for the rate budget is not part of it
        ..ApiCall::new(Method::GET, api.route(route.path, Some(id)))
    };
    let reply = api.send(call).await.map_err(|failure| failure.error)?;
    if reply.status() != 200 {
        return Err(api.refusal(id, reply).await);
    }
    let json = fields::read(&api.provider, reply, &[route.name, route.size], &[]).await?;
    Ok(Metadata::of(&json, route))
}
