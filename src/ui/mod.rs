//! The only place that writes to a terminal. Standard output holds results, standard error all else.

mod bars;
mod console;
mod diagnostics;
mod lines;
mod printer;
mod report;
mod sanitize;

pub use printer::{Color, Look, Printer, ProgressKind};
pub use report::Table;
