//! A document id becomes a presigned URL.
//!
//! [`Resolver`] is what the layers above use: it belongs to one provider and one account, and sends every
//! request to the provider's API. [`api`] adds the credential to a request, and [`token`] requests access
//! tokens. [`metadata`] and [`steps`] are the requests about one document; [`listing`] is the request
//! for many. A request that the provider may charge goes through [`retrieval`], which sends it once, as
//! the [`ledger`] permits.

mod account;
mod answer;
mod api;
mod api_bytes;
mod base_hint;
mod builder;
mod captures;
mod checksums;
mod credential;
mod facts;
mod fields;
pub(crate) mod filter;
mod free_steps;
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) mod fuzz;
mod last_storage;
pub(crate) mod ledger;
mod listing;
mod lookup;
mod metadata;
mod moved;
mod page;
mod page_errors;
mod pager;
mod paid_errors;
mod paid_requests;
mod paid_silence;
mod paid_steps;
mod place;
mod ready_wait;
mod refresh_token;
mod request;
mod resolver;
mod retrieval;
mod row;
mod row_names;
mod row_plan;
mod row_time;
mod scope;
mod side_list;
mod step_json;
mod steps;
mod table_request;
mod times;
mod token;
mod token_answer;
mod token_client;
mod token_request;

pub(crate) use account::account_fingerprint;
pub(crate) use api_bytes::ApiAnswer;
pub use builder::ResolverBuilder;
pub(crate) use ledger::ActiveDocument;
pub(crate) use listing::{ListOptions, Page, Pages};
pub(crate) use metadata::{Metadata, MetadataFailure};
pub(crate) use paid_requests::PaidRequests;
pub(crate) use request::ResolveRequest;
pub use resolver::Resolver;
pub use retrieval::Cost;
pub(crate) use row::{BadRow, Row};
pub(crate) use scope::Scope;
