//! A stand-in for the service that a table describes.
//!
//! Everything follows from the table: each request that docfetch may send is known when the service starts, because the
//! documents, the parts of their ids and the values that steps capture are known. A request that is none of them gets an
//! error. The answers are the smallest ones in which the table's pointers find their values.

mod access;
mod answers;
mod checksums;
mod pages;
mod received;
mod rows;
mod served;
mod service;
mod steps;
mod targets;
mod things;
mod tokens;

pub(crate) use served::{ServedTable, UnservableTable};
pub(super) use service::TableService;
