//! Groups of options that several commands have. The doc comments are the help text.
#![allow(clippy::doc_markdown, reason = "the help text is plain text")]

use super::choices::{ColorArg, ProgressArg};
use super::dates;
use super::values::{self, FieldValue};
use crate::config::network;
use crate::config::settings::{Connection, RateLimit};
use crate::error::{Code, Error, Result};
use crate::fetch::options::{Connections, FetchOptions};
use crate::resolve::filter::{FieldFilter, Filter, NameGlob, OwnFilter};
use crate::secret::Secret;
use crate::text::printable;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// The options of the commands that fetch.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct BatchArgs {
    #[command(flatten)]
    pub resource: ResourceArgs,

    /// Print what docfetch would write; send no request that may cost money
    #[arg(long, value_parser = values::switch, help_heading = "Files")]
    pub dry_run: bool,

    /// Discard the partial file of an earlier run, and start from the beginning
    #[arg(long, value_parser = values::switch, help_heading = "Files")]
    pub no_resume: bool,

    /// Set the file's modification time to the storage's Last-Modified
    #[arg(long, value_parser = values::switch, help_heading = "Files")]
    pub remote_time: bool,

    /// Append one JSON line for each document to FILE, for `docfetch verify`
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub manifest: Option<PathBuf>,

    /// Transfer N documents at the same time, 1 to 256
    #[arg(short, long, value_name = "N", default_value = FetchOptions::default().jobs.to_string(), allow_negative_numbers = true, value_parser = values::jobs, help_heading = "Batches")]
    pub jobs: u16,

    /// Send N range requests at the same time for one document, 1 to 32; auto: as many as make the transfer faster
    #[arg(short, long, value_name = "N|auto", default_value = values::connections_text(FetchOptions::default().connections), allow_negative_numbers = true, value_parser = values::connections, help_heading = "Connection")]
    pub connections: Connections,

    /// Start no further transfer after the first failure
    #[arg(long, value_parser = values::switch, help_heading = "Batches")]
    pub fail_fast: bool,

    /// Transfer at most BYTES per second, over all documents together: 512K, 2M
    #[arg(long, value_name = "BYTES", value_parser = values::rate, help_heading = "Connection")]
    pub limit_rate: Option<u64>,

    #[command(flatten)]
    pub charges: ChargeArgs,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// How to show progress on standard error
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
pub(super) struct ConnectionArgs {
    /// Make at most N further attempts in a row without progress; 0: a single attempt
    #[arg(long, value_name = "N", default_value_t = Connection::default().retries, allow_negative_numbers = true, value_parser = values::count::<u32>, help_heading = "Connection")]
    pub retries: u32,

    /// Give up after DUR without progress: 500ms, 30s, 5m
    #[arg(long, value_name = "DUR", default_value = values::duration_text(Connection::default().retry_max_time), value_parser = values::duration, help_heading = "Connection")]
    pub retry_max_time: Duration,

    /// Wait up to DUR for a document that the service calls not ready
    #[arg(long, value_name = "DUR", default_value = values::duration_text(Connection::default().wait), value_parser = values::duration, help_heading = "Connection")]
    pub wait: Duration,

    /// Wait at most DUR for a connection, its TLS handshake included
    #[arg(long, value_name = "DUR", default_value = values::duration_text(Connection::default().connect_timeout), value_parser = values::time_limit, help_heading = "Connection")]
    pub connect_timeout: Duration,

    /// End an attempt that moves less than 1 KiB per second for DUR
    #[arg(long, value_name = "DUR", default_value = values::duration_text(Connection::default().stall_timeout), value_parser = values::time_limit, help_heading = "Connection")]
    pub stall_timeout: Duration,

    /// Keep API requests within RATES instead of the provider's limits, as in 120/1m,30/10s; none: no limit
    #[arg(long, value_name = "RATES", value_parser = values::rate_limit, help_heading = "Connection")]
    pub rate_limit: Option<RateLimit>,

    /// Trust the certificates in the PEM file FILE, in addition to the system's
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca_cert: Option<PathBuf>,

    /// Use the proxy at URL instead of the environment's; an empty URL means no proxy. docfetch never uses a proxy for
    /// loopback addresses
    #[arg(long, value_name = "URL", value_parser = values::secret, help_heading = "Connection")]
    pub proxy: Option<Secret>,

    /// Allow private and loopback addresses, and plain http to them
    #[arg(long, value_parser = values::switch, help_heading = "Connection")]
    pub allow_private: bool,
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
            wait: args.wait,
            rate_limit: args.rate_limit,
            allow_private: args.allow_private,
            ..Self::default() // `ChargeArgs` has the others
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ResourceArgs {
    /// The kind of things to list or fetch, where the provider has several kinds
    #[arg(long, value_name = "KIND", value_parser = values::kind, help_heading = "Connection")]
    pub resource: Option<String>,

    /// Whether the kind comes from the command line, and not from a variable or the default.
    #[arg(skip)]
    pub is_flag: bool,
}

/// Which documents of a listing. A filter has no variable.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct FilterArgs {
    /// Only documents with TEXT in the name, in upper or lower case
    #[arg(long = "match", id = "match", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,

    /// Only documents whose whole name matches GLOB, as in '*.{pdf,csv}'; give the option again for names that
    /// match another GLOB. Upper and lower case differ. * stands for any text, ? for any character, [a-z] for one of
    /// these characters, [!a-z] for any other character, {a,b} for one of these texts
    #[arg(long, value_name = "GLOB", value_parser = NameGlob::parse)]
    pub include: Vec<NameGlob>,

    /// Leave out documents whose whole name matches GLOB, as in 'draft*', also where --include matches; give the
    /// option again for names that match another GLOB
    #[arg(long, value_name = "GLOB", value_parser = NameGlob::parse)]
    pub exclude: Vec<NameGlob>,

    /// Only documents whose FIELD is VALUE, as in source=email; FIELD= chooses documents without a value. When the
    /// option names one field several times, one value must match; when it names several fields, all must match.
    /// `list --json` shows the fields
    #[arg(long = "where", id = "where", value_name = "FIELD=VALUE", value_parser = values::field_value)]
    pub fields: Vec<FieldValue>,

    /// Only documents that changed at DATE or later: YYYY-MM-DD (UTC), RFC 3339, or an age: 12h, 7d, 4w
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, value_parser = dates::since)]
    pub since: Option<Timestamp>,

    /// Only documents that changed at DATE or earlier; a day counts to its end
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, value_parser = dates::until)]
    pub until: Option<Timestamp>,

    /// At most N documents that match
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::count::<usize>)]
    pub limit: Option<usize>,

    /// Only what is in SCOPE, such as OWNER/REPO: the parts that the ids of a list have in common. A provider whose ids have
    /// such parts needs it
    #[arg(long = "in", id = "in", value_name = "SCOPE", value_parser = NonEmptyStringValueParser::new())]
    pub scope: Option<String>,

    /// Only documents of more than SIZE bytes: 1000, 512K, 2M, 1G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub larger_than: Option<u64>,

    /// The options of the providers' tables.
    #[arg(skip)]
    pub own: Vec<OwnFilter>,
}

impl FilterArgs {
    /// Checks that a document can match.
    ///
    /// # Errors
    /// [`Code::Usage`] when `--since` is later than `--until`.
    pub(super) fn check_dates(&self) -> Result<()> {
        if self.since > self.until && self.until.is_some() {
            return Err(Error::new(Code::Usage, "--since is later than --until")
                .with_cause("no document can match both")
                .with_hint(
                    "give --since the earlier date; an age such as 7d counts back from now",
                ));
        }
        Ok(())
    }

    /// Warns when the text of `--match` looks like a pattern, and when the quotation marks of a shell are part of a
    /// pattern.
    pub(super) fn note_pattern(&self) {
        let patterns = self.include.iter().chain(&self.exclude).map(NameGlob::text);
        for text in patterns.chain(self.name.as_deref()) {
            let is_quoted =
                |mark: char| text.len() > 1 && text.starts_with(mark) && text.ends_with(mark);
            if is_quoted('\'') || is_quoted('"') {
                let text = printable(text);
                log::warn!(
                    "the quotation marks of {text} are part of the name that docfetch looks for"
                );
            }
        }
        if let Some(text) = self.name.as_ref().filter(|text| text.contains(['*', '?'])) {
            let text = printable(text);
            log::warn!("--match finds * and ? as text; for a pattern, use --include '{text}'");
        }
    }
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        Self {
            scope: args.scope,
            name: args.name,
            include: args.include,
            exclude: args.exclude,
            since: args.since,
            until: args.until,
            larger_than: args.larger_than,
            own: args.own,
            fields: field_filters(args.fields),
        }
    }
}

/// The values of `--where`, by field.
fn field_filters(given: Vec<FieldValue>) -> Vec<FieldFilter> {
    let mut filters: Vec<FieldFilter> = Vec::new();
    for FieldValue { field, value } in given {
        match filters.iter_mut().find(|filter| filter.field == field) {
            Some(filter) => filter.values.push(value),
            None => filters.push(FieldFilter {
                field,
                values: vec![value],
            }),
        }
    }
    filters
}

#[derive(Debug, Args)]
pub(super) struct ChargeArgs {
    /// Permit a second paid retrieval of a document whose first retrieval is in doubt, or whose URL expired or
    /// was refused. docfetch still uses a URL that is valid
    #[arg(long, help_heading = "Charges")]
    pub allow_recharge: bool,

    /// Send at most N paid requests, not counting those that the provider refuses; 0: send none
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::count::<u64>, help_heading = "Charges")]
    pub max_charges: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Print JSON lines to standard output
    #[arg(long, value_parser = values::switch, help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub verbosity: VerbosityArgs,
}

#[derive(Debug, Default, Args)]
pub(super) struct VerbosityArgs {
    /// Print only errors and charges
    #[arg(short, long, value_parser = values::switch, help_heading = "Output")]
    pub quiet: bool,

    /// Print requests, attempts and decisions too, without secrets
    #[arg(short, long, value_parser = values::switch, help_heading = "Output")]
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
