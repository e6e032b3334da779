//! One Codex: a key in a header; a POST that may be charged and whose answer is JSON.
//!
//! Source: the API's page "Downloading documents" and its `OpenAPI` description of documents. Samples
//! and assets have routes of the same shape. Projects and tags of samples: the official client
//! (github.com/onecodex/onecodex, `onecodex/models/`), which filters by `{"project": {"$ref": URI}}` and
//! `{"tags": {"$containsall": [{"$ref": URI}]}}`, and looks a name up by `{"name": NAME}`.

use super::filters::{Filters, OwnOption, ReferencedList, ServerFilter};
use super::schema::{Auth, Handoff, KeyFile, Listing, MetadataRoute, OldFields, Paging};
use crate::config::variables;

/// The service takes one operator for each field, and documents none for "more than".
const ONE_CODEX_FILTERS: Filters = Filters {
    name: Some(operator("filename", "$icontains")),
    since: Some(operator("created_at", "$gte")),
    until: Some(operator("created_at", "$lte")),
    size: Some(operator("size", "$gte")),
    own: &[],
};

/// Assets: docfetch shows another field where an asset has no file name, which the server would not compare.
const ASSET_FILTERS: Filters = Filters {
    name: None,
    ..ONE_CODEX_FILTERS
};

const SAMPLE_FILTERS: Filters = Filters {
    own: &[
        OwnOption {
            name: "project",
            field: "project",
            values: &[],
            server: operator("project", ""),
            is_list: false,
            referenced: Some(ReferencedList {
                thing: "project",
                path: "/api/v1/projects",
                id_uri_prefix: "/api/v1/projects/",
            }),
        },
        OwnOption {
            name: "tag",
            field: "tags",
            values: &[],
            server: operator("tags", "$containsall"),
            is_list: true,
            referenced: Some(ReferencedList {
                thing: "tag",
                path: "/api/v1/tags",
                id_uri_prefix: "/api/v1/tags/",
            }),
        },
    ],
    ..ONE_CODEX_FILTERS
};

/// What differs between the kinds.
struct KindFacts {
    list: &'static str,
    one: &'static str,
    retrieval: &'static str,
    fields: &'static [&'static str],
    filters: &'static Filters,
}

macro_rules! kind {
    ($name:literal, $fields:expr, $filters:expr) => {
        KindFacts {
            list: concat!("/api/v1/", $name),
            one: concat!("/api/v1/", $name, "/{id}"),
            retrieval: concat!("/api/v1/", $name, "/{id}/download_uri"),
            fields: $fields,
            filters: $filters,
        }
    };
}

impl KindFacts {
    fn of(kind: &str) -> Self {
        match kind {
            "samples" => kind!(
                "samples",
                &["created_at", "status", "project", "tags"],
                &SAMPLE_FILTERS
            ),
            "assets" => kind!("assets", &["created_at", "status"], &ASSET_FILTERS),
            _ => kind!("documents", &["created_at"], &ONE_CODEX_FILTERS),
        }
    }
}

/// The fields that no reader takes from the table yet.
pub(super) fn fields(kind: &str) -> OldFields {
    let kind = KindFacts::of(kind);
    OldFields {
        auth: Auth::Key {
            header: "x-api-key",
            key: variables::ONE_CODEX_API_KEY,
            bearer: variables::ONE_CODEX_BEARER_TOKEN,
            key_file: Some(KeyFile {
                path: ".onecodex",
                pointer: "/api_key",
            }),
        },
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
        listing: Listing {
            path: kind.list,
            page_size: "per_page",
            page_rows: 100,
            paging: Paging::TotalHeader {
                total: "x-total-count",
            },
            query: &[("sort", r#"{"created_at":true}"#)],
            id: "$uri",
            name: &["filename", "name"],
            size: Some("size"),
            modified: "created_at",
            fields: kind.fields,
            filters: kind.filters,
        },
    }
}

const fn operator(field: &'static str, operator: &'static str) -> ServerFilter {
    ServerFilter::Field {
        parameter: "where",
        field,
        operator,
    }
}
