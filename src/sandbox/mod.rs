//! A local stand-in for both providers and their storage, for tests and first steps.
//!
//! The API and the storage listen on two ports of 127.0.0.1, so that they are two origins as the real services
//! are. The API checks credentials, keeps the rate limit of Standard Metrics, and counts what One Codex would
//! charge. The storage checks the signature of each URL (AWS Signature Version 4 in the query), its expiry and
//! the method. It refuses a request that carries a credential, a cookie or a `Referer`. A [`Fault`] makes the
//! services fail in one way, and the [`Report`] says what happened.
//!
//! ```
//! use docfetch::sandbox::{Document, Fault, Sandbox};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = Document::new("report.pdf", "%PDF-1.7").with_id("r1");
//! let fault: Fault = "status=503x2".parse()?; // the storage fails twice
//! let sandbox = Sandbox::start(vec![document], vec![fault]).await?;
//! assert!(sandbox.base().starts_with("http://127.0.0.1:"));
//! assert_eq!(sandbox.report().storage_requests, 0);
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod body;
mod companies;
mod document;
mod fault;
mod filters;
mod index;
mod listing;
mod open_requests;
mod operators;
mod page_request;
mod references;
mod report;
mod request_window;
mod running;
mod samples;
mod server;
mod signature;
mod state;
mod storage;
mod table;

pub use document::Document;
pub use fault::{Fault, InvalidFault};
pub use report::Report;
pub(crate) use running::RunningSandbox;
pub use server::Sandbox;
pub(crate) use table::UnservableTable;
