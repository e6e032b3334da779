//! The command line: clap lives here and nowhere else.

mod args;
mod batches;
mod dispatch;
mod values;

pub use dispatch::run;
