//! The only place that writes to a terminal. Standard output holds results, standard error all else.

mod bars;
mod console;
mod diagnostics;
mod lines;
mod printer;
mod report;

pub(crate) use printer::{Color, Look, Printer, ProgressKind};
pub(crate) use report::Table;
