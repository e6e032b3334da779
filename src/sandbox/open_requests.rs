//! Counts the requests, and how many of them are open at the same time.

use super::state::SandboxState;
use std::sync::Arc;
use std::time::Instant;

/// One of the services, each with a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Api,
    Storage,
    /// The stand-in of a table.
    Table,
}

/// Whether a path of the API belongs to Standard Metrics, which limits the rate of requests.
pub(super) fn is_standard_metrics(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("o" | "v1"))
}

/// A request that is open, until this value is dropped.
#[derive(Debug)]
pub(super) struct OpenRequest {
    state: Arc<SandboxState>,
    service: Service,
}

impl OpenRequest {
    /// Counts a request whose head has arrived.
    pub(super) fn begin(state: &Arc<SandboxState>, service: Service, path: &str) -> Self {
        let mut changing = state.changing();
        let (all, storage) = (changing.open_requests + 1, changing.open_storage_requests);
        changing.open_requests = all;
        changing.report.requests += 1;
        changing.report.max_open_requests = changing.report.max_open_requests.max(all);
        if service == Service::Storage {
            let storage = storage + 1;
            changing.open_storage_requests = storage;
            let most = changing.report.max_open_storage_requests.max(storage);
            changing.report.max_open_storage_requests = most;
        } else if service == Service::Api && is_standard_metrics(path) {
            let count = changing.standard_metrics_window.add(Instant::now());
            let most = changing.report.max_requests_in_ten_seconds.max(count);
            changing.report.max_requests_in_ten_seconds = most;
        }
        Self {
            state: Arc::clone(state),
            service,
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut changing = self.state.changing();
        changing.open_requests -= 1;
        if self.service == Service::Storage {
            changing.open_storage_requests -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_to_standard_metrics_count_in_the_window() {
        let state = Arc::new(SandboxState::of(Vec::new()));
        for (service, path) in [
            (Service::Api, "/o/token/"),
            (Service::Api, "/v1/documents/"),
            (Service::Api, "/api/v1/documents"),
            (Service::Storage, "/v1/documents/"),
        ] {
            drop(OpenRequest::begin(&state, service, path));
        }
        let report = state.changing().report.clone();
        assert_eq!(
            (report.max_requests_in_ten_seconds, report.requests),
            (2, 4)
        );
        let most = (report.max_open_requests, report.max_open_storage_requests);
        assert_eq!(most, (1, 1));
    }
}
