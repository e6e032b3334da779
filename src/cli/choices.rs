//! Options whose values are a few words. The doc comments are the help text.
#![allow(clippy::doc_markdown, reason = "the help text is plain text")]

use crate::fetch::target::IfExists;
use crate::ui::{Color, ProgressKind};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// One line for each file that is wrong; with --json, a record for each file
    #[default]
    Auto,
    /// A list for `sha256sum -c`, from a manifest of JSON lines; --json does not change that, and standard
    /// error tells what is wrong. A manifest of sha256sum is checked as with auto
    Sha256sum,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ExistsArg {
    /// The document fails
    #[default]
    Fail,
    /// docfetch keeps the existing file, and skips the document
    Skip,
    /// The document replaces the existing file once it is complete
    Overwrite,
    /// The document becomes `name (2).ext`
    Rename,
}

impl From<ExistsArg> for IfExists {
    fn from(arg: ExistsArg) -> Self {
        match arg {
            ExistsArg::Fail => Self::Fail,
            ExistsArg::Skip => Self::Skip,
            ExistsArg::Overwrite => Self::Overwrite,
            ExistsArg::Rename => Self::Rename,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ProgressArg {
    /// Bars on a terminal, else plain
    #[default]
    Auto,
    /// Bars
    Bar,
    /// Lines of text
    Plain,
    /// JSON lines
    Json,
    /// No progress
    None,
}

impl From<ProgressArg> for ProgressKind {
    fn from(arg: ProgressArg) -> Self {
        match arg {
            ProgressArg::Auto => Self::Auto,
            ProgressArg::Bar => Self::Bar,
            ProgressArg::Plain => Self::Plain,
            ProgressArg::Json => Self::Json,
            ProgressArg::None => Self::None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ColorArg {
    /// On a terminal; docfetch obeys NO_COLOR and CLICOLOR_FORCE
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<ColorArg> for Color {
    fn from(arg: ColorArg) -> Self {
        match arg {
            ColorArg::Auto => Self::Auto,
            ColorArg::Always => Self::Always,
            ColorArg::Never => Self::Never,
        }
    }
}
