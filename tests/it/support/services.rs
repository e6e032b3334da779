//! The sandbox in a runtime of its own, and worlds that know it.

use super::World;
use docfetch::sandbox::{Document, Fault, Report, Sandbox};
use std::sync::mpsc;

/// A sandbox that serves as long as it is held.
pub struct Service {
    sandbox: Sandbox,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    /// Serves these documents with these faults.
    pub fn start(documents: Vec<Document>, faults: &[&str]) -> Self {
        let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (sender, receiver) = mpsc::channel();
        runtime.spawn(async move {
            sender
                .send(Sandbox::start(documents, faults).await.unwrap())
                .unwrap();
        });
        let sandbox = receiver.recv().unwrap();
        Self {
            sandbox,
            _runtime: runtime,
        }
    }

    /// Serves one document of `length` bytes called `name`, under the id `doc1`.
    pub fn with(name: &str, length: usize, faults: &[&str]) -> (Self, Vec<u8>) {
        let content = super::noise(length);
        let document = Document::new(name, content.clone()).with_id("doc1");
        (Self::start(vec![document], faults), content)
    }

    /// A world that points at it.
    pub fn world(&self) -> World {
        let base = self.sandbox.base();
        let mut world = World::bare();
        let (id, secret) = self.sandbox.client();
        for (name, value) in [
            ("STANDARD_METRICS_API_BASE", base.as_str()),
            ("STANDARD_METRICS_CLIENT_ID", id),
            ("STANDARD_METRICS_CLIENT_SECRET", secret),
            ("ONE_CODEX_API_BASE", base.as_str()),
            ("ONE_CODEX_API_KEY", self.sandbox.api_key()),
        ] {
            world.set(name, value);
        }
        world.hide(secret);
        world.hide(self.sandbox.api_key());
        world
    }

    /// What happened there.
    pub fn report(&self) -> Report {
        self.sandbox.report()
    }

    /// Paid retrievals so far.
    pub fn charges(&self) -> u32 {
        self.report().charges.values().sum()
    }
}
