//! One file a subcommand: takes settings, does it, returns a report. No argument parsing, no
//! printing.

pub(crate) mod fetch;
pub(crate) mod ids;
pub(crate) mod ledger;
pub(crate) mod list;
pub(crate) mod sandbox;
pub(crate) mod sync;
pub(crate) mod url;
pub(crate) mod verify;
