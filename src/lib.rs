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
//! | 8 | `main`, [`cli`] |
//! | 7 | [`commands`], [`ui`] |
//! | 6 | [`mirror`] |
//! | 5 | [`manifest`] |
//! | 4 | [`fetch`] |
//! | 3 | [`resolve`] |
//! | 2 | [`provider`], [`http`] |
//! | 1 | [`config`], [`state`], [`interrupt`] |
//! | 0 | [`model`], [`secret`], [`error`], [`active_time`] |
//!
//! [`sandbox`] stands beside them and imports layer 0 only.

pub mod active_time;
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod fetch;
pub mod http;
pub mod interrupt;
pub mod manifest;
pub mod mirror;
pub mod model;
pub mod provider;
pub mod resolve;
pub mod sandbox;
pub mod secret;
pub mod state;
pub mod ui;
