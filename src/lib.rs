//! docfetch fetches documents from services that hand them out behind short-lived presigned URLs: portfolio
//! documents from Standard Metrics, reports and sequencing data from One Codex.
//!
//! A [`Resolver`] **resolves** a [`DocumentId`] to a presigned URL of one [`Provider`], and a [`Fetcher`]
//! **transfers** the bytes to a file. Three promises hold:
//!
//! - *Once*: a paid retrieval is requested once, whichever process with the same state folder requests
//!   it.
//! - *Whole*: a file under its final name is complete, verified and on disk. A transfer that breaks resumes.
//! - *Quiet about secrets*: no error, log line or JSON output shows a credential or a presigned URL; the state
//!   folder holds tokens and paid URLs, readable by the user only.
//!
//! This program fetches a document. It uses the [`sandbox`], a local stand-in for both services:
//!
//! ```
//! use docfetch::sandbox::{Document, Sandbox};
//! use docfetch::{Credentials, FetchOptions, Fetcher, Provider, Resolver, Secret, Unwatched};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let sandbox = Sandbox::start(vec![Document::new("deck.pdf", "%PDF-1.7").with_id("d1")], vec![]).await?;
//! let (client_id, client_secret) = sandbox.client();
//! let (id, secret) = (Secret::new(client_id), Secret::new(client_secret));
//! let credentials = Credentials::Client { id, secret };
//! let resolver = Resolver::builder(Provider::shipped("sm")?, credentials)
//!     .base(sandbox.base()) // without this line: the service itself
//!     .state_folder(folder.join("state"))
//!     .build()?;
//! let mut options = FetchOptions::default();
//! options.target.folder = folder.join("documents");
//! let fetcher = Fetcher::new(resolver, options);
//! let id = Provider::shipped("sm")?.document_id("d1")?;
//! let outcome = fetcher.fetch(id, &Unwatched).await?;
//! assert_eq!(outcome.path, Some(folder.join("documents/deck.pdf")));
//! # Ok(())
//! # }
//! ```
//!
//! The library reads no environment variable and prints nothing; messages go to the `log` crate. It needs a
//! Tokio runtime with I/O and time. A program that needs no command line depends on docfetch without its
//! default feature `cli`:
//!
//! ```toml
//! docfetch = { path = "docfetch", default-features = false }
//! ```
//!
//! `CONTRIBUTING.md` describes the modules.

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
mod current_document;
mod error;
mod fetch;
mod fingerprint;
mod http;
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
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
mod similar;
mod state;
mod text;
#[cfg(feature = "cli")]
mod ui;

pub use config::settings::{Connection, ProxySettings, ProxyUrl, RateLimit, RootCertificates};
pub use error::{Code, Error, Result};
pub use fetch::events::{Progress, Unwatched, Watcher};
pub use fetch::fetcher::Fetcher;
pub use fetch::options::{Connections, DigestOptions, FetchOptions};
pub use fetch::outcome::{Outcome, Status};
pub use fetch::target::{IfExists, TargetOptions, Template};
pub use http::PresignedUrl;
pub use model::{DocumentId, InvalidDocumentId, Rate};
pub use provider::{Credentials, Provider};
pub use resolve::{Cost, Resolver, ResolverBuilder};
pub use secret::Secret;
