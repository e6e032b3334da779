//! Standard Metrics: OAuth client credentials, a free 302 to the presigned URL.
//!
//! Source: the API's pages "Download document", "Get API access token" and "Documents".

use super::filters::{Filters, OwnOption, ServerFilter};
use super::schema::{Auth, Handoff, Listing, Paging, Provider};
use crate::config::variables;
use crate::model::Rate;
use std::time::Duration;

/// "A maximum of 120 requests per minute", and the error page's 30 in 10 seconds.
const STANDARD_METRICS_RATES: [Rate; 2] = [
    Rate {
        requests: 120,
        window: Duration::from_mins(1),
    },
    Rate {
        requests: 30,
        window: Duration::from_secs(10),
    },
];

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

impl Provider {
    /// [Standard Metrics](https://standardmetrics.io). Standard Metrics never charges for a retrieval.
    pub fn standard_metrics() -> Self {
        Provider {
            table: super::shipped::kind("sm", None),
            name: "sm",
            title: "Standard Metrics",
            resource: None,
            identity: "sm",
            default_base: "https://api.standardmetrics.io",
            base_variable: variables::STANDARD_METRICS_API_BASE,
            base_suffixes: &["/v1"],
            auth: Auth::ClientCredentials {
                id: variables::STANDARD_METRICS_CLIENT_ID,
                secret: variables::STANDARD_METRICS_CLIENT_SECRET,
                token_path: "/o/token/",
            },
            handoff: Handoff::Redirect {
                path: "/v1/documents/{id}/download/",
            },
            charged: false,
            budget: &STANDARD_METRICS_RATES,
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
            id_uri_prefix: None,
        }
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
