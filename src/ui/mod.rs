//! The only place that writes to a terminal. Standard output has the results, standard error everything else.

mod bars;
mod batch_progress;
mod console;
mod diagnostics;
mod error_terminal;
mod ledger_table;
mod lines;
mod listing_table;
mod partials_list;
mod plan_notes;
mod presigned_url_row;
mod printer;
mod providers_table;
mod settings_table;
mod summaries;
mod terminal;
mod text_width;

pub(crate) use listing_table::ListingTable;
pub(crate) use partials_list::PartialsList;
pub(crate) use printer::{Color, OutputOptions, Printer, ProgressKind};
pub(crate) use providers_table::{print_providers, print_table};
pub(crate) use settings_table::{
    ConfigFileRow, ConfigFileState, SettingRow, SettingSource, print_settings,
};
