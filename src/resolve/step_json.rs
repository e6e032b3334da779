//! What the JSON of a step's answer brings: the presigned URL, values for the steps after it, facts of the document.

use super::answer::{self, failure_in};
use super::api::Api;
use super::captures::Captures;
use super::checksums::ChecksumAnswer;
use super::facts::FactPlaces;
use super::fields::{self, Wanted};
use super::steps::{StepEnd, WithUrl};
use super::times::end_of;
use crate::error::{Code, Error, Result};
use crate::http::handed_over::{self, UnusableUrl};
use crate::http::{PresignedUrl, Reply, StorageHeaders, headers};
use crate::model::DocumentId;
use crate::provider::{Pointer, Pointers, Step, UrlPlace, UrlSource};
use jiff::Timestamp;
use serde_json::Value;

impl Api {
    /// Reads the JSON of a success.
    ///
    /// # Errors
    /// [`Code::Protocol`] where the JSON has neither the URL nor all values for the steps after it;
    /// [`Code::RequestRefused`] where the JSON says that the request failed; the error that cut the body off.
    pub(super) async fn read_step_json(
        &self,
        id: &DocumentId,
        step: &Step,
        reply: Reply,
    ) -> Result<StepEnd> {
        let (status, headers) = (reply.status(), reply.headers().clone());
        let date = headers::date(&headers);
        let answered = date.unwrap_or_else(|| self.http.clock().best());
        let json = fields::read_wanted(&self.provider, reply, &wanted(step)).await?;
        let failure = step.failure.as_ref();
        if let Some(reason) = failure.and_then(|failure| failure.find_map(&json, failure_in)) {
            return Err(self.failed(&reason).with_http_status(status));
        }
        let answer = ChecksumAnswer {
            json: &json,
            headers: &headers,
            id,
        };
        let facts = FactPlaces::from(step).read(&self.provider.table, answer);
        let found = captured(step, &json);
        let url = match &step.url {
            Some(UrlSource::Json(places)) => match place_of_url(places, &json) {
                Some(place) => Some(self.url_at(place, &json, answered)?),
                // The steps after this one bring the URL.
                None if !step.captures.is_empty() => None,
                None => Some(self.url_at(&places[0], &json, answered)?),
            },
            _ => None,
        };
        let captures = match (found, &url) {
            (Ok(captures), _) => captures,
            (Err(_), Some(_)) => Captures::default(),
            (Err(missing), None) => {
                let why = format!("{missing} is missing or is not text");
                return Err(answer::protocol(&self.provider.table.title).with_cause(why));
            }
        };
        Ok(StepEnd {
            url: url.map(|url| url.with_facts(facts.clone())),
            captures,
            facts,
        })
    }

    /// The error of a success that says that the request failed.
    fn failed(&self, reason: &str) -> Error {
        let title = &self.provider.table.title;
        let why = if reason.is_empty() {
            "its answer says that the request failed".to_owned()
        } else {
            format!("its answer says {reason:?}")
        };
        Error::new(Code::RequestRefused, format!("{title} refused the request")).with_cause(why)
    }

    /// The URL at a place of the JSON, with what belongs to it.
    ///
    /// # Errors
    /// What is wrong with the URL, or with the headers for the storage.
    fn url_at(&self, place: &UrlPlace, json: &Value, answered: Timestamp) -> Result<PresignedUrl> {
        let wrong = |at: &Pointer, why: &str| {
            let field = at.shown();
            answer::protocol(&self.provider.table.title).with_cause(format!("{field} {why}"))
        };
        let at = &place.at;
        let found = at.find_usable(json, &is_web_url).or_else(|| at.find(json));
        let text = found.and_then(Value::as_str);
        let text = text.ok_or_else(|| wrong(at, "is missing or is not text"))?;
        let url = handed_over::absolute(text).map_err(|unusable| match unusable {
            UnusableUrl::Changed => self.unusable_url(unusable, unusable.why()),
            UnusableUrl::Missing | UnusableUrl::NotAUrl => wrong(at, "is not a URL"),
        })?;
        // A URL without a host opens nothing. A `file:` URL passes here: the address rules refuse it.
        if !url.has_host() && url.scheme() != "file" {
            return Err(wrong(at, "is not a URL"));
        }
        let storage_headers = match &place.storage_headers {
            None => StorageHeaders::default(),
            Some(at) => {
                let headers = StorageHeaders::from_json(at.find(json).unwrap_or(&Value::Null));
                headers.map_err(|invalid| wrong(at, &invalid.to_string()))?
            }
        };
        let expires = place.expires.as_ref();
        let with_url = WithUrl {
            expires: expires.and_then(|expires| end_of(expires, json, answered)),
            storage_headers,
        };
        self.checked(url, with_url)
    }
}

/// What a step reads of its answer.
fn wanted(step: &Step) -> Wanted<'_> {
    let mut wanted = Wanted::default();
    let captures: Vec<_> = step
        .captures
        .iter()
        .map(|(_, at)| at.iter().collect())
        .collect();
    if let Some(UrlSource::Json(places)) = &step.url {
        wanted
            .enough
            .push(vec![places.iter().map(|place| &place.at).collect()]);
        for place in places {
            let expiry = place.expires.as_ref().and_then(|expires| expires.places());
            let beside = expiry.into_iter().flat_map(Pointers::iter);
            let beside = beside.chain(&place.storage_headers);
            wanted.useful.extend(beside.map(|pointer| vec![pointer]));
        }
    }
    if !captures.is_empty() {
        wanted.enough.push(captures);
    }
    let places = FactPlaces::from(step);
    let facts = places.name_and_size().chain(places.checksums());
    let failure = step.failure.iter().map(|at| at.iter().collect());
    wanted.useful.extend(facts.chain(failure));
    wanted
}

/// The values for the steps after this one. The error is the name of the first place that has none.
fn captured<'a>(step: &'a Step, json: &Value) -> Result<Captures, &'a str> {
    let mut captures = Captures::default();
    for (name, at) in &step.captures {
        captures.add(name, at.text(json).ok_or_else(|| at.shown())?);
    }
    Ok(captures)
}

/// The first place with an http or https URL.
fn place_of_url<'a>(places: &'a [UrlPlace], json: &Value) -> Option<&'a UrlPlace> {
    let mut places = places.iter();
    places.find(|place| place.at.find_usable(json, &is_web_url).is_some())
}

/// Whether a value is text that begins as an http or https URL.
fn is_web_url(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default().trim_start();
    let begins_with = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins_with("http:") || begins_with("https:")
}
