//! One Codex: a key in a header; a POST that may be charged and whose answer is JSON.
//!
//! Source: the API's page "Downloading documents" and its `OpenAPI` description of documents. Samples
//! and assets have routes of the same shape. Projects and tags of samples: the official client
//! (github.com/onecodex/onecodex, `onecodex/models/`), which filters by `{"project": {"$ref": URI}}` and
//! `{"tags": {"$containsall": [{"$ref": URI}]}}`, and looks a name up by `{"name": NAME}`.

use super::filters::{Filters, OwnOption, ReferencedList, ServerFilter};
use super::resource::Resource;
use super::schema::{Auth, Handoff, KeyFile, Listing, MetadataRoute, Paging, Provider};
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
    identity: &'static str,
    list: &'static str,
    one: &'static str,
    retrieval: &'static str,
    uri_prefix: &'static str,
    fields: &'static [&'static str],
    filters: &'static Filters,
}

macro_rules! kind {
    ($identity:literal, $name:literal, $fields:expr, $filters:expr) => {
        KindFacts {
            identity: $identity,
            list: concat!("/api/v1/", $name),
            one: concat!("/api/v1/", $name, "/{id}"),
            retrieval: concat!("/api/v1/", $name, "/{id}/download_uri"),
            uri_prefix: concat!("/api/v1/", $name, "/"),
            fields: $fields,
            filters: $filters,
        }
    };
}

impl KindFacts {
    fn of(resource: Resource) -> Self {
        match resource {
            Resource::Documents => {
                kind!("onecodex", "documents", &["created_at"], &ONE_CODEX_FILTERS)
            }
            Resource::Samples => kind!(
                "onecodex/samples",
                "samples",
                &["created_at", "status", "project", "tags"],
                &SAMPLE_FILTERS
            ),
            Resource::Assets => kind!(
                "onecodex/assets",
                "assets",
                &["created_at", "status"],
                &ASSET_FILTERS
            ),
        }
    }
}

impl Provider {
    /// [One Codex](https://docs.onecodex.com), for one kind of its documents. One Codex may charge for
    /// each retrieval.
    pub fn one_codex(resource: Resource) -> Self {
        let kind = KindFacts::of(resource);
        Provider {
            table: super::shipped::kind("onecodex", Some(resource.name())),
            name: "onecodex",
            title: "One Codex",
            resource: Some(resource),
            identity: kind.identity,
            default_base: "https://app.onecodex.com",
            base_variable: variables::ONE_CODEX_API_BASE,
            base_suffixes: &["/api/v1"],
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
            charged: true,
            budget: &[],
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
            id_uri_prefix: Some(kind.uri_prefix),
        }
    }
}

const fn operator(field: &'static str, operator: &'static str) -> ServerFilter {
    ServerFilter::Field {
        parameter: "where",
        field,
        operator,
    }
}
