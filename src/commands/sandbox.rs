//! `docfetch sandbox`: runs the stand-in services, alone or around a command.

use crate::config::{folders, variables};
use crate::error::{Code, Error, Result, system_text};
use crate::interrupt::StopSignals;
use crate::sandbox::{Document, Fault, Report, Sandbox};
use crate::text::shell_word;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use tokio::process::{Child, Command};

/// What to write after `--`.
const COMMAND_HINT: &str = "give a program, with its arguments, after --";

/// What to serve, and to whom.
#[derive(Debug)]
pub(crate) struct SandboxSettings {
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
/// told the documents and the variables that lead docfetch to the stand-ins.
///
/// # Errors
/// [`Code::LocalIo`] for a folder that cannot be read, [`Code::Usage`] for a command that cannot be started,
/// [`Code::Unexpected`] when the services cannot start.
pub(crate) async fn run(
    settings: SandboxSettings,
    ready: impl FnOnce(&[Document], &[(&'static str, String)]) -> Result<()>,
) -> Result<SandboxRun> {
    if settings.command.first().is_some_and(|name| name.is_empty()) {
        return Err(no_command());
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
    let mut variables = variables_of(&sandbox);
    variables.push((variables::STATE_DIR, state.path().display().to_string()));
    let folder = configuration.path().display().to_string();
    variables.push((folders::XDG_CONFIG_HOME, folder));
    let exit_code = if let Some((program, arguments)) = settings.command.split_first() {
        run_command(program, arguments, variables, &mut signals).await?
    } else {
        warn_about_tokens();
        ready(sandbox.documents(), &variables)?;
        signals.next().await;
        0
    };
    Ok(SandboxRun {
        report: sandbox.report(),
        exit_code,
    })
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

/// The variables of a bearer token, which wins over the key of the sandbox.
fn token_variables() -> [String; 2] {
    let token = variables::ONE_CODEX_BEARER_TOKEN;
    [
        token.to_owned(),
        format!("{token}{}", variables::FILE_SUFFIX),
    ]
}

fn warn_about_tokens() {
    for name in token_variables() {
        if variables::first(&[&name]).is_some() {
            log::warn!("unset {name} in the other shell: it takes precedence over the key");
        }
    }
}

/// Runs the command with these variables, and returns its exit code.
async fn run_command(
    program: &OsStr,
    arguments: &[OsString],
    variables: Vec<(&'static str, String)>,
    signals: &mut StopSignals,
) -> Result<u8> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(variables)
        .env("PATH", path_with_own_folder())
        .env_remove(variables::CONFIG)
        .env_remove(variables::ONE_CODEX_ACCOUNT);
    for name in token_variables() {
        command.env_remove(name);
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

fn variables_of(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let (id, secret) = sandbox.client();
    vec![
        (variables::STANDARD_METRICS_API_BASE, sandbox.base()),
        (variables::STANDARD_METRICS_CLIENT_ID, id.to_owned()),
        (variables::STANDARD_METRICS_CLIENT_SECRET, secret.to_owned()),
        (variables::ONE_CODEX_API_BASE, sandbox.base()),
        (variables::ONE_CODEX_API_KEY, sandbox.api_key().to_owned()),
    ]
}

/// The search path with the folder of this program first, so that the command finds this `docfetch`.
fn path_with_own_folder() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().ok();
    let own = own
        .as_deref()
        .and_then(std::path::Path::parent)
        .map(std::path::Path::to_path_buf);
    let folders = own.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap_or(path)
}
