//! Who names itself first: documents of one batch take their names in the order of asking, however
//! late each of them learns its name, so that of two with the same name always the later one gets
//! another. One that takes long to learn it (it is being tried again, say) is waited for once, and then
//! lets the others pass.

use crate::mutex::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// How long the others wait for one that does not know its name.
const PATIENCE: Duration = Duration::from_secs(5);

/// Documents under way that have no name yet.
#[derive(Debug, Default)]
pub(crate) struct NameOrder {
    /// By their order; whether they know their name, and wait for others.
    unnamed: Mutex<BTreeMap<u64, bool>>,
    changed: Notify,
}

/// A document's place among them; given up when it is dropped.
#[derive(Debug)]
pub struct NameTicket<'a> {
    name_order: &'a NameOrder,
    order: u64,
}

impl NameOrder {
    /// Takes the place `order`; whoever asks earlier has the smaller number, and calls this earlier.
    pub(crate) fn ticket(&self, order: u64) -> NameTicket<'_> {
        locked(&self.unnamed).insert(order, false);
        NameTicket {
            name_order: self,
            order,
        }
    }
}

impl NameTicket<'_> {
    /// Waits until all earlier ones have their names.
    pub async fn wait_for_earlier(&self) {
        if let Some(waits) = locked(&self.name_order.unnamed).get_mut(&self.order) {
            *waits = true;
        }
        if tokio::time::timeout(PATIENCE, self.all_before())
            .await
            .is_err()
        {
            locked(&self.name_order.unnamed).retain(|order, waits| *order >= self.order || *waits);
            self.name_order.changed.notify_waiters();
            self.all_before().await;
        }
    }

    async fn all_before(&self) {
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

    /// Lets the later ones pass: this one has its name, or will have none.
    pub fn release(&self) {
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
