//! The order in which the documents of a batch take their names.
//!
//! Documents learn their names at different times. They take them in the order of the batch, so that
//! every run gives the same one of two documents with the same name another name. A document that does
//! not know its name for a long time, for example while docfetch retries it, delays the other documents
//! only once, by 5 s.

use crate::mutex::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a document waits for earlier documents that do not know their names.
const MAX_WAIT_FOR_NAMES: Duration = Duration::from_secs(5);

/// The documents of a batch whose work has begun and that have no name yet.
#[derive(Debug, Default)]
pub(super) struct NameOrder {
    /// By their place in the batch.
    unnamed: Mutex<BTreeMap<u64, Unnamed>>,
    changed: Notify,
}

/// A document without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unnamed {
    /// It does not know its name.
    NameUnknown,
    /// It knows its name, and waits for earlier documents.
    Waiting,
}

/// A document's place in the order. The place is given up when the ticket is dropped.
#[derive(Debug)]
pub(crate) struct NameTicket<'a> {
    name_order: &'a NameOrder,
    order: u64,
}

impl NameOrder {
    /// Takes the place `order`. Call in ascending `order`.
    pub(super) fn ticket(&self, order: u64) -> NameTicket<'_> {
        locked(&self.unnamed).insert(order, Unnamed::NameUnknown);
        NameTicket {
            name_order: self,
            order,
        }
    }
}

impl NameTicket<'_> {
    /// Waits until all earlier documents have their names. After 5 s, earlier documents that do not know
    /// their names lose their places.
    pub(crate) async fn wait_for_earlier(&self) {
        let NameOrder { unnamed, changed } = self.name_order;
        if let Some(state) = locked(unnamed).get_mut(&self.order) {
            *state = Unnamed::Waiting;
        }
        let waiting = tokio::time::timeout(MAX_WAIT_FOR_NAMES, self.all_earlier_named());
        if waiting.await.is_err() {
            locked(unnamed)
                .retain(|order, state| *order >= self.order || *state == Unnamed::Waiting);
            changed.notify_waiters();
            self.all_earlier_named().await;
        }
    }

    async fn all_earlier_named(&self) {
        loop {
            let changed = self.name_order.changed.notified();
            if self.is_first() {
                break;
            }
            changed.await;
        }
    }

    fn is_first(&self) -> bool {
        let unnamed = locked(&self.name_order.unnamed);
        unnamed
            .keys()
            .next()
            .is_none_or(|first| *first >= self.order)
    }

    /// Gives the place up: the document has its name, or needs none.
    pub(crate) fn release(&self) {
        if locked(&self.name_order.unnamed)
            .remove(&self.order)
            .is_some()
        {
            self.name_order.changed.notify_waiters();
        }
    }
}

impl Drop for NameTicket<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test(start_paused = true)]
    async fn names_are_taken_in_order_but_for_one_that_takes_too_long() {
        let name_order = NameOrder::default();
        let [slow, first, second, third] = [0, 1, 2, 3].map(|order| name_order.ticket(order));
        let log = RefCell::new(Vec::new());
        let go = |ticket, name: &'static str, after: u64| {
            let log = &log;
            async move {
                let ticket: NameTicket<'_> = ticket;
                tokio::time::sleep(Duration::from_secs(after)).await;
                ticket.wait_for_earlier().await;
                log.borrow_mut().push(name);
                ticket.release();
            }
        };
        tokio::join!(
            go(third, "third", 0),
            go(second, "second", 1),
            go(first, "first", 2),
            go(slow, "slow", 60),
        );
        assert_eq!(*log.borrow(), ["first", "second", "third", "slow"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_without_a_name_is_not_waited_for() {
        let name_order = NameOrder::default();
        let (first, second) = (name_order.ticket(0), name_order.ticket(1));
        drop(first);
        let waited = tokio::time::Instant::now();
        second.wait_for_earlier().await;
        assert_eq!(waited.elapsed(), Duration::ZERO);
    }
}
