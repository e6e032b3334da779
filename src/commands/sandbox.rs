//! `docfetch sandbox`: runs the stand-in services, alone or around a command.

use crate::config::variables;
use crate::error::{Code, Error, Result};
use crate::sandbox::{Document, Fault, Report, Sandbox};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What to serve.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A folder to serve instead of the samples.
    pub folder: Option<PathBuf>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// A command to run against it.
    pub command: Vec<OsString>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct SandboxRun {
    /// What happened at the services.
    pub report: Report,
    /// The command's exit code, or 128 and the signal that ended it.
    pub exit_code: u8,
}

/// Serves until the command ends, or until SIGINT or SIGTERM where there is none; `ready` is told
/// the documents and the variables that point docfetch at it.
///
/// # Errors
/// A folder that cannot be read, a command that cannot be started.
pub(crate) async fn run(
    plan: Plan,
    ready: impl FnOnce(&[Document], &[(&'static str, String)]) -> Result<()>,
) -> Result<SandboxRun> {
    let documents = match &plan.folder {
        Some(folder) => {
            Document::of_folder(folder).map_err(|error| Error::io("read", folder, &error))?
        }
        None => Document::samples(),
    };
    let unexpected = |error: std::io::Error| {
        Error::new(Code::Unexpected, "cannot start the sandbox").with_cause(error.to_string())
    };
    let mut int = signal(SignalKind::interrupt()).map_err(unexpected)?;
    let mut term = signal(SignalKind::terminate()).map_err(unexpected)?;
    let sandbox = Sandbox::start(documents, plan.faults)
        .await
        .map_err(unexpected)?;
    // What docfetch remembers of these services ends with them.
    let state = tempfile::tempdir().map_err(unexpected)?;
    let mut settings = settings(&sandbox);
    settings.push((variables::STATE_DIR, state.path().display().to_string()));
    let token = variables::ONE_CODEX_BEARER_TOKEN;
    let token_file = format!("{token}{}", variables::FILE_SUFFIX);
    let Some((program, arguments)) = plan.command.split_first() else {
        for name in [token, &token_file] {
            if variables::value(name).is_some() {
                log::warn!("unset {name} in the other shell: it would win over the key");
            }
        }
        ready(sandbox.documents(), &settings)?;
        tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        return Ok(SandboxRun {
            report: sandbox.report(),
            exit_code: 0,
        });
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(settings)
        .env_remove(token) // the user's own would win over the key
        .env_remove(&token_file)
        .env("PATH", path_with_own_folder());
    let child = command.spawn().map_err(|error| {
        Error::new(Code::Usage, format!("cannot run {}", program.display()))
            .with_cause(error.to_string())
    })?;
    let status = wait(child, &mut int, &mut term).await.map_err(unexpected)?;
    let exit_code = status
        .code()
        .or_else(|| status.signal().map(|number| 128 + number));
    Ok(SandboxRun {
        report: sandbox.report(),
        exit_code: exit_code
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    })
}

/// A SIGINT of the terminal reaches the command by itself; a SIGTERM is handed on.
async fn wait(
    mut child: Child,
    int: &mut Signal,
    term: &mut Signal,
) -> std::io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = int.recv() => {}
            _ = term.recv() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
                }
            }
        }
    }
}

fn settings(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let (id, secret) = sandbox.client();
    vec![
        (variables::STANDARD_METRICS_API_BASE, sandbox.base()),
        (variables::STANDARD_METRICS_CLIENT_ID, id.to_owned()),
        (variables::STANDARD_METRICS_CLIENT_SECRET, secret.to_owned()),
        (variables::ONE_CODEX_API_BASE, sandbox.base()),
        (variables::ONE_CODEX_API_KEY, sandbox.api_key().to_owned()),
    ]
}

/// So that `docfetch` in the command is this very program.
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
