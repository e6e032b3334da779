//! Standard Metrics: OAuth client credentials, a free 302 to the presigned URL.
//!
//! Source: the API's pages "Download document", "Get API access token" and "Documents".

use super::schema::{Handoff, OldFields};

/// The fields that no reader takes from the table yet.
pub(super) fn fields() -> OldFields {
    OldFields {
        handoff: Handoff::Redirect {
            path: "/v1/documents/{id}/download/",
        },
        metadata: None,
    }
}
