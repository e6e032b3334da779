//! The arguments. Their doc comments are the help text.
#![allow(clippy::doc_markdown, reason = "the help text is plain text")]

use super::values;
use crate::config::network;
use crate::config::settings::{Connection, RateLimit};
use crate::config::variables::OPTION_PREFIX;
use crate::fetch::options::Connections;
use crate::fetch::target::IfExists;
use crate::fetch::target::Template;
use crate::provider::Resource;
use crate::resolve::filter::Filter;
use crate::sandbox::Fault;
use crate::secret::Secret;
use crate::ui::{Color, ProgressKind};
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Heading of the filters.
const FILTERS: &str = "Filters";

/// Fetch documents that an API hides behind short-lived presigned URLs.
///
/// A paid retrieval is requested once, a file under its final name is whole, and no key, token or presigned
/// URL is ever shown.
#[derive(Debug, Parser)]
#[command(
    name = "docfetch",
    version,
    propagate_version = false,
    max_term_width = 100
)]
#[command(after_help = "\
Options of `sm`, `onecodex` and `sync`, but --allow-recharge, can also be set as DOCFETCH_<OPTION>, e.g.
DOCFETCH_RETRIES=8.

Exit codes:
  0  everything fetched, or skipped as asked
  1  failures of different kinds, or something unforeseen
  2  wrong usage or configuration
  3  credentials missing or rejected
  4  the provider or the storage refuses the document
  5  network, provider or storage trouble; running again may help
  6  length, digest, or the document changed
  7  this machine: target exists, permissions, disk full
  8  a paid retrieval is in doubt, would be repeated, or is past --max-charges
  9  refused for safety
  130, 143  interrupted")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch documents from Standard Metrics
    ///
    /// Credentials: STANDARD_METRICS_CLIENT_ID and STANDARD_METRICS_CLIENT_SECRET, or files named by
    /// the same variables with _FILE behind.
    Sm(Fetch),
    /// Fetch documents from One Codex
    ///
    /// Credentials: ONE_CODEX_API_KEY or ONE_CODEX_BEARER_TOKEN, files named by the same variables
    /// with _FILE behind, or ~/.onecodex. A retrieval may be charged: docfetch requests it once, and records it
    /// (see `docfetch ledger`).
    Onecodex(Fetch),
    /// List the documents that can be fetched
    List(List),
    /// Mirror every listed document into a folder: what is new or changed is fetched
    ///
    /// What is there is kept in DIR/.docfetch/manifest.jsonl. It can be stopped at any moment and run
    /// again, and never deletes a document.
    Sync(Sync),
    /// Print the presigned URL of a document, for another tool
    ///
    /// The URL is a credential: whoever has it has the document, until it expires. At One Codex it is
    /// a retrieval, which may be charged: while the URL lives, it is printed again; later it is a new one.
    Url(UrlOf),
    /// Check files against a manifest, offline
    ///
    /// A manifest is what docfetch prints with --json, a mirror's own DIR/.docfetch/manifest.jsonl, or
    /// what sha256sum prints. Its relative paths start at the current folder, those of a mirror's own at
    /// DIR. Prints what is wrong, a line a file, and exits with 6 then. A file of which the manifest has
    /// no SHA-256 is checked by its length.
    Verify(Verify),
    /// See, or give up, what is recorded of paid retrievals
    #[command(subcommand)]
    Ledger(Ledger),
    /// Run a strict local stand-in for both providers
    ///
    /// Prints the variables that point docfetch at it, for `eval` in another shell; or runs COMMAND
    /// with them set and exits with its status.
    Sandbox(Sandbox),
}

#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// Document ids; `-` reads ids from standard input, one a line, or the JSON lines of a listing
    #[arg(value_name = "ID", required_unless_present = "from_file")]
    pub ids: Vec<String>,

    /// Read ids from FILE, in the same form as from standard input
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub from_file: Option<PathBuf>,

    /// Write to FILE; `-` is standard output. One id only; a relative FILE lies under --output-dir
    #[arg(short, long, value_name = "FILE", help_heading = "Files")]
    pub output: Option<PathBuf>,

    /// Write into DIR, made when missing
    #[arg(
        short = 'd',
        long,
        value_name = "DIR",
        default_value = ".",
        help_heading = "Files"
    )]
    pub output_dir: PathBuf,

    /// Name files after TEMPLATE: text and {id} {name} {stem} {ext} {provider}
    #[arg(long, value_name = "TEMPLATE", default_value = "{name}", value_parser = values::template, help_heading = "Files")]
    pub name: Template,

    /// What an existing target means
    #[arg(
        long,
        value_name = "ACTION",
        value_enum,
        default_value_t,
        help_heading = "Files"
    )]
    pub if_exists: ExistsArg,

    /// Fail unless the document has this SHA-256; one id only
    #[arg(long, value_name = "HEX", value_parser = values::sha256, help_heading = "Files")]
    pub sha256: Option<[u8; 32]>,

    #[command(flatten)]
    pub batch: BatchArgs,
}

/// What a fetch by ids and a mirror have in common.
#[derive(Debug, Args)]
pub(super) struct BatchArgs {
    #[command(flatten)]
    pub resource: ResourceArgs,

    /// Resolve nothing that costs; print what would be written
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub dry_run: bool,

    /// Discard a partial that an earlier run left
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub no_resume: bool,

    /// Append a JSON line for each document to FILE (see `docfetch verify`)
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub manifest: Option<PathBuf>,

    /// Transfer N documents at the same time
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = values::jobs(), help_heading = "Batches")]
    pub jobs: u16,

    /// Range requests at the same time for one document, 1 to 32; auto: as many as help
    #[arg(short, long, value_name = "N|auto", default_value = "auto", value_parser = values::connections, help_heading = "Connection")]
    pub connections: Connections,

    /// Transfer no further document after the first failure
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Batches")]
    pub fail_fast: bool,

    /// At most so many bytes a second, over all transfers: 512K, 2M
    #[arg(long, value_name = "BYTES", value_parser = values::rate, help_heading = "Connection")]
    pub limit_rate: Option<u64>,

    #[command(flatten)]
    pub charges: ChargeArgs,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// How progress is shown, on standard error
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub progress: ProgressArg,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ConnectionArgs {
    /// Further attempts in a row without progress; 0 is a single attempt
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        help_heading = "Connection"
    )]
    pub retries: u32,

    /// Give up when there was no progress for this long
    #[arg(long, value_name = "DUR", default_value = "5m", value_parser = values::duration, help_heading = "Connection")]
    pub retry_max_time: Duration,

    /// Longest time to connect
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = values::time_limit, help_heading = "Connection")]
    pub connect_timeout: Duration,

    /// End an attempt that moved less than 1 KiB/s for this long
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = values::time_limit, help_heading = "Connection")]
    pub stall_timeout: Duration,

    /// Stay inside these rates instead of the provider's, e.g. 120/1m,30/10s; or none
    #[arg(long, value_name = "RATES", value_parser = values::rate_limit, help_heading = "Connection")]
    pub rate_limit: Option<RateLimit>,

    /// Trust the certificates in this PEM file, on top of the system's
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca_cert: Option<PathBuf>,

    /// Use this proxy instead of the environment's; loopback never goes through one
    #[arg(long, value_name = "URL", value_parser = values::secret, help_heading = "Connection")]
    pub proxy: Option<Secret>,

    /// Allow private and loopback addresses, and plain http to them
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Connection")]
    pub allow_private: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResourceArgs {
    /// What to look for, where a service has several kinds of things (One Codex)
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        default_value_t,
        help_heading = "Connection"
    )]
    pub resource: ResourceArg,
}

/// Which documents: of one listing, so none of them has a variable.
#[derive(Debug, Args)]
#[command(next_help_heading = FILTERS)]
pub struct FilterArgs {
    /// With TEXT in the name, in upper or lower case
    #[arg(long = "match", id = "match", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,

    /// Not changed before DATE: YYYY-MM-DD (UTC), or RFC 3339
    #[arg(long, value_name = "DATE", value_parser = values::since)]
    pub since: Option<Timestamp>,

    /// Not changed after DATE; a day counts to its end
    #[arg(long, value_name = "DATE", value_parser = values::until)]
    pub until: Option<Timestamp>,

    /// Of the company with this ID (Standard Metrics)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub company: Option<String>,

    /// That came in this way (Standard Metrics)
    #[arg(long, value_name = "SOURCE", value_enum)]
    pub source: Option<SourceArg>,

    /// Whose parsing is this far (Standard Metrics)
    #[arg(long, value_name = "STATE", value_enum)]
    pub parse_state: Option<ParseStateArg>,

    /// With more bytes than SIZE: 1000, 512K, 2M, 1G (One Codex)
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub larger_than: Option<u64>,

    /// At most N of those
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        Self {
            name: args.name,
            since: args.since,
            until: args.until,
            company: args.company,
            source: args.source.as_ref().map(name_of),
            parse_state: args.parse_state.as_ref().map(name_of),
            larger_than: args.larger_than,
        }
    }
}

/// A value as it is written on the command line.
fn name_of(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |value| value.get_name().to_owned())
}

#[derive(Debug, Args)]
pub(super) struct ChargeArgs {
    /// Permit a second paid retrieval where the first is in doubt, or its URL expired or was refused. A
    /// living URL is still used
    #[arg(long, help_heading = "Charges")]
    pub allow_recharge: bool,

    /// Send at most N paid requests, not counting those that the provider refuses; 0 sends none
    #[arg(long, value_name = "N", help_heading = "Charges")]
    pub max_charges: Option<u64>,
}

impl From<ConnectionArgs> for Connection {
    fn from(args: ConnectionArgs) -> Self {
        Self {
            ca_cert: args.ca_cert,
            roots: network::root_certificates(),
            proxies: network::proxies(args.proxy),
            connect_timeout: args.connect_timeout,
            stall_timeout: args.stall_timeout,
            retries: args.retries,
            retry_max_time: args.retry_max_time,
            rate_limit: args.rate_limit,
            allow_private: args.allow_private,
            ..Self::default()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Print JSON lines on standard output
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub speech: SpeechArgs,
}

#[derive(Debug, Default, Args)]
pub(super) struct SpeechArgs {
    /// Say errors, and what may cost, only
    #[arg(short, long, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub quiet: bool,

    /// Say requests, attempts and decisions, without secrets
    #[arg(short, long, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub verbose: bool,

    /// When to use colours
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub color: ColorArg,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The provider
    #[arg(value_enum)]
    pub provider: ProviderArg,

    /// Print ids only, one a line, whatever --json says
    #[arg(long)]
    pub ids: bool,

    #[command(flatten)]
    pub filters: FilterArgs,

    #[command(flatten)]
    pub resource: ResourceArgs,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct Sync {
    /// The provider
    #[arg(value_enum)]
    pub provider: ProviderArg,

    /// The folder, made when missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Name files after TEMPLATE, which may have folders: {id} {name} {stem} {ext} {provider}, {modified}
    /// {size}, and the provider's own fields as in {company_id}/{uploaded_at}-{name}
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "{name}",
        help_heading = "Files"
    )]
    pub name: String,

    /// Check the digests of what is there, not only its lengths
    #[arg(long, help_heading = "Files")]
    pub verify: bool,

    #[command(flatten)]
    pub filters: FilterArgs,

    #[command(flatten)]
    pub batch: BatchArgs,
}

#[derive(Debug, Args)]
pub(super) struct UrlOf {
    /// The provider
    #[arg(value_enum)]
    pub provider: ProviderArg,

    /// The document
    pub id: String,

    #[command(flatten)]
    pub resource: ResourceArgs,

    #[command(flatten)]
    pub charges: ChargeArgs,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    #[command(flatten)]
    pub speech: SpeechArgs,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The manifest; `-` is standard input
    pub manifest: PathBuf,

    /// What standard output gets
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub format: FormatArg,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// List what is recorded: documents, when and how each retrieval ended, how long its URL lives
    List(OutputArgs),
    /// Give up what is recorded of a document: the next run asks for it as for the first time
    ///
    /// When several records match, nothing is given up: they are listed with the command for each.
    Forget(Forget),
}

#[derive(Debug, Args)]
#[command(override_usage = "docfetch ledger forget [OPTIONS] [PROVIDER] <ID>")]
pub(super) struct Forget {
    /// The document: its id, or a URI such as /api/v1/samples/ID; or the provider, with the id behind it
    #[arg(value_name = "[PROVIDER] ID")]
    pub first: String,

    /// The document, behind the provider
    #[arg(hide = true)]
    pub second: Option<String>,

    /// Of this kind
    #[arg(id = "kind", long = "resource", value_name = "KIND", value_enum)]
    pub resource: Option<ResourceArg>,

    /// Of this API base
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,

    #[command(flatten)]
    pub speech: SpeechArgs,
}

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// Serve the files in DIR; else a few documents of its own
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Let something go wrong; repeatable: truncate=BYTES, reset-every=BYTES, stall-after=BYTES,
    /// expire-after=DUR, ignore-range, wrong-range, change-etag, status=CODE[xN],
    /// drop-post-response, latency=DUR, throttle=BYTES, html-page
    #[arg(long, value_name = "KIND[=VALUE]")]
    pub fault: Vec<Fault>,

    /// A command to run against it
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ProviderArg {
    /// Standard Metrics
    Sm,
    /// One Codex
    Onecodex,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// What is wrong, a line a file; with --json a record of every file
    #[default]
    Auto,
    /// JSON lines become a list for `sha256sum -c`, whatever --json says; what is wrong goes to
    /// standard error. A manifest that is such a list is checked as with auto
    Sha256sum,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ResourceArg {
    /// Documents
    #[default]
    Documents,
    /// Samples
    Samples,
    /// Assets
    Assets,
}

impl From<ResourceArg> for Resource {
    fn from(arg: ResourceArg) -> Self {
        match arg {
            ResourceArg::Documents => Self::Documents,
            ResourceArg::Samples => Self::Samples,
            ResourceArg::Assets => Self::Assets,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SourceArg {
    InformationRequest,
    Implementation,
    Upload,
    Email,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ParseStateArg {
    NotStarted,
    InProgress,
    Completed,
    NeedsInput,
    NotParseable,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ExistsArg {
    /// A failure
    #[default]
    Fail,
    /// The document counts as fetched
    Skip,
    /// It is replaced once the new one is whole
    Overwrite,
    /// The new one becomes `name (2).ext`
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
pub(crate) enum ProgressArg {
    /// Bars on a terminal, else plain
    #[default]
    Auto,
    /// Bars
    Bar,
    /// Lines
    Plain,
    /// JSON lines
    Json,
    /// Not at all
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
pub(crate) enum ColorArg {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed
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

/// The whole command line. An option takes its `DOCFETCH_` variable where that is set and not empty.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|subcommand| {
        if subcommand.get_name() == "sandbox" {
            return subcommand;
        }
        with_variables(subcommand).mut_subcommands(with_variables)
    })
}

fn with_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match arg.get_long().map(variable) {
        Some(name) if is_fetch_option(&arg) && is_set(&name) => arg.env(name).hide_env_values(true),
        _ => arg,
    })
}

impl Cli {
    /// Parses the command line.
    ///
    /// # Errors
    /// Help and version as well as wrong usage: clap prints them.
    pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let mut innermost = &matches;
        while let Some((_, matches)) = innermost.subcommand() {
            innermost = matches;
        }
        if let Some(speech) = cli.command.speech() {
            let matches = innermost;
            let flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
            // A flag wins over the other one's variable; else quiet wins.
            speech.quiet &= !speech.verbose || flag("quiet") || !flag("verbose");
            speech.verbose &= !speech.quiet;
        }
        Ok(cli)
    }
}

impl Command {
    fn speech(&mut self) -> Option<&mut SpeechArgs> {
        match self {
            Self::Sm(arguments) | Self::Onecodex(arguments) => {
                Some(&mut arguments.batch.output_args.speech)
            }
            Self::Sync(arguments) => Some(&mut arguments.batch.output_args.speech),
            Self::List(arguments) => Some(&mut arguments.output_args.speech),
            Self::Url(arguments) => Some(&mut arguments.speech),
            Self::Verify(arguments) => Some(&mut arguments.output_args.speech),
            Self::Ledger(Ledger::List(arguments)) => Some(&mut arguments.speech),
            Self::Ledger(Ledger::Forget(arguments)) => Some(&mut arguments.speech),
            Self::Sandbox(_) => None,
        }
    }
}

/// `--ids`, `--verify`, `--format` and the filters belong to a single call, not to the environment; what may cost is said
/// each time.
fn is_fetch_option(arg: &clap::Arg) -> bool {
    arg.get_help_heading() != Some(FILTERS)
        && !matches!(
            arg.get_id().as_str(),
            "ids" | "verify" | "format" | "base" | "kind" | "help" | "allow_recharge"
        )
}

fn variable(long: &str) -> String {
    format!("{OPTION_PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
