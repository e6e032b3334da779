//! A batch must not pay for documents that cannot come.
//!
//! Where several documents in a row fail after their URL was paid for, the storage may be out of reach for
//! all of them. So a document that failed waits for others at its host. When another one arrives, the
//! waiting ones are tried again, once. The third failure in a row pauses paying: that document is tried
//! again from the beginning, with all its retries. When it arrives, the batch goes on; when it fails, the
//! waiting ones fail, and no further document is paid for. Their URLs stay recorded, so that trying again
//! never pays again.

use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::resolve::PaidRequests;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::{Notify, oneshot};

/// So many failures in a row pause paying.
const IN_A_ROW: u32 = 3;

/// Failures after payment, by storage host.
#[derive(Debug, Default)]
pub struct Outages {
    hosts: Mutex<HashMap<String, Host>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Host {
    /// Failures since the last success.
    in_a_row: u32,
    /// The failed documents that wait.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What becomes of a document that failed.
#[derive(Debug)]
pub enum AfterFailure<'a> {
    /// Its failure stands.
    Stands,
    /// It waits: a message tells it to try again, a closed channel that its failure stands.
    Waits(oneshot::Receiver<()>),
    /// It is tried again, for all that wait.
    Probes(Probe<'a>),
}

/// The document that is tried again for all that wait. One that is dropped lets their failures stand.
#[derive(Debug)]
pub struct Probe<'a> {
    outages: &'a Outages,
    charges: &'a PaidRequests,
    host: String,
    id: DocumentId,
}

impl Outages {
    /// The document `id` failed, whose URL at `host` was paid for.
    pub fn failed<'a>(
        &'a self,
        (host, id): (&str, &DocumentId),
        error: &Error,
        charges: &'a PaidRequests,
    ) -> AfterFailure<'a> {
        if !counts(error) || charges.is_stopped() {
            return AfterFailure::Stands;
        }
        let mut hosts = locked(&self.hosts);
        let of_host = hosts.entry(host.to_owned()).or_default();
        of_host.in_a_row += 1;
        if charges.probe(host).is_some() || of_host.in_a_row < IN_A_ROW {
            let (sender, receiver) = oneshot::channel();
            of_host.waiting.push(sender);
            self.changed.notify_one();
            return AfterFailure::Waits(receiver);
        }
        charges.pause(host, id);
        let probe = Probe {
            outages: self,
            charges,
            host: host.to_owned(),
            id: id.clone(),
        };
        if error.code() == Code::Certificate {
            drop(hosts);
            probe.failed(error); // another attempt sees the same certificate
            return AfterFailure::Stands;
        }
        log::warn!(
            "{IN_A_ROW} paid documents in a row failed at {host}: paying pauses until one of them arrives"
        );
        AfterFailure::Probes(probe)
    }

    /// A document arrived from `host`: the documents that wait for it are tried again.
    pub fn succeeded(&self, host: &str, charges: &PaidRequests) {
        let mut hosts = locked(&self.hosts);
        let Some(of_host) = hosts.get_mut(host) else {
            return;
        };
        of_host.in_a_row = 0;
        for document in of_host.waiting.drain(..) {
            let _ = document.send(());
        }
        if charges.resume(host) {
            log::warn!("{host} works again: the batch goes on");
        }
    }

    /// Waits until one more document waits.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many documents wait.
    pub fn waiting(&self) -> usize {
        let hosts = locked(&self.hosts);
        hosts.values().map(|host| host.waiting.len()).sum()
    }

    /// Lets the failures of all that wait stand: nothing else is under way.
    pub fn release(&self) {
        for host in locked(&self.hosts).values_mut() {
            host.waiting.clear();
        }
    }
}

/// Whether a failure may be one of all documents. Others say something about the document itself.
fn counts(error: &Error) -> bool {
    let missing = matches!(error.http_status(), Some(404 | 410)) || error.exit_code() == 6;
    let own = matches!(
        error.code(),
        Code::Interrupted | Code::ChargeUnknown | Code::ChargeRefused | Code::TargetExists
    );
    !missing && !own && !error.is_not_started()
}

impl Probe<'_> {
    /// After the document failed with `error`: no further document is paid for, unless the host answered.
    pub fn failed(self, error: &Error) {
        if error.code() == Code::Interrupted {
            return;
        }
        if !counts(error) {
            self.outages.succeeded(&self.host, self.charges);
        } else if self.is_current() {
            let why = format!("no document arrives from {}", self.host);
            self.charges.stop(&why); // before the end of the pause permits further requests
        }
    }

    /// Whether this document is still the one that is tried for its host.
    fn is_current(&self) -> bool {
        self.charges.probe(&self.host).as_ref() == Some(&self.id)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut hosts = locked(&self.outages.hosts);
        if self.is_current() {
            if let Some(of_host) = hosts.get_mut(&self.host) {
                of_host.waiting.clear();
            }
            self.charges.resume(&self.host);
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

    /// Fails so many documents at one host; the last one's fate.
    fn fail<'a>(
        outages: &'a Outages,
        charges: &'a PaidRequests,
        names: &[&str],
    ) -> AfterFailure<'a> {
        let fates = names
            .iter()
            .map(|name| outages.failed(("h", &id(name)), &broken(), charges));
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
    fn a_probe_that_others_have_overtaken_stops_nothing() {
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
    fn what_concerns_a_document_itself_counts_for_no_other() {
        let (outages, charges) = (Outages::default(), PaidRequests::new(None));
        for error in [
            Error::new(Code::ChargeRefused, "expired"),
            Error::new(Code::TargetExists, "exists"),
            Error::new(Code::DigestMismatch, "wrong"),
            Error::new(Code::StorageDenied, "gone").with_http_status(410),
        ] {
            for name in ["a", "b", "c", "d"] {
                let fate = outages.failed(("h", &id(name)), &error, &charges);
                assert!(matches!(fate, AfterFailure::Stands), "{error}");
            }
        }
        assert!(!charges.is_stopped());
    }
}
