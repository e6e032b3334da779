//! One Codex: a key in a header; a POST that may be charged and whose answer is JSON.
//!
//! Source: the API's page "Downloading documents" and its `OpenAPI` description of documents. Samples
//! and assets have routes of the same shape.

use super::schema::{Handoff, MetadataRoute, OldFields};

/// What differs between the kinds.
struct KindFacts {
    one: &'static str,
    retrieval: &'static str,
}

macro_rules! kind {
    ($name:literal) => {
        KindFacts {
            one: concat!("/api/v1/", $name, "/{id}"),
            retrieval: concat!("/api/v1/", $name, "/{id}/download_uri"),
        }
    };
}

impl KindFacts {
    fn of(kind: &str) -> Self {
        match kind {
            "samples" => kind!("samples"),
            "assets" => kind!("assets"),
            _ => kind!("documents"),
        }
    }
}

/// The fields that no reader takes from the table yet.
pub(super) fn fields(kind: &str) -> OldFields {
    let kind = KindFacts::of(kind);
    OldFields {
        handoff: Handoff::JsonField {
            path: kind.retrieval,
            url: "/download_uri",
            hours: Some("/expires_in_hours"),
        },
        metadata: Some(MetadataRoute {
            path: kind.one,
            name: "/filename",
            size: "/size",
        }),
    }
}
