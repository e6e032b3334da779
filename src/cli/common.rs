//! What every command needs of the command line: its provider, its settings, and a terminal for its errors.

use super::command_line::OptionOrigins;
use super::options::{ChargeArgs, ConnectionArgs, OutputArgs, ResourceArgs, VerbosityArgs};
use super::unknown_variables;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::provider::{self, Provider};
use crate::ui::{Color, OutputOptions, Printer, ProgressKind};

/// The terminal of a run.
pub(super) struct Terminal {
    /// Writes results and errors.
    pub printer: Printer,
    origins: OptionOrigins,
}

impl Terminal {
    /// Sets up the terminal, and tells which variables docfetch ignores.
    pub(super) fn new(output_options: OutputOptions, origins: OptionOrigins) -> Self {
        let printer = Printer::new(output_options);
        if let Some(ignored) = &origins.ignored {
            log::info!("{ignored}");
        }
        unknown_variables::warn(&origins.variables);
        Self { printer, origins }
    }

    /// The terminal without any option.
    pub(super) fn plain() -> Self {
        Self::new(
            plain_output_options(&VerbosityArgs::default()),
            OptionOrigins::default(),
        )
    }

    /// Names the variable, or the line of the configuration file, that set the option in an error about a setting.
    pub(super) fn with_origin(&self, error: Error) -> Error {
        if !matches!(error.code(), Code::Usage | Code::Config) {
            return error;
        }
        let Some(origin) = self.origins.named_in(&error.message()) else {
            return error;
        };
        let place = format!("the value comes from {origin}");
        let why = match error.cause() {
            Some(cause) => format!("{cause}; {place}"),
            None => place,
        };
        error.with_cause(why)
    }

    /// Prints why the command failed, and returns the exit code of the process.
    pub(super) fn fail(&self, error: Error) -> u8 {
        let error = self.with_origin(error);
        self.printer.error(&error, None);
        error.exit_code()
    }

    /// Prints the failure of a command that leaves nothing to continue, if there is one, and returns the exit code
    /// of the process.
    pub(super) fn end(&self, result: Result<()>) -> u8 {
        match result {
            Ok(()) => 0,
            Err(error) if error.code() == Code::Interrupted && !error.has_own_hint() => {
                self.fail(error.with_hint("run again"))
            }
            Err(error) => self.fail(error),
        }
    }
}

/// The provider that the user names, with the kind that the user chooses.
///
/// # Errors
/// [`Code::Usage`] for a kind that the provider does not have; [`Code::Config`] when the user's table of it is wrong.
pub(super) fn provider(name: &str, arguments: &ResourceArgs) -> Result<Provider> {
    let provider = provider::find(name)?.with_user_parameters()?;
    let base = provider.environment_base().ok().flatten();
    let base = base.map(|base| provider.api_base(Some(&base), &provider.table.variables.api_base));
    // A wrong base is an error of the resolver.
    let provider = match base {
        Some(Ok(base)) => provider.at_base(&base),
        _ => provider,
    };
    let has_kinds = provider.kind_names().next().is_some();
    match &arguments.resource {
        // A variable is for all providers.
        Some(kind) if !has_kinds && !arguments.is_flag && *kind == provider.default_kind_name() => {
            Ok(provider)
        }
        Some(kind) => provider.of_kind(kind),
        None => Ok(provider),
    }
}

/// How to connect, and what docfetch may pay.
pub(super) fn connection(arguments: ConnectionArgs, charges: &ChargeArgs) -> Connection {
    Connection {
        allow_recharge: charges.allow_recharge,
        max_charges: charges.max_charges,
        ..arguments.into()
    }
}

/// How the output of a command looks.
pub(super) fn output_options(arguments: &OutputArgs, progress: ProgressKind) -> OutputOptions {
    OutputOptions {
        json: arguments.json,
        progress,
        ..plain_output_options(&arguments.verbosity)
    }
}

/// How the output of a command without records and progress looks.
pub(super) fn plain_output_options(verbosity: &VerbosityArgs) -> OutputOptions {
    OutputOptions {
        json: false,
        progress: ProgressKind::None,
        quiet: verbosity.quiet,
        verbose: verbosity.verbose,
        color: Color::from(verbosity.color),
    }
}
