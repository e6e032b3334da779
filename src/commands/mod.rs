//! One file a subcommand: takes settings, does it, returns a report. No argument parsing, no
//! printing.

pub mod fetch;
pub mod ids;
pub mod ledger;
pub mod list;
pub mod sandbox;
pub mod sync;
pub mod url;
pub mod verify;
