//! One Codex: a key in a header, a POST that may be charged and answers with JSON.
//!
//! Source: the API's page "Downloading documents" and its `OpenAPI` description of documents.

use super::{Auth, Handoff, Listing, Metadata, Paging, Provider};
use crate::config::variables;

/// The provider behind `docfetch onecodex`.
pub fn one_codex() -> Provider {
    Provider {
        name: "onecodex",
        title: "One Codex",
        default_base: "https://app.onecodex.com",
        base_variable: variables::ONE_CODEX_API_BASE,
        base_suffix: None,
        auth: Auth::Key {
            header: "x-api-key",
            key: variables::ONE_CODEX_API_KEY,
            bearer: variables::ONE_CODEX_BEARER_TOKEN,
            home_file: Some((".onecodex", "/api_key")),
        },
        handoff: Handoff::JsonField {
            path: "/api/v1/documents/{id}/download_uri",
            url: "/download_uri",
            hours: Some("/expires_in_hours"),
        },
        charged: true,
        budget: &[],
        metadata: Some(Metadata {
            path: "/api/v1/documents/{id}",
            name: "/filename",
            size: "/size",
        }),
        listing: Listing {
            path: "/api/v1/documents",
            page_size: "per_page",
            page_rows: 100,
            paging: Paging::TotalHeader {
                total: "x-total-count",
            },
            query: &[("sort", r#"{"created_at":true}"#)],
            id: "$uri",
            name: "filename",
            size: Some("size"),
            modified: "created_at",
            fields: &["created_at"],
        },
        id_uri_prefix: Some("/api/v1/documents/"),
    }
}
