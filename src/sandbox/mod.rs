//! A strict local stand-in for both providers and their storage, on loopback.
//!
//! The API and the storage listen on two ports: two origins, as in life. The storage checks
//! signatures (AWS Signature Version 4, query form), expiry and method, and refuses a request that
//! brings a credential, a cookie or a `Referer`; the API checks credentials, keeps the rate limit and
//! counts what would be charged. [`Fault`]s break it on purpose.

mod arrivals;
mod body;
mod faults;
mod filters;
mod listing;
mod routes;
mod server;
mod shelf;
mod signature;
mod state;
mod storage;
mod store;

pub use faults::{Fault, InvalidFault};
pub use server::Sandbox;
pub use state::Report;
pub use store::Document;
