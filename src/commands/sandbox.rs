//! `docfetch sandbox`: runs the stand-in services, alone or around a command.

use crate::config::{folders, variables};
use crate::error::{Code, Error, Result, system_text};
use crate::interrupt::StopSignals;
use crate::provider::{self, AuthMethod, Provider};
use crate::sandbox::{Document, Fault, Report, RunningSandbox, Sandbox, UnservableTable};
use crate::text::shell_word;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use tokio::process::{Child, Command};

/// What to write after `--`.
const COMMAND_HINT: &str = "give a program, with its arguments, after --";

/// What to serve, and to whom.
#[derive(Debug)]
pub(crate) struct SandboxSettings {
    /// The names of the providers whose tables the sandbox serves, instead of the stand-ins of its own.
    pub providers: Vec<String>,
    /// A folder whose files are the documents, instead of the samples.
    pub folder: Option<PathBuf>,
    /// How the stand-ins fail.
    pub faults: Vec<Fault>,
    /// The command to run, with its arguments. Without a command, the sandbox serves until a signal ends it.
    pub command: Vec<OsString>,
}

/// How the sandbox ended.
#[derive(Debug)]
pub(crate) struct SandboxRun {
    /// What happened at the services.
    pub report: Report,
    /// The exit code of the command, or 128 plus the number of the signal that ended it.
    pub exit_code: u8,
}

/// Serves until the command ends, or without a command until SIGINT, SIGTERM or SIGHUP. Without a command, `ready` is
/// told what a client needs to know.
///
/// # Errors
/// [`Code::LocalIo`] for a folder that cannot be read, [`Code::Usage`] for a command that cannot be started and for the
/// name of no provider, [`Code::Config`] for a table that a stand-in cannot follow, [`Code::Unexpected`] when the services
/// cannot start.
pub(crate) async fn run(
    settings: SandboxSettings,
    ready: impl FnOnce(&RunningSandbox) -> Result<()>,
) -> Result<SandboxRun> {
    if settings.command.first().is_some_and(|name| name.is_empty()) {
        return Err(no_command());
    }
    let mut providers: Vec<Provider> = Vec::new();
    for name in &settings.providers {
        if !providers.iter().any(|known| known.name() == name) {
            providers.push(provider::find(name)?);
        }
    }
    let documents = match &settings.folder {
        Some(folder) => {
            Document::of_folder(folder).map_err(|error| Error::io("read", folder, &error))?
        }
        None => Document::samples(),
    };
    let mut signals = StopSignals::listen().map_err(cannot_start)?;
    let sandbox = Sandbox::start(documents, settings.faults)
        .await
        .map_err(cannot_start)?;
    // What docfetch remembers of these services ends with them.
    let state = tempfile::tempdir().map_err(cannot_start)?;
    // The user's own settings would change what a test of a script finds.
    let configuration = tempfile::tempdir().map_err(cannot_start)?;
    let mut running = serve(&sandbox, &providers).await?;
    write_tables(configuration.path(), &providers)?;
    let folders = [
        (variables::STATE_DIR, state.path()),
        (folders::XDG_CONFIG_HOME, configuration.path()),
    ];
    let folders = folders.map(|(name, path)| (name.to_owned(), path.display().to_string()));
    running.variables.extend(folders);
    let exit_code = if let Some((program, arguments)) = settings.command.split_first() {
        run_command(program, arguments, &running, &mut signals).await?
    } else {
        ready(&running)?;
        signals.next().await;
        0
    };
    Ok(SandboxRun {
        report: sandbox.report(),
        exit_code,
    })
}

/// Starts the stand-ins of the tables, if there are any.
async fn serve(sandbox: &Sandbox, providers: &[Provider]) -> Result<RunningSandbox> {
    let mut tables = Vec::new();
    for provider in providers {
        let kinds = provider.all_kinds().into_iter().map(|kind| kind.table);
        let served = sandbox.serve_table(kinds.collect()).await;
        tables.push(served.map_err(|error| match error {
            UnservableTable::System(error) => cannot_start(error),
            UnservableTable::Key(why) => {
                let what = format!("the sandbox cannot serve {}", provider.name());
                Error::new(Code::Config, what)
                    .with_cause(why)
                    .with_hint("change the table, or test it against the service itself")
            }
        })?);
    }
    let variables = if tables.is_empty() {
        variables_of(sandbox)
    } else {
        let all = tables.iter().flat_map(|table| table.variables.clone());
        all.collect()
    };
    let documents = if tables.is_empty() {
        sandbox.documents().to_vec()
    } else {
        Vec::new()
    };
    Ok(RunningSandbox {
        documents,
        tables,
        unset: other_credentials(&variables),
        variables,
    })
}

/// Writes the tables of `providers` to a configuration file below `folder`: the sandbox hides the user's own file from the
/// command, and its settings with it.
fn write_tables(folder: &Path, providers: &[Provider]) -> Result<()> {
    if providers.is_empty() {
        return Ok(());
    }
    let tables = providers.iter();
    let tables = tables.map(|provider| provider::toml_text(provider.name()));
    let text = tables.collect::<Result<Vec<_>>>()?.join("\n");
    let folder = folder.join("docfetch");
    std::fs::create_dir(&folder).map_err(cannot_start)?;
    std::fs::write(folder.join("config.toml"), text).map_err(cannot_start)
}

/// The credential variables of all providers, without those that the sandbox sets. A command in a sandbox has none of
/// the user's own credentials.
fn other_credentials(own: &[(String, String)]) -> Vec<String> {
    let mut names = vec![variables::CONFIG.to_owned()];
    for provider in provider::all() {
        let variables = &provider.table.variables;
        let methods = provider.table.auth.iter().map(|auth| &auth.method);
        let fields = methods.clone().flat_map(AuthMethod::fields);
        let fields = fields.map(|field| variables.of(*field));
        let has_account = methods
            .clone()
            .any(|method| matches!(method, AuthMethod::Bearer));
        let account = has_account.then_some(variables.account.as_str());
        for name in fields.chain(account) {
            for name in [name.to_owned(), format!("{name}{}", variables::FILE_SUFFIX)] {
                let is_own = own.iter().any(|(own, _)| *own == name);
                if !is_own && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

/// The error of a `--` that no command follows.
pub(crate) fn no_command() -> Error {
    Error::new(Code::Usage, "the command after -- is empty").with_hint(COMMAND_HINT)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "`map_err` calls this with the error itself"
)]
fn cannot_start(error: io::Error) -> Error {
    let what = "cannot start the sandbox";
    Error::shortage(what, &error)
        .unwrap_or_else(|| Error::new(Code::Unexpected, what).with_cause(system_text(&error)))
}

/// Runs the command with the variables of the sandbox, and returns its exit code.
async fn run_command(
    program: &OsStr,
    arguments: &[OsString],
    running: &RunningSandbox,
    signals: &mut StopSignals,
) -> Result<u8> {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path_with_own_folder());
    for name in &running.unset {
        command.env_remove(name);
    }
    for (name, value) in &running.variables {
        command.env(name, value);
    }
    let child = command.spawn().map_err(|error| {
        let what = format!("cannot run {}", shell_word(&program.to_string_lossy()));
        Error::shortage(&what, &error).unwrap_or_else(|| {
            let is_name = !program.as_bytes().contains(&b'/');
            let (why, hint) = match error.kind() {
                io::ErrorKind::NotFound if is_name => {
                    ("no folder in PATH has this program".into(), COMMAND_HINT)
                }
                io::ErrorKind::PermissionDenied => {
                    (system_text(&error), "give an executable file after --")
                }
                _ => (system_text(&error), COMMAND_HINT),
            };
            Error::new(Code::Usage, what)
                .with_cause(why)
                .with_hint(hint)
        })
    })?;
    let status = wait(child, signals).await.map_err(cannot_start)?;
    let exit_code = status
        .code()
        .or_else(|| status.signal().map(|number| 128 + number));
    Ok(exit_code
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// Waits until the command ends. A terminal sends its SIGINT to the command itself; other signals are passed on.
async fn wait(mut child: Child, signals: &mut StopSignals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            number = signals.next() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                let signal = Signal::from_named_raw(number).filter(|signal| *signal != Signal::INT);
                if let (Some(id), Some(signal)) = (id.and_then(Pid::from_raw), signal) {
                    let _ = kill_process(id, signal);
                }
            }
        }
    }
}

/// The variables that lead docfetch to the stand-ins that are no tables.
fn variables_of(sandbox: &Sandbox) -> Vec<(String, String)> {
    let (id, secret) = sandbox.client();
    let base = sandbox.base();
    let variables = [
        (variables::STANDARD_METRICS_API_BASE, base.as_str()),
        (variables::STANDARD_METRICS_CLIENT_ID, id),
        (variables::STANDARD_METRICS_CLIENT_SECRET, secret),
        (variables::ONE_CODEX_API_BASE, base.as_str()),
        (variables::ONE_CODEX_API_KEY, sandbox.api_key()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.into()
}

/// The search path with the folder of this program first, so that the command finds this `docfetch`.
fn path_with_own_folder() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let folders = own.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap_or(path)
}
