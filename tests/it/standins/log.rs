//! The requests that a stand-in got.

use super::Answer;
use crate::support::raw::Request;
use std::sync::{Arc, Mutex};

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Api,
    Storage,
}

/// A request, and the status of its answer.
#[derive(Clone, Debug)]
pub struct Seen {
    pub side: Side,
    pub request: Request,
    pub status: u16,
}

/// Every request so far, in the order of the answers.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    pub(super) fn push(&self, side: Side, request: &Request, answer: &Answer) {
        self.0.lock().unwrap().push(Seen {
            side,
            request: request.clone(),
            status: answer.status,
        });
    }

    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// The requests to one of the servers.
    pub fn of(&self, side: Side) -> Vec<Seen> {
        let all = self.all().into_iter();
        all.filter(|seen| seen.side == side).collect()
    }

    /// How many requests came to the API with this method for paths that contain `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let is_meant =
            |seen: &&Seen| seen.request.method == method && seen.request.path().contains(part);
        self.of(Side::Api).iter().filter(is_meant).count()
    }

    /// The statuses of one of the servers.
    pub fn statuses(&self, side: Side) -> Vec<u16> {
        self.of(side).iter().map(|seen| seen.status).collect()
    }
}
