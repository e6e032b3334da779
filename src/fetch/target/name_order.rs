//! Who names itself first: documents of one batch take their names in the order of asking, however
//! late each of them learns its name, so that of two with the same name always the later one gets
//! another. One that takes long to learn it (it is being tried again, say) is waited for once, and then
//! lets the others pass.

use crate::model::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// How long the others wait for one that does not know its name.
const PATIENCE: Duration = Duration::from_secs(5);

/// Documents under way that have no name yet.
#[derive(Debug, Default)]
pub struct Turns {
    /// By their order; whether they know their name, and wait for others.
    unnamed: Mutex<BTreeMap<u64, bool>>,
    changed: Notify,
}

/// A document's place among them; given up when it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    order: u64,
}

impl Turns {
    /// Takes the place `order`; whoever asks earlier has the smaller number, and calls this earlier.
    pub fn take(&self, order: u64) -> Turn<'_> {
        locked(&self.unnamed).insert(order, false);
        Turn { turns: self, order }
    }
}

impl Turn<'_> {
    /// Waits until all earlier ones have their names.
    pub async fn comes(&self) {
        if let Some(waits) = locked(&self.turns.unnamed).get_mut(&self.order) {
            *waits = true;
        }
        if tokio::time::timeout(PATIENCE, self.all_before())
            .await
            .is_err()
        {
            locked(&self.turns.unnamed).retain(|order, waits| *order >= self.order || *waits);
            self.turns.changed.notify_waiters();
            self.all_before().await;
        }
    }

    async fn all_before(&self) {
        loop {
            let changed = self.turns.changed.notified();
            if self.is_first() {
                break;
            }
            changed.await;
        }
    }

    fn is_first(&self) -> bool {
        let unnamed = locked(&self.turns.unnamed);
        unnamed
            .keys()
            .next()
            .is_none_or(|first| *first >= self.order)
    }

    /// Lets the later ones pass: this one has its name, or will have none.
    pub fn is_over(&self) {
        if locked(&self.turns.unnamed).remove(&self.order).is_some() {
            self.turns.changed.notify_waiters();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.is_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test(start_paused = true)]
    async fn names_are_taken_in_order_but_for_one_that_takes_too_long() {
        let turns = Turns::default();
        let [slow, first, second, third] = [0, 1, 2, 3].map(|order| turns.take(order));
        let log = RefCell::new(Vec::new());
        let go = |turn, name: &'static str, after: u64| {
            let log = &log;
            async move {
                let turn: Turn<'_> = turn;
                tokio::time::sleep(Duration::from_secs(after)).await;
                turn.comes().await;
                log.borrow_mut().push(name);
                turn.is_over();
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
        let turns = Turns::default();
        let (first, second) = (turns.take(0), turns.take(1));
        drop(first);
        let waited = tokio::time::Instant::now();
        second.comes().await;
        assert_eq!(waited.elapsed(), Duration::ZERO);
    }
}
