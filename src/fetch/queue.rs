//! Many documents: taken up in the order of asking, so many at a time, and just in time: the next one is
//! asked for only when there is a place for it ([`super::places`]).

use super::interrupt::Interrupt;
use super::outcome::Outcome;
use super::places::{Place, Places};
use crate::error::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use tokio::sync::mpsc;

/// Where the documents of a batch come from.
pub trait Source {
    /// What is asked for.
    type Item;

    /// The next one, none after the last.
    ///
    /// # Errors
    /// What ends the batch: a file that cannot be read, a listing that fails.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>>>;
}

/// A document that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its id, as it was asked for.
    pub id: String,
    /// How it ended.
    pub result: Result<Outcome>,
    /// Its place in the batch, given up with this.
    pub place: Option<Place>,
}

/// The work on one document; nothing where the batch ended before its transfer.
pub type Work<'a> = Pin<Box<dyn Future<Output = Option<Ended>> + 'a>>;

/// Works on as many items of `source` as there are `places`. `start` is called in the order of asking,
/// with the item's number and its place; what it returns is the work. Each document that ended goes to
/// `each`, which may stop the batch: then nothing new is transferred, and what is under way is finished.
///
/// # Errors
/// Those of the source, after everything under way has ended.
pub async fn run<'a, S: Source>(
    source: &mut S,
    places: Places,
    interrupt: &Interrupt,
    start: impl Fn(u64, S::Item, Place) -> Work<'a>,
    mut each: impl FnMut(Ended) -> ControlFlow<()>,
) -> Result<()> {
    let (sender, mut started) = mpsc::channel(1);
    let mut asking = pin!(async {
        for order in 0.. {
            // Asking for the next one takes its place, too.
            let place = places.next().await;
            let Some(item) = interrupt.or(source.next()).await? else {
                break;
            };
            if sender.send(start(order, item, place)).await.is_err() {
                break;
            }
        }
        drop(sender);
        Ok(())
    });
    let mut running = FuturesUnordered::new();
    let mut asked = None;
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            Some(ended) = running.next(), if !running.is_empty() => {
                if let Some(ended) = ended && each(ended).is_break() {
                    places.close();
                    open = false;
                }
            }
            work = started.recv(), if open => match work {
                Some(work) => running.push(work),
                None => open = false,
            },
            result = &mut asking, if open && asked.is_none() => asked = Some(result),
        }
    }
    asked.unwrap_or(Ok(()))
}
