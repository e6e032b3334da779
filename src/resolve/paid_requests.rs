//! How many paid requests this process may send, and how many it sent.
//!
//! A paid request needs a [`Permit`]. `--max-charges` limits the permits; a refused request gives its
//! permit back. After three paid requests in a row that ended in doubt there are no more permits, and
//! none while the batch finds out whether any document can come ([`PaidRequests::pause`]).

use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::mutex::locked;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use tokio::sync::Notify;

/// After so many paid requests in a row that ended in doubt, no further one is sent.
const DOUBTS: u32 = 3;

/// The paid requests of this process.
#[derive(Debug)]
pub struct PaidRequests {
    /// The most that may be sent and not refused.
    limit: Option<u64>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Requests that were permitted and not given back.
    permitted: u64,
    /// Those of them that have not ended.
    under_way: u64,
    /// How many ended in doubt since the last answer.
    doubts: u32,
    /// While there are any, only these documents are paid for.
    probes: HashSet<DocumentId>,
    /// Why no further request is sent.
    stopped: Option<Error>,
    /// How many requests left and were not refused for documents under way.
    charged: HashMap<DocumentId, u32>,
}

impl State {
    /// Takes back what [`Permit::leave`] noted.
    fn give_back(&mut self, id: &DocumentId) {
        if let Some(count) = self.charged.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.charged.remove(id);
            }
        }
    }

    /// Whether no pause keeps a document from being paid for.
    fn permits(&self, id: &DocumentId) -> bool {
        self.probes.is_empty() || self.probes.contains(id)
    }
}

/// The permission to send one paid request. One that is dropped after its request left counts as in
/// doubt.
#[derive(Debug)]
pub struct Permit<'a> {
    charges: &'a PaidRequests,
    id: &'a DocumentId,
    charged: Charged,
}

/// Whether a paid request was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// The provider answered with a URL.
    Yes,
    /// The request never left, or the provider refused it.
    No,
    /// The request left, and the provider did not answer with a URL.
    InDoubt,
}

impl PaidRequests {
    /// At most `limit` paid requests that are not refused.
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Permits a paid request for a document. Waits while the batch has paused, and while a request
    /// under way may still give its permit back.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the limit is reached; an error that is
    /// [not started](Error::is_not_started) when no further request is sent in this run.
    pub async fn permit<'a>(&'a self, id: &'a DocumentId) -> Result<Permit<'a>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = locked(&self.state);
                if let Some(error) = &state.stopped {
                    return Err(error.clone());
                }
                let full = self.limit.is_some_and(|limit| state.permitted >= limit);
                if full && state.under_way == 0 {
                    return Err(self.used_up());
                }
                if !full && state.permits(id) {
                    state.permitted += 1;
                    state.under_way += 1;
                    return Ok(Permit {
                        charges: self,
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

    /// How many paid requests left and were not refused.
    pub fn count(&self) -> u64 {
        let state = locked(&self.state);
        state.permitted
    }

    /// Whether a paid request for a document left in this run and was not refused. Asked once, when the
    /// document ends.
    pub fn take_charged(&self, id: &DocumentId) -> bool {
        locked(&self.state).charged.remove(id).is_some()
    }

    /// Whether no further paid request is sent in this run.
    pub fn is_stopped(&self) -> bool {
        locked(&self.state).stopped.is_some()
    }

    /// Sends no paid request but for the document `probe`, until [`PaidRequests::resume`].
    pub fn pause(&self, probe: &DocumentId) {
        locked(&self.state).probes.insert(probe.clone());
    }

    /// Ends the pause for `probe`.
    pub fn resume(&self, probe: &DocumentId) {
        locked(&self.state).probes.remove(probe);
        self.changed.notify_waiters();
    }

    /// Sends no further paid request in this run.
    pub fn stop(&self, why: &str) {
        let mut state = locked(&self.state);
        if state.stopped.is_none() {
            log::error!("no further paid request is sent in this run: {why}");
            let error = Error::new(Code::ChargeRefused, "no paid request was sent");
            state.stopped = Some(error.with_cause(why).into_not_started());
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Permit<'_> {
    /// Notes that the request is about to leave.
    ///
    /// # Errors
    /// One that is [not started](Error::is_not_started) when the batch has paused or stopped since.
    pub fn leave(&mut self) -> Result<()> {
        let mut state = locked(&self.charges.state);
        if state.stopped.is_some() || !state.permits(self.id) {
            let error = Error::new(Code::ChargeRefused, "no paid request was sent");
            return Err(error.with_cause("the batch has paused").into_not_started());
        }
        self.charged = Charged::InDoubt;
        *state.charged.entry(self.id.clone()).or_default() += 1;
        Ok(())
    }

    /// Notes what came of the request.
    pub fn ended(mut self, charged: Charged) {
        let mut state = locked(&self.charges.state);
        if self.charged == Charged::InDoubt && charged == Charged::No {
            state.give_back(self.id);
        }
        self.charged = charged;
        match charged {
            Charged::Yes => state.doubts = 0,
            Charged::InDoubt => state.doubts += 1,
            Charged::No => {}
        }
        let stop = state.doubts >= DOUBTS;
        drop(state);
        if stop {
            let why = format!("{DOUBTS} paid requests in a row were not answered with a URL");
            self.charges.stop(&why);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.charges.state);
        state.under_way -= 1;
        if self.charged == Charged::No {
            state.permitted -= 1;
        }
        drop(state);
        self.charges.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn id() -> DocumentId {
        DocumentId::parse("00f2", None).unwrap()
    }

    fn permit<'a>(charges: &'a PaidRequests, id: &'a DocumentId) -> Option<Result<Permit<'a>>> {
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
        charges.pause(&probe);
        assert!(early.leave().unwrap_err().is_not_started());
        assert!(permit(&charges, &id).is_none());
        permit(&charges, &probe).unwrap().unwrap().leave().unwrap();
        let waiting = charges.permit(&id);
        let (permit, ()) = tokio::join!(waiting, async { charges.resume(&probe) });
        permit.unwrap().leave().unwrap();
    }
}
