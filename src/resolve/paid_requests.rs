//! How many paid requests one resolver may send, and how many it sent.
//!
//! The policy: each paid request needs a [`ChargePermit`].
//!
//! - `--max-charges` limits the permits. A request that the provider refused gives its permit back, so a
//!   document waits for the requests under way before it fails at that limit.
//! - After three paid requests in a row that ended in doubt, the resolver sends no further paid request.
//! - While the batch finds out whether a storage works ([`PaidRequests::pause`]), only the document that
//!   the batch tries gets permits.

use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::mutex::locked;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::Notify;

/// How many paid requests in a row may end in doubt.
const MAX_DOUBTS_IN_A_ROW: u32 = 3;

/// The paid requests of one resolver.
#[derive(Debug)]
pub(crate) struct PaidRequests {
    /// How many may be sent, not counting refused requests.
    limit: Option<u64>,
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// How many permits were given and not given back.
    permitted: u64,
    /// How many of those requests have not ended.
    under_way: u64,
    /// How many requests ended in doubt since the last answer with a URL.
    doubts: u32,
    /// The document that the batch tries again for each storage host whose documents failed. While there
    /// is one, only these documents get permits.
    probes: HashMap<String, DocumentId>,
    /// Why the resolver sends no further paid request.
    stopped: Option<Error>,
    /// How many requests left and were not refused, for each document that has not ended.
    charged: HashMap<DocumentId, u32>,
}

impl Counts {
    /// Undoes what [`ChargePermit::leave`] noted.
    fn give_back(&mut self, id: &DocumentId) {
        if let Some(count) = self.charged.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.charged.remove(id);
            }
        }
    }

    /// Whether a pause leaves permits for this document.
    fn permits(&self, id: &DocumentId) -> bool {
        self.probes.is_empty() || self.probes.values().any(|probe| probe == id)
    }
}

/// The permission to send one paid request. A permit that is dropped after its request left counts as in
/// doubt.
#[derive(Debug)]
pub(crate) struct ChargePermit<'a> {
    requests: &'a PaidRequests,
    id: &'a DocumentId,
    charged: Charged,
}

/// Whether a paid request was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charged {
    /// The provider answered with a URL.
    Yes,
    /// The request never left, or the provider refused it.
    No,
    /// The request left, and the provider did not answer with a URL.
    InDoubt,
}

impl PaidRequests {
    /// `limit` is the value of `--max-charges`; none is no limit.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            counts: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Permits a paid request for a document. Waits while the batch has paused, and while a request
    /// under way may give its permit back.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`]: the limit is reached; or the resolver sends no further paid request, then
    /// the error [is not started](Error::is_not_started).
    pub(crate) async fn permit<'a>(&'a self, id: &'a DocumentId) -> Result<ChargePermit<'a>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut counts = locked(&self.counts);
                if let Some(error) = &counts.stopped {
                    return Err(error.clone());
                }
                let full = self.limit.is_some_and(|limit| counts.permitted >= limit);
                if full && counts.under_way == 0 {
                    return Err(self.used_up());
                }
                if !full && counts.permits(id) {
                    counts.permitted += 1;
                    counts.under_way += 1;
                    return Ok(ChargePermit {
                        requests: self,
                        id,
                        charged: Charged::No,
                    });
                }
            }
            changed.await;
        }
    }

    fn used_up(&self) -> Error {
        let limit = self.limit.unwrap_or_default();
        let why = match limit {
            0 => "--max-charges 0 permits no paid request".to_owned(),
            limit => format!("this run has sent the {limit} that --max-charges permits"),
        };
        Error::new(Code::ChargeRefused, "no paid request was sent")
            .with_cause(why)
            .with_hint("run again with a higher --max-charges to fetch it")
    }

    /// How many paid requests of this resolver left, or are about to leave, and were not refused.
    pub(crate) fn count(&self) -> u64 {
        let counts = locked(&self.counts);
        counts.permitted
    }

    /// Whether a paid request for a document left in this run and was not refused. Forgets the document:
    /// call this once, when the document ends.
    pub(crate) fn take_charged(&self, id: &DocumentId) -> bool {
        locked(&self.counts).charged.remove(id).is_some()
    }

    /// Whether the resolver sends no further paid request.
    pub(crate) fn is_stopped(&self) -> bool {
        locked(&self.counts).stopped.is_some()
    }

    /// Pauses paid requests because of failures at the storage `host`: only the document `probe` gets
    /// permits, until [`PaidRequests::resume`]. Several hosts may cause a pause at the same time.
    pub(crate) fn pause(&self, host: &str, probe: &DocumentId) {
        let mut counts = locked(&self.counts);
        counts.probes.insert(host.to_owned(), probe.clone());
    }

    /// The document that is tried for all documents of the storage `host`, while that host causes a pause.
    pub(crate) fn probe(&self, host: &str) -> Option<DocumentId> {
        locked(&self.counts).probes.get(host).cloned()
    }

    /// Ends the pause because of the storage `host`. Returns whether there was one.
    pub(crate) fn resume(&self, host: &str) -> bool {
        let was_paused = locked(&self.counts).probes.remove(host).is_some();
        self.changed.notify_waiters();
        was_paused
    }

    /// Permits no further paid request of this resolver.
    pub(crate) fn stop(&self, why: &str) {
        let mut counts = locked(&self.counts);
        if counts.stopped.is_none() {
            log::error!("no further paid request is sent in this run: {why}");
            let error = Error::new(Code::ChargeRefused, "no paid request was sent");
            counts.stopped = Some(error.with_cause(why).into_not_started());
        }
        drop(counts);
        self.changed.notify_waiters();
    }
}

impl ChargePermit<'_> {
    /// Notes that the request is about to leave.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`], an error that [is not started](Error::is_not_started), when the batch has
    /// paused or stopped since the permit was given. The request must not leave.
    pub(crate) fn leave(&mut self) -> Result<()> {
        let mut counts = locked(&self.requests.counts);
        if counts.stopped.is_some() || !counts.permits(self.id) {
            let error = Error::new(Code::ChargeRefused, "no paid request was sent");
            return Err(error.with_cause("the batch has paused").into_not_started());
        }
        self.charged = Charged::InDoubt;
        *counts.charged.entry(self.id.clone()).or_default() += 1;
        Ok(())
    }

    /// Notes the end of the request.
    pub(crate) fn ended(mut self, charged: Charged) {
        let mut counts = locked(&self.requests.counts);
        if self.charged == Charged::InDoubt && charged == Charged::No {
            counts.give_back(self.id);
        }
        self.charged = charged;
        match charged {
            Charged::Yes => counts.doubts = 0,
            Charged::InDoubt => counts.doubts += 1,
            Charged::No => {}
        }
        let stop = counts.doubts >= MAX_DOUBTS_IN_A_ROW;
        drop(counts);
        if stop {
            let why = format!(
                "{MAX_DOUBTS_IN_A_ROW} paid requests in a row were not answered with a URL"
            );
            self.requests.stop(&why);
        }
    }
}

impl Drop for ChargePermit<'_> {
    fn drop(&mut self) {
        let mut counts = locked(&self.requests.counts);
        counts.under_way -= 1;
        if self.charged == Charged::No {
            counts.permitted -= 1;
        }
        drop(counts);
        self.requests.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn id() -> DocumentId {
        DocumentId::parse("00f2", None).unwrap()
    }

    fn permit<'a>(
        charges: &'a PaidRequests,
        id: &'a DocumentId,
    ) -> Option<Result<ChargePermit<'a>>> {
        charges.permit(id).now_or_never()
    }

    fn send(charges: &PaidRequests, outcome: Charged) {
        let id = id();
        let mut permit = permit(charges, &id).unwrap().unwrap();
        permit.leave().unwrap();
        permit.ended(outcome);
    }

    #[test]
    fn a_refused_request_gives_its_permit_back() {
        let (charges, id) = (PaidRequests::new(Some(1)), id());
        send(&charges, Charged::No);
        assert_eq!((charges.count(), charges.take_charged(&id)), (0, false));
        send(&charges, Charged::Yes);
        assert_eq!((charges.count(), charges.take_charged(&id)), (1, true));
        let error = permit(&charges, &id).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::ChargeRefused);
        assert!(!error.is_not_started());
    }

    #[tokio::test]
    async fn a_document_waits_while_a_request_may_still_be_refused() {
        let (charges, id) = (PaidRequests::new(Some(1)), id());
        let mut first = charges.permit(&id).await.unwrap();
        first.leave().unwrap();
        assert!(permit(&charges, &id).is_none());
        let second = charges.permit(&id);
        let (second, ()) = tokio::join!(second, async { first.ended(Charged::No) });
        second.unwrap();
    }

    #[test]
    fn three_doubts_in_a_row_end_it_and_an_answer_begins_the_count_anew() {
        let (charges, id) = (PaidRequests::new(None), id());
        for outcome in [
            Charged::InDoubt,
            Charged::InDoubt,
            Charged::Yes,
            Charged::InDoubt,
            Charged::InDoubt,
            Charged::InDoubt,
        ] {
            assert!(!charges.is_stopped());
            send(&charges, outcome);
        }
        let error = permit(&charges, &id).unwrap().unwrap_err();
        assert!(error.is_not_started());
    }

    #[test]
    fn a_request_that_is_dropped_after_it_left_is_in_doubt() {
        let (charges, id) = (PaidRequests::new(Some(1)), id());
        drop(permit(&charges, &id).unwrap().unwrap());
        assert_eq!(charges.count(), 0);
        let mut sent = permit(&charges, &id).unwrap().unwrap();
        sent.leave().unwrap();
        drop(sent);
        assert_eq!((charges.count(), charges.take_charged(&id)), (1, true));
    }

    #[test]
    fn a_refusal_takes_no_earlier_charge_of_the_document_back() {
        let (charges, id) = (PaidRequests::new(None), id());
        send(&charges, Charged::Yes);
        send(&charges, Charged::No);
        assert_eq!((charges.count(), charges.take_charged(&id)), (1, true));
        assert!(!charges.take_charged(&id));
    }

    #[tokio::test]
    async fn nothing_leaves_in_a_pause_but_for_the_document_that_ends_it() {
        let (charges, id) = (PaidRequests::new(None), id());
        let probe = DocumentId::parse("probe", None).unwrap();
        let mut early = charges.permit(&id).await.unwrap();
        charges.pause("h", &probe);
        assert!(early.leave().unwrap_err().is_not_started());
        assert!(permit(&charges, &id).is_none());
        permit(&charges, &probe).unwrap().unwrap().leave().unwrap();
        let waiting = charges.permit(&id);
        let (permit, _) = tokio::join!(waiting, async { charges.resume("h") });
        permit.unwrap().leave().unwrap();
    }
}
