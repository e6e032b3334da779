//! docfetch fetches documents from APIs that hand out short-lived presigned URLs.
//!
//! It **resolves** a document id to a presigned URL through a **provider**, then **transfers** the
//! bytes to a file. Three promises hold it together: *once* (a paid retrieval is requested once),
//! *whole* (a final name means complete and verified), *quiet about secrets*.
//!
//! The rooms, from the roof down; a file imports only from floors below its own or from its own
//! folder (`tests/it/floors.rs` holds them to it):
//!
//! | floor | rooms |
//! | --- | --- |
//! | 6 | `main`, [`cli`] |
//! | 5 | [`commands`], [`ui`] |
//! | 4 | [`fetch`] |
//! | 3 | [`resolve`] |
//! | 2 | [`provider`], [`http`] |
//! | 1 | [`config`], [`state`] |
//! | 0 | [`model`], [`secret`], [`error`], [`awake`] |
//!
//! [`sandbox`] stands beside them and imports floor 0 only.

pub mod awake;
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod fetch;
pub mod http;
pub mod model;
pub mod provider;
pub mod resolve;
pub mod sandbox;
pub mod secret;
pub mod state;
pub mod ui;
