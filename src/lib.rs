//! docfetch fetches documents from APIs that hand out short-lived presigned URLs.
//!
//! It **resolves** a document id to a presigned URL through a **provider**, then **transfers** the
//! bytes to a file. Three promises hold it together: *once* (a paid retrieval is requested once),
//! *whole* (a final name means complete and verified), *quiet about secrets*.
//!
//! The modules, from the top layer down; a file imports only from layers below its own or from its own
//! folder (`tests/it/layers.rs` checks that):
//!
//! | layer | modules |
//! | --- | --- |
//! | 8 | `main`, `cli` |
//! | 7 | `commands`, `ui` |
//! | 6 | `mirror` |
//! | 5 | `manifest` |
//! | 4 | `fetch` |
//! | 3 | `resolve` |
//! | 2 | `provider`, `http` |
//! | 1 | `config`, `state`, `interrupt` |
//! | 0 | `model`, `text`, `fingerprint`, `mutex`, `secret`, `error`, `active_time` |
//!
//! [`sandbox`] stands beside them and imports layer 0 only.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        reason = "the binary uses more of these modules than the library offers"
    )
)]

mod active_time;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cli")]
mod commands;
mod config;
mod error;
mod fetch;
mod fingerprint;
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod interrupt;
#[cfg(feature = "cli")]
mod manifest;
#[cfg(feature = "cli")]
mod mirror;
mod model;
mod mutex;
mod provider;
mod resolve;
pub mod sandbox;
mod secret;
mod state;
mod text;
#[cfg(feature = "cli")]
mod ui;

pub use config::settings::{Connection, ProxySettings, RateLimit, RootCertificates};
pub use error::{Code, Error, Result};
pub use fetch::events::{Progress, Unwatched, Watcher};
pub use fetch::fetcher::Fetcher;
pub use fetch::options::{Connections, DigestOptions, FetchOptions};
pub use fetch::outcome::{Outcome, Status};
pub use fetch::target::{IfExists, TargetOptions, Template};
pub use http::PresignedUrl;
pub use model::{DocumentId, InvalidDocumentId, Rate};
pub use provider::{Credentials, Provider, Resource};
pub use resolve::{Cost, Resolver, ResolverBuilder};
pub use secret::Secret;
