//! Stops payment when a storage delivers no document.
//!
//! When several documents in a row fail after their URLs were paid for, the storage may be unreachable for
//! all of them. So a paid document that failed waits for the others at its host. When another document
//! arrives, each waiting document is tried once more. After the third failure in a row, docfetch pauses
//! payment and tries that document again from the beginning, with all retries: this is the probe. When the
//! probe arrives, the batch continues. When the probe fails, the waiting documents fail, and docfetch pays
//! for no further document. The paid URLs stay recorded, so that a later run does not pay again.

use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::resolve::PaidRequests;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::{Notify, oneshot};

/// After this many failures in a row, payment pauses.
const FAILURES_BEFORE_PAUSE: u32 = 3;

/// The failures of paid documents, by storage host.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    hosts: Mutex<HashMap<String, FailuresAtHost>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct FailuresAtHost {
    /// Failures since the last document arrived.
    consecutive: u32,
    /// The failed documents that wait.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What a document does after its failure.
#[derive(Debug)]
pub(crate) enum AfterFailure<'a> {
    /// The document fails.
    Fails,
    /// The document waits. A message tells the document to try again; when the channel closes, the document
    /// fails.
    Waits(oneshot::Receiver<()>),
    /// The document tries again, for all that wait.
    Probes(Probe<'a>),
}

/// The document that tries again for all that wait. When the probe is dropped, the waiting documents fail.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    outages: &'a Outages,
    paid_requests: &'a PaidRequests,
    host: String,
    id: DocumentId,
}

impl Outages {
    /// Tells what the document `id` does after its failure with `error`. Its URL at `host` was paid for.
    pub(crate) fn failed<'a>(
        &'a self,
        host: &str,
        id: &DocumentId,
        error: &Error,
        paid_requests: &'a PaidRequests,
    ) -> AfterFailure<'a> {
        if !concerns_all(error) || paid_requests.is_stopped() {
            return AfterFailure::Fails;
        }
        let mut hosts = locked(&self.hosts);
        let failures = hosts.entry(host.to_owned()).or_default();
        failures.consecutive += 1;
        let has_probe = paid_requests.probe(host).is_some();
        if has_probe || failures.consecutive < FAILURES_BEFORE_PAUSE {
            let (sender, receiver) = oneshot::channel();
            failures.waiting.push(sender);
            self.changed.notify_one();
            return AfterFailure::Waits(receiver);
        }
        paid_requests.pause(host, id);
        let probe = Probe {
            outages: self,
            paid_requests,
            host: host.to_owned(),
            id: id.clone(),
        };
        if error.code() == Code::Certificate {
            drop(hosts);
            probe.failed(error); // another attempt sees the same certificate
            return AfterFailure::Fails;
        }
        log::warn!(
            "{FAILURES_BEFORE_PAUSE} paid documents in a row failed at {host}: paying pauses until one of \
             them arrives"
        );
        AfterFailure::Probes(probe)
    }

    /// A document arrived from `host`: the documents that wait there try again.
    pub(crate) fn succeeded(&self, host: &str, paid_requests: &PaidRequests) {
        let mut hosts = locked(&self.hosts);
        let Some(failures) = hosts.get_mut(host) else {
            return;
        };
        failures.consecutive = 0;
        for document in failures.waiting.drain(..) {
            let _ = document.send(());
        }
        if paid_requests.resume(host) {
            log::warn!("{host} works again: the batch continues");
        }
    }

    /// Waits until one more document waits.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many documents wait.
    pub(crate) fn waiting(&self) -> usize {
        let hosts = locked(&self.hosts);
        hosts.values().map(|failures| failures.waiting.len()).sum()
    }

    /// Lets all waiting documents fail, because no other document is under way.
    pub(crate) fn release(&self) {
        for failures in locked(&self.hosts).values_mut() {
            failures.waiting.clear();
        }
    }
}

/// Whether all documents may fail in this way. Other failures concern one document.
fn concerns_all(error: &Error) -> bool {
    let is_missing = matches!(error.http_status(), Some(404 | 410)) || error.exit_code() == 6;
    let is_own = matches!(
        error.code(),
        Code::Interrupted | Code::ChargeUnknown | Code::ChargeRefused | Code::TargetExists
    );
    !is_missing && !is_own && !error.is_not_started()
}

impl Probe<'_> {
    /// The probe failed with `error`: docfetch pays for no further document, unless the host answered.
    pub(crate) fn failed(self, error: &Error) {
        if error.code() == Code::Interrupted {
            return;
        }
        if !concerns_all(error) {
            self.outages.succeeded(&self.host, self.paid_requests);
        } else if self.is_current() {
            let why = format!("no document arrives from {}", self.host);
            self.paid_requests.stop(&why); // before the end of the pause permits further requests
        }
    }

    /// Whether this document is still the probe of its host: no other document arrived meanwhile.
    fn is_current(&self) -> bool {
        self.paid_requests.probe(&self.host).as_ref() == Some(&self.id)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut hosts = locked(&self.outages.hosts);
        if self.is_current() {
            if let Some(failures) = hosts.get_mut(&self.host) {
                failures.waiting.clear();
            }
            self.paid_requests.resume(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::parse(text, None).unwrap()
    }

    fn broken() -> Error {
        Error::new(Code::Network, "broken")
    }

    /// Lets these documents fail at one host. Returns what the last one does.
    fn fail<'a>(
        outages: &'a Outages,
        charges: &'a PaidRequests,
        names: &[&str],
    ) -> AfterFailure<'a> {
        let fates = names
            .iter()
            .map(|name| outages.failed("h", &id(name), &broken(), charges));
        fates.last().unwrap()
    }

    #[test]
    fn the_third_failure_in_a_row_probes_and_its_failure_stops_paying() {
        let (outages, charges) = (Outages::default(), PaidRequests::new(None));
        let AfterFailure::Waits(mut first) = fail(&outages, &charges, &["a"]) else {
            panic!("the first waits");
        };
        let AfterFailure::Probes(probe) = fail(&outages, &charges, &["b", "c"]) else {
            panic!("the third probes");
        };
        assert_eq!(outages.waiting(), 2);
        probe.failed(&broken());
        assert!(charges.is_stopped() && first.try_recv().is_err());
        assert_eq!(outages.waiting(), 0);
    }

    #[test]
    fn a_probe_stops_nothing_after_another_document_arrived() {
        let (outages, charges) = (Outages::default(), PaidRequests::new(None));
        let AfterFailure::Probes(stale) = fail(&outages, &charges, &["a", "b", "c"]) else {
            panic!("the third probes");
        };
        outages.succeeded("h", &charges);
        let AfterFailure::Probes(probe) = fail(&outages, &charges, &["d", "e", "f"]) else {
            panic!("the third probes");
        };
        stale.failed(&broken());
        assert!(!charges.is_stopped());
        assert_eq!(outages.waiting(), 2);
        probe.failed(&Error::interrupted(2));
        assert!(!charges.is_stopped());
        assert_eq!(outages.waiting(), 0);
    }

    #[test]
    fn a_failure_that_concerns_one_document_counts_for_no_other() {
        let (outages, charges) = (Outages::default(), PaidRequests::new(None));
        for error in [
            Error::new(Code::ChargeRefused, "expired"),
            Error::new(Code::TargetExists, "exists"),
            Error::new(Code::DigestMismatch, "wrong"),
            Error::new(Code::StorageDenied, "gone").with_http_status(410),
        ] {
            for name in ["a", "b", "c", "d"] {
                let fate = outages.failed("h", &id(name), &error, &charges);
                assert!(matches!(fate, AfterFailure::Fails), "{error}");
            }
        }
        assert!(!charges.is_stopped());
    }
}
