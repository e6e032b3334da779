//! Runs the real binary in a world of its own and looks for secrets in everything it leaves.

pub mod corpora;
pub mod fuse;
pub mod mounts;
pub mod partials;
pub mod proxies;
pub mod raw;
pub mod services;
pub mod storages;
pub mod strace;
pub mod table_service;
pub mod tls;
pub mod tools;

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No test waits longer for a process.
const PATIENCE: Duration = Duration::from_secs(180);
/// A server that docfetch must not wait for stays silent for this time.
pub const SILENCE: Duration = Duration::from_secs(120);
/// docfetch ends within this time when it waits for no server, on a busy machine, too. Shorter than
/// `SILENCE` by far.
pub const PROMPT: Duration = Duration::from_secs(40);

/// Credentials for servers that are not the sandbox.
pub const CLIENT_ID: &str = "client-7f3a";
pub const CLIENT_SECRET: &str = "very-secret-c1ient";
pub const API_KEY: &str = "0123456789abcdef0123456789abcdef";
pub const TOKEN: &str = "t0ken-that-nobody-may-see";
/// Part of every presigned URL that a raw server hands over.
pub const SIGNATURE: &str = "5igned-and-secret";

/// A home folder, an output folder and the variables of one test.
pub struct World {
    home: TempDir,
    variables: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// A process that ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub raw_stdout: Vec<u8>,
    pub stderr: String,
    pub elapsed: Duration,
}

impl World {
    /// A world whose providers both live at `base`, with the test credentials.
    pub fn new(base: &str) -> Self {
        let mut world = Self::bare();
        world.set("STANDARD_METRICS_API_BASE", base);
        world.set("STANDARD_METRICS_CLIENT_ID", CLIENT_ID);
        world.set("STANDARD_METRICS_CLIENT_SECRET", CLIENT_SECRET);
        world.set("ONE_CODEX_API_BASE", base);
        world.set("ONE_CODEX_API_KEY", API_KEY);
        world
    }

    /// A world without any credentials.
    pub fn bare() -> Self {
        let basic = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"))
        };
        Self {
            home: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            secrets: [
                CLIENT_SECRET,
                API_KEY,
                TOKEN,
                SIGNATURE,
                "X-Amz-Signature",
                &basic,
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }

    /// Sets a variable for every process of this world.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds to what must never be seen.
    pub fn hide(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// The value of a variable that was set.
    pub fn variable(&self, name: &str) -> String {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found
            .unwrap_or_else(|| panic!("{name} is not set"))
            .1
            .clone()
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder that processes start in.
    pub fn out(&self) -> PathBuf {
        let out = self.home.path().join("out");
        fs::create_dir_all(&out).unwrap();
        out
    }

    /// The state folder: the only place where tokens and presigned URLs may be.
    pub fn state(&self) -> PathBuf {
        self.home.path().join(".local/state/docfetch")
    }

    /// The file of the only record of a kind.
    #[track_caller]
    pub fn record(&self, kind: &str) -> PathBuf {
        let entries = fs::read_dir(self.state().join(kind)).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let path = paths.next().unwrap();
        assert_eq!(paths.next(), None);
        path
    }

    /// Names of everything in the output folder.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.out())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The path of a file in the output folder whose name has this ending.
    pub fn file_ending(&self, ending: &str) -> Option<PathBuf> {
        let mut names = self.files().into_iter();
        let name = names.find(|name| name.ends_with(ending))?;
        Some(self.out().join(name))
    }

    /// Content of a file in the output folder.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.out().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}; {:?}", self.files()))
    }

    /// A command in this world, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_docfetch"), arguments)
    }

    /// Any program in this world, not started.
    pub fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.out())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs docfetch to its end and looks for secrets.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.finish(self.command(arguments).spawn().unwrap(), Instant::now())
    }

    /// Runs any program to its end and looks for secrets.
    pub fn run_of(&self, program: &str, arguments: &[&str]) -> Run {
        let child = self.command_of(program, arguments).spawn().unwrap();
        self.finish(child, Instant::now())
    }

    /// Runs docfetch with this on standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let started = Instant::now();
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        self.finish(child, started)
    }

    /// Runs any command of this world, which must take all of this on standard input, and looks for secrets.
    pub fn finish_with_input(&self, mut command: Command, input: impl AsRef<[u8]>) -> Run {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_ref()).unwrap();
        drop(stdin);
        self.finish(child, started)
    }

    /// Runs docfetch where it prints a secret as its result.
    pub fn run_showing(&self, arguments: &[&str]) -> Run {
        Self::wait(self.command(arguments).spawn().unwrap(), Instant::now())
    }

    /// Starts docfetch with its standard error in a file; the second value is the path of that file.
    pub fn spawn_logging(&self, arguments: &[&str]) -> (Child, PathBuf) {
        let path = self.home().join("stderr.txt");
        let file = fs::File::create(&path).unwrap();
        let child = self.command(arguments).stderr(file).spawn().unwrap();
        (child, path)
    }

    /// Waits until a file holds `text`.
    #[track_caller]
    pub fn wait_for_text(&self, path: &Path, text: &str) {
        self.wait_until(text, || {
            fs::read_to_string(path).is_ok_and(|found| found.contains(text))
        });
    }

    /// Waits for a process and looks for secrets.
    pub fn finish(&self, child: Child, started: Instant) -> Run {
        let run = Self::wait(child, started);
        self.look_for_secrets(&run);
        run
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(
                started.elapsed() < PATIENCE,
                "never: {what}; {:?}",
                self.files()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a process catches `SIGTERM`, or has ended.
    #[track_caller]
    pub fn wait_for_signal_handler(&self, child: &Child) {
        self.wait_until("it catches SIGTERM", || {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
            let caught = field("SigCgt:").map(|mask| u64::from_str_radix(mask.trim(), 16));
            let bit = 1 << (Signal::TERM.as_raw() - 1);
            let ended = field("State:").is_some_and(|state| state.trim().starts_with('Z'));
            ended || caught.is_some_and(|mask| mask.unwrap() & bit != 0)
        });
    }

    /// Waits until a partial in the output folder holds so many bytes.
    #[track_caller]
    pub fn wait_for_partial(&self, bytes: u64) {
        self.wait_until("a partial", || {
            let partial = self.file_ending(".part");
            let metadata = partial.and_then(|path| path.metadata().ok());
            metadata.is_some_and(|metadata| metadata.len() >= bytes)
        });
    }

    fn wait(mut child: Child, started: Instant) -> Run {
        let mut stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take();
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            bytes
        });
        let err = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.read_to_end(&mut bytes);
            }
            bytes
        });
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                let _ = child.kill();
                let stderr = String::from_utf8_lossy(&err.join().unwrap()).into_owned();
                panic!("it runs for {PATIENCE:?}; standard error: {stderr}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let elapsed = started.elapsed();
        let raw_stdout = out.join().unwrap();
        Run {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&raw_stdout).into_owned(),
            raw_stdout,
            stderr: String::from_utf8_lossy(&err.join().unwrap()).into_owned(),
            elapsed,
        }
    }

    /// Fails when a secret is in what a process printed or in any file of this world.
    fn look_for_secrets(&self, run: &Run) {
        let mut places = vec![
            ("standard output".to_owned(), run.raw_stdout.clone()),
            ("standard error".to_owned(), run.stderr.clone().into_bytes()),
        ];
        let mut folders = vec![self.home.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.starts_with(self.home.path().join("given")) {
                    continue; // what the test itself put there
                }
                if path.starts_with(self.state()) {
                    assert_private(&path);
                    if entry.file_type().unwrap().is_file() {
                        let bytes = fs::read(&path).unwrap_or_default();
                        for credential in [CLIENT_SECRET, API_KEY] {
                            assert!(!holds(&bytes, credential), "{}", path.display());
                        }
                        continue;
                    }
                }
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if entry.file_type().unwrap().is_file() {
                    places.push((
                        path.display().to_string(),
                        fs::read(&path).unwrap_or_default(),
                    ));
                    places.push((
                        "a file name".to_owned(),
                        path.as_os_str().as_encoded_bytes().to_vec(),
                    ));
                }
            }
        }
        for (place, bytes) in places {
            for secret in &self.secrets {
                let found = holds(&bytes, secret);
                assert!(!found, "{secret:?} is in {place}\n{run:#?}");
            }
        }
    }
}

impl Run {
    /// Fails if it waited for a server that is silent, or for a time of minutes.
    #[track_caller]
    pub fn is_prompt(&self) -> &Self {
        assert!(self.elapsed < PROMPT, "{self:#?}");
        self
    }

    /// Fails unless it ended with `code`.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Fails unless standard error holds `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }

    /// The JSON lines of standard output.
    #[track_caller]
    pub fn records(&self) -> Vec<serde_json::Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The error code in the first record.
    #[track_caller]
    pub fn error_code(&self) -> String {
        let records = self.records();
        records[0]["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"))
            .to_owned()
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    memchr::memmem::find(bytes, secret.as_bytes()).is_some()
}

/// Fails when others can look into a file or folder.
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::symlink_metadata(path).map_or(0, |found| found.permissions().mode());
    assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
}

/// Runs a test with each of these values, all at the same time: most of its time it waits.
pub fn each_at_once<T: Send>(values: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for value in values {
            let test = &test;
            scope.spawn(move || test(value));
        }
    });
}

/// `length` pseudorandom bytes, the same in every call.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Sends a signal.
pub fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for a process whose output stays unread; returns none when a signal ended it.
#[track_caller]
pub fn exit_code_unread(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > PROMPT {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How much processor time a process has used; none after its end.
pub fn processor_time(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // proc_pid_stat(5): behind the name, the 12th and the 13th field are ticks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let ticks = ticks(11)? + ticks(12)?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(Duration::from_secs(1) * ticks / per_second)
}

/// Ends a process as a crash does.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs a server in a thread with a runtime of its own; it tells its address once it listens.
pub fn serve<F: Future<Output = ()>>(
    server: impl FnOnce(mpsc::Sender<SocketAddr>) -> F + Send + 'static,
) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(server(sender));
    });
    receiver.recv().unwrap()
}
