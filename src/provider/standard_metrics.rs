//! Standard Metrics: OAuth client credentials, a free 302 to the presigned URL.
//!
//! Source: the API's pages "Download document", "Get API access token" and "Documents".

use super::filters::{Filters, OwnOption, ServerFilter};
use super::schema::{Auth, Handoff, Listing, OldFields, Paging};
use crate::config::variables;

/// The server does not filter by name: docfetch compares the names in the rows.
const STANDARD_METRICS_FILTERS: Filters = Filters {
    since: Some(ServerFilter::Parameter("from")),
    until: Some(ServerFilter::Parameter("to")),
    own: &[
        own("company", "company_id", &[]),
        own(
            "source",
            "source",
            &["information-request", "implementation", "upload", "email"],
        ),
        own(
            "parse-state",
            "parse_state",
            &[
                "not-started",
                "in-progress",
                "completed",
                "needs-input",
                "not-parseable",
            ],
        ),
    ],
    ..Filters::NONE
};

/// The fields that no reader takes from the table yet.
pub(super) fn fields() -> OldFields {
    OldFields {
        auth: Auth::ClientCredentials {
            id: variables::STANDARD_METRICS_CLIENT_ID,
            secret: variables::STANDARD_METRICS_CLIENT_SECRET,
            token_path: "/o/token/",
        },
        handoff: Handoff::Redirect {
            path: "/v1/documents/{id}/download/",
        },
        metadata: None,
        listing: Listing {
            path: "/v1/documents/",
            page_size: "page_size",
            page_rows: 100,
            paging: Paging::NextField {
                rows: "results",
                next: "next",
                count: "count",
            },
            query: &[],
            id: "id",
            name: &["name"],
            size: None,
            modified: "uploaded_at",
            fields: &[
                "company_id",
                "information_request_id",
                "parse_state",
                "parsed_at",
                "uploaded_at",
                "source",
                "submitted_date",
            ],
            filters: &STANDARD_METRICS_FILTERS,
        },
    }
}

/// An option for a field that is a query parameter of the same name.
const fn own(
    name: &'static str,
    field: &'static str,
    values: &'static [&'static str],
) -> OwnOption {
    OwnOption {
        name,
        field,
        values,
        server: ServerFilter::Parameter(field),
        is_list: false,
        referenced: None,
    }
}
