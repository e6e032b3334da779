//! Runs the connections of one document.

use crate::active_time;
use crate::error::Result;
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::body::Body;
use crate::fetch::transfer::digests::Digests;
use crate::fetch::transfer::response;
use crate::fetch::transfer::segments::connection::{ConnectionEvent, NextAction};
use crate::fetch::transfer::segments::state::SegmentsState;
use crate::fetch::transfer::segments::{Segments, SegmentsEnd};
use crate::http::backoff::RetryContext;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::ops::ControlFlow;
use std::pin::Pin;

type ConnectionFuture<'a> = Pin<Box<dyn Future<Output = ConnectionEvent> + 'a>>;

impl Segments<'_> {
    /// Fetches the missing bytes into the partial. The first connection reads them from `first`, further
    /// connections request segments. `retry` says how often a segment that broke is requested again.
    ///
    /// # Errors
    /// The error of the last connection, when the retries are used up: [`Code::Network`], [`Code::Stalled`],
    /// [`Code::StorageError`], [`Code::StorageDenied`], and others of [`response::open`]. The errors of
    /// [`Partial::write_at`].
    ///
    /// [`Code::Network`]: crate::Code::Network
    /// [`Code::Stalled`]: crate::Code::Stalled
    /// [`Code::StorageError`]: crate::Code::StorageError
    /// [`Code::StorageDenied`]: crate::Code::StorageDenied
    pub(crate) async fn copy(
        &self,
        first: Body,
        retry: &RetryContext,
        partial: &mut Partial,
        digests: &mut Digests,
        watcher: &mut dyn Watcher,
    ) -> Result<SegmentsEnd> {
        let entity = &first.entity.clone();
        let total = entity.total.unwrap_or(first.end);
        let mut state = SegmentsState::new(self, entity, total, retry, partial, digests, watcher);
        let mut connections: FuturesUnordered<ConnectionFuture<'_>> = FuturesUnordered::new();
        let first = state.first_stream(first);
        connections.push(Box::pin(first.next(self.pace)));
        while let Some(event) = connections.next().await {
            match state.handle(event, connections.len())? {
                ControlFlow::Break(end) => return Ok(end),
                ControlFlow::Continue(Some(stream)) => {
                    connections.push(Box::pin(stream.next(self.pace)));
                }
                ControlFlow::Continue(None) => {}
            }
            while let Some(action) = state.next_action(connections.len()) {
                connections.push(Box::pin(self.act(action, entity, retry)));
            }
            if state.is_finished(connections.len()) {
                break;
            }
        }
        state.end().await
    }

    async fn act(
        &self,
        action: NextAction,
        entity: &Entity,
        retry: &RetryContext,
    ) -> ConnectionEvent {
        match action {
            NextAction::Request(range) => {
                let (mut url, mut retry) = (self.url.clone(), retry.clone());
                let opening = response::open(self.resolver, &mut url, &range, entity, &mut retry);
                let answer = opening.await;
                ConnectionEvent::Answered(range, answer)
            }
            NextAction::Pause(time) => {
                active_time::sleep(time).await;
                ConnectionEvent::PauseEnded
            }
        }
    }
}
