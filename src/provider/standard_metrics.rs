//! Standard Metrics: OAuth client credentials, a free 302 to the presigned URL.
//!
//! Source: the API's pages "Download document", "Get API access token" and "Documents".

use super::schema::{Auth, Handoff, OldFields};
use crate::config::variables;

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
    }
}
