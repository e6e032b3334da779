//! The commands and their own arguments. The doc comments are the help text.
#![allow(clippy::doc_markdown, reason = "the help text is plain text")]

use super::choices::{ExistsArg, FormatArg};
use super::dates;
use super::options::{
    BatchArgs, ChargeArgs, ConnectionArgs, FilterArgs, OutputArgs, ResourceArgs, VerbosityArgs,
};
use super::values::{self, IdArg};
use crate::fetch::target::Template;
use crate::sandbox::Fault;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Fetch documents from services that hand out short-lived presigned URLs
///
/// To fetch a document, docfetch pays once, also when the transfer breaks. A file under its final name is complete.
/// docfetch shows no key, token or presigned URL, except for the URL that `docfetch url` prints.
#[derive(Debug, Parser)]
#[command(
    name = "docfetch",
    version,
    propagate_version = false,
    max_term_width = 100,
    after_help = "\
Examples:
  docfetch list sm                   list the documents of Standard Metrics, with their ids
  docfetch onecodex ID -o reads.bam  fetch a document of One Codex to a file
  docfetch sync sm reports           keep a copy of every document in the folder reports

Most options are also variables: DOCFETCH_RETRIES=8 stands for --retries 8. --allow-recharge, the filters \
of list and sync, and the options of sandbox have no variable. Most options are also keys of the configuration file \
(see docfetch config): retries = 8.

Exit codes:
  0  docfetch fetched every document, or skipped it because its file exists
  1  failures of different kinds, or an unexpected failure
  2  wrong usage or configuration
  3  credentials are missing or rejected
  4  the provider or the storage refuses the document
  5  trouble with the network, the provider or the storage; running again may help
  6  the length or the digest is wrong, or the document changed
  7  this machine: the target exists, no permission, or the disk is full
  8  a paid retrieval is in doubt, would be repeated, or exceeds --max-charges
  9  refused for safety
  129, 130, 143  interrupted"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch documents from the provider that the name of the command names.
    #[command(skip)]
    Fetch(FetchFrom),
    /// List the documents that can be fetched
    ///
    /// On a terminal, docfetch prints a table. In a pipe, docfetch prints one line for each document, with
    /// tabs between the fields: id, name, size in bytes, and time of the last change.
    #[command(after_help = "\
Examples:
  docfetch list sm --match report --since 2026-07-01
  docfetch list onecodex --resource samples --json")]
    List(List),
    /// Mirror every listed document into a folder
    ///
    /// docfetch fetches the documents that are new or changed, and records every document in
    /// DIR/.docfetch/manifest.jsonl. You can stop docfetch at any moment and run it again. docfetch never
    /// deletes a document. Without filters and --limit, docfetch also tells which documents of the mirror the provider no
    /// longer lists.
    #[command(after_help = "\
Examples:
  docfetch sync sm reports
  docfetch sync sm reports --name '{company_id}/{name}' --since 2026-07-01")]
    Sync(Sync),
    /// Print the presigned URL of a document, for another tool
    ///
    /// The URL is a credential: everyone who has the URL can read the document until the URL expires. One Codex
    /// may charge for the URL. docfetch prints a recorded URL again while the URL is valid, and requests a new
    /// retrieval afterwards.
    ///
    /// Some storages require headers with the URL. Only --json prints these headers, which are credentials, too.
    #[command(after_help = "\
Examples:
  curl -o report.pdf \"$(docfetch url sm ID)\"
  docfetch url onecodex ID --resource samples
  docfetch url sm ID --json")]
    Url(UrlOf),
    /// Check files against a manifest, offline
    ///
    /// A manifest is the output of --json, the file DIR/.docfetch/manifest.jsonl of a mirror, or the output of
    /// sha256sum. Relative paths start at the current folder; those of a mirror's own manifest start at DIR.
    ///
    /// docfetch prints one line for each file that is wrong or missing, and then exits with 6. A file without a
    /// SHA-256 in the manifest is checked by its length.
    #[command(after_help = "\
Examples:
  docfetch verify reports/.docfetch/manifest.jsonl
  docfetch verify manifest.jsonl --format sha256sum > SHA256SUMS")]
    Verify(Verify),
    /// Show or forget the record of paid retrievals
    #[command(
        subcommand,
        after_help = "\
Examples:
  docfetch ledger list
  docfetch ledger forget onecodex ID"
    )]
    Ledger(LedgerCommand),
    /// List or remove the partials of unfinished documents
    ///
    /// docfetch searches DIR and the folders below, and follows no link to a folder. A partial holds the bytes of a
    /// document that docfetch has not fetched to its end; the same fetch command resumes there. In a pipe, docfetch
    /// prints fields with tabs between them: name, bytes held, bytes in all, last change and path.
    #[command(after_help = "\
Examples:
  docfetch partials reports
  docfetch partials reports --remove-older 30d")]
    Partials(Partials),
    /// Show the configuration file, and every setting in force
    ///
    /// A setting comes from an option on the command line, else from a variable, else from the provider's section of the
    /// configuration file, else from the rest of the file, else from docfetch. On a terminal, docfetch prints a table. In a
    /// pipe, docfetch prints one line for each setting, with tabs between the fields: name, provider, value and source.
    #[command(after_help = "\
Examples:
  docfetch config
  docfetch config --json")]
    Config(OutputArgs),
    /// List the providers, or print the table of one of them
    ///
    /// docfetch ships tables, and reads those of the configuration file. On a terminal, docfetch prints a table. In a
    /// pipe, docfetch prints one line for each provider, with tabs between the fields: name, title, whether the service
    /// may charge, credentials and source.
    #[command(after_help = "\
Examples:
  docfetch providers
  docfetch providers show onecodex")]
    Providers(Providers),
    /// Run strict local stand-ins for the providers
    ///
    /// With COMMAND, docfetch sets the variables that lead to the stand-ins, runs COMMAND and exits with its
    /// status. Without COMMAND, docfetch prints these variables as shell commands, and serves until
    /// you interrupt docfetch.
    #[command(after_help = "\
Examples:
  docfetch sandbox -- sh -c 'docfetch sync sm demo'
  docfetch sandbox --dir files --fault reset-every=100K -- ./my-script
  docfetch sandbox --provider acme -- docfetch sync acme demo

To use a sandbox in this shell, run it in the background, and read its variables from a file:
  docfetch sandbox >sandbox.env &
  . ./sandbox.env")]
    Sandbox(SandboxArgs),
}

/// What to fetch, and from where.
#[derive(Debug)]
pub(super) struct FetchFrom {
    /// The name of the provider.
    pub provider: String,
    /// The arguments of the command.
    pub arguments: Fetch,
}

#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// Ids of documents; `-` reads ids from standard input
    ///
    /// Standard input has one id on each line, or the lines of a listing: those that `docfetch list` prints in a
    /// pipe, or its JSON lines. docfetch skips blank lines and lines that begin with #. Write `--` before an id that
    /// begins with a dash.
    #[arg(value_name = "ID", required_unless_present = "from_file", value_parser = values::id)]
    pub ids: Vec<IdArg>,

    /// Read ids from FILE, in the same form as from standard input
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub from_file: Option<PathBuf>,

    /// Write the document to FILE, or to standard output for `-`; for one id only. A relative FILE lies under
    /// --output-dir
    #[arg(short, long, value_name = "FILE", help_heading = "Files")]
    pub output: Option<PathBuf>,

    /// Write files into DIR; docfetch creates a missing folder
    #[arg(
        short = 'd',
        long,
        value_name = "DIR",
        default_value = ".",
        help_heading = "Files"
    )]
    pub output_dir: PathBuf,

    /// Name files after TEMPLATE: text and the fields {id} {name} {stem} {ext} {provider}
    #[arg(long, value_name = "TEMPLATE", default_value = "{name}", value_parser = values::template, help_heading = "Files")]
    pub name: Template,

    /// Whether the template comes from the command line, and not from a variable or the default.
    #[arg(skip)]
    pub is_name_flag: bool,

    /// What to do when the target exists
    #[arg(
        long,
        value_name = "ACTION",
        value_enum,
        default_value_t,
        help_heading = "Files"
    )]
    pub if_exists: ExistsArg,

    /// Fail unless the document has this SHA-256, written as 64 hexadecimal digits; for one id only
    #[arg(long, value_name = "HEX", value_parser = values::sha256, help_heading = "Files")]
    pub sha256: Option<[u8; 32]>,

    #[command(flatten)]
    pub batch: BatchArgs,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The provider
    #[arg(value_parser = values::provider_name())]
    pub provider: String,

    /// Print only ids, one on each line; --json does not change that
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
    #[arg(value_parser = values::provider_name())]
    pub provider: String,

    /// The folder of the mirror; docfetch creates a missing folder
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Name files after TEMPLATE: text, / for folders, the fields {id} {name} {stem} {ext} {provider} {modified}
    /// {size}, and the provider's own fields, as in {company_id}/{uploaded_at}-{name}
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "{name}",
        help_heading = "Files"
    )]
    pub name: String,

    /// Check the SHA-256 of existing files, not only their length
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
    #[arg(value_parser = values::provider_name())]
    pub provider: String,

    /// The id of the document
    pub id: String,

    #[command(flatten)]
    pub resource: ResourceArgs,

    #[command(flatten)]
    pub charges: ChargeArgs,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The manifest; `-` reads it from standard input
    pub manifest: PathBuf,

    /// What docfetch prints to standard output
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
pub(super) enum LedgerCommand {
    /// List the records: document, time and result of the retrieval, and how long its URL is valid
    ///
    /// In a pipe, docfetch prints one line for each record, with tabs between the fields: id, state, time of the
    /// request, time at which the URL expires, provider, kind, and base of the API.
    #[command(after_help = "\
Examples:
  docfetch ledger list
  docfetch ledger list --json")]
    List(OutputArgs),
    /// Forget the record of a document; the next run may pay for the document again
    ///
    /// When several records match, docfetch forgets none of them and prints the command for each.
    #[command(after_help = "\
Examples:
  docfetch ledger forget ID
  docfetch ledger forget onecodex ID --resource samples")]
    Forget(Forget),
}

#[derive(Debug, Args)]
#[command(override_usage = "docfetch ledger forget [OPTIONS] [PROVIDER] <ID>")]
pub(super) struct Forget {
    /// The document: its id, or a URI such as /api/v1/samples/ID. The provider can stand before the id
    #[arg(value_name = "[PROVIDER] ID")]
    pub first: String,

    /// The document, behind the provider
    #[arg(hide = true)]
    pub second: Option<String>,

    /// Forget only a record of this kind
    #[arg(id = "kind", long = "resource", value_name = "KIND", value_parser = values::kind)]
    pub resource: Option<String>,

    /// Forget only a record of the API at URL
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,

    #[command(flatten)]
    pub verbosity: VerbosityArgs,
}

#[derive(Debug, Args)]
pub(super) struct Partials {
    /// The folder to search
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Remove each partial that did not change for longer than AGE: 12h, 7d, 4w; docfetch keeps a partial that a
    /// process may still write
    #[arg(long, value_name = "AGE", allow_hyphen_values = true, value_parser = dates::age_of)]
    pub remove_older: Option<Duration>,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct Providers {
    #[command(subcommand)]
    pub command: Option<ProvidersCommand>,

    #[command(flatten)]
    pub output_args: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProvidersCommand {
    /// Print the table of a provider as TOML
    ///
    /// The text can be copied into the configuration file, and changed there. A table of the configuration file is printed
    /// as it stands there.
    #[command(after_help = "\
Examples:
  docfetch providers show onecodex
  docfetch providers show sm >> ~/.config/docfetch/config.toml")]
    Show(ShowProvider),
}

#[derive(Debug, Args)]
pub(super) struct ShowProvider {
    /// The provider
    #[arg(value_name = "PROVIDER")]
    pub name: String,

    #[command(flatten)]
    pub verbosity: VerbosityArgs,
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Serve the table of this provider, shipped or of the configuration file, instead of the stand-ins of Standard
    /// Metrics and One Codex; give the option again for another provider
    ///
    /// Routes, authentication, paging, expiry and charges follow from the table. The last part of an id is the document's;
    /// each other part, and each part of a scope for --in, is its name with -1, such as owner-1/repo-1.
    #[arg(long, value_name = "NAME")]
    pub provider: Vec<String>,

    /// Serve the files in DIR instead of three sample documents
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Make the stand-ins fail in this way; give the option again for another fault
    ///
    /// Faults: truncate=BYTES, reset-every=BYTES, stall-after=BYTES, expire-after=DUR, ignore-range,
    /// wrong-range, change-etag, status=CODE[xN], drop-post-response, latency=DUR, throttle=BYTES, html-page,
    /// not-ready=N
    #[arg(long, value_name = "KIND[=VALUE]")]
    pub fault: Vec<Fault>,

    /// The command to run, with its arguments
    #[arg(last = true)]
    pub command: Vec<OsString>,
}
