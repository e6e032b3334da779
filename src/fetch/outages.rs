//! A batch must not pay for documents that cannot come.
//!
//! Where several documents in a row fail after their URL was paid for, the storage may be out of reach for
//! all of them. The third failure in a row at one host pauses paying: that document is tried again from the
//! beginning, with all its retries, and the failed ones before it wait. When it arrives, the waiting ones
//! are tried again and the batch goes on; when it fails, they fail, and no further document is paid for.
//! Their URLs stay recorded, so that trying again never pays again.

use crate::error::{Code, Error};
use crate::model::{DocumentId, locked};
use crate::resolve::charges::Charges;
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
    /// The document that is tried again for all.
    probe: Option<DocumentId>,
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

/// The document that is tried again for all that wait. One that is dropped has failed.
#[derive(Debug)]
pub struct Probe<'a> {
    outages: &'a Outages,
    charges: &'a Charges,
    host: String,
    works: bool,
}

impl Outages {
    /// The document `id` failed, whose URL at `host` was paid for.
    pub fn failed<'a>(
        &'a self,
        (host, id): (&str, &DocumentId),
        error: &Error,
        charges: &'a Charges,
    ) -> AfterFailure<'a> {
        if !counts(error) || charges.is_stopped() {
            return AfterFailure::Stands;
        }
        let mut hosts = locked(&self.hosts);
        let of_host = hosts.entry(host.to_owned()).or_default();
        of_host.in_a_row += 1;
        if of_host.probe.is_some() || of_host.in_a_row < IN_A_ROW {
            let (sender, receiver) = oneshot::channel();
            of_host.waiting.push(sender);
            self.changed.notify_one();
            return AfterFailure::Waits(receiver);
        }
        of_host.probe = Some(id.clone());
        charges.pause(id);
        let probe = Probe {
            outages: self,
            charges,
            host: host.to_owned(),
            works: false,
        };
        if error.code() == Code::Certificate {
            drop(hosts);
            drop(probe); // another attempt sees the same certificate
            return AfterFailure::Stands;
        }
        log::warn!(
            "{IN_A_ROW} paid documents in a row failed at {host}: paying pauses until one of them arrives"
        );
        AfterFailure::Probes(probe)
    }

    /// A document arrived from `host`. Those that wait for a probe are tried again; the failures of
    /// others stand.
    pub fn succeeded(&self, host: &str, charges: &Charges) {
        let mut hosts = locked(&self.hosts);
        let Some(of_host) = hosts.get_mut(host) else {
            return;
        };
        of_host.in_a_row = 0;
        let waiting = std::mem::take(&mut of_host.waiting);
        if let Some(probe) = of_host.probe.take() {
            log::warn!("{host} works again: the batch goes on");
            for document in waiting {
                let _ = document.send(());
            }
            charges.resume(&probe);
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

/// Failures that say something about the document itself do not count.
fn counts(error: &Error) -> bool {
    let own = matches!(error.status(), Some(404 | 410)) || error.exit_code() == 6;
    let never = matches!(error.code(), Code::Interrupted | Code::ChargeUnknown);
    !own && !never && !error.is_not_started()
}

impl Probe<'_> {
    /// The host answered, whatever became of this document.
    pub fn answered(mut self) {
        self.works = true;
    }

    /// After the document failed with `error`.
    pub fn failed(self, error: &Error) {
        if !counts(error) && error.code() != Code::Interrupted {
            self.answered();
        }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if self.works {
            self.outages.succeeded(&self.host, self.charges);
            return;
        }
        let mut hosts = locked(&self.outages.hosts);
        let of_host = hosts.entry(self.host.clone()).or_default();
        if of_host.probe.take().is_none() {
            return; // another document has arrived since
        }
        of_host.waiting.clear();
        drop(hosts);
        let why = format!("no document arrives from {}", self.host);
        self.charges.stop(&why);
    }
}
