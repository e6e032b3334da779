//! Which process left a file, and whether that process still runs.
//!
//! On a file system that several machines share, only the process's own machine can tell that. Even there
//! a process id is not enough: containers number their processes apart, and the system gives the number of
//! a process that ended to another one.

use crate::fingerprint::fingerprint;
use std::fmt;
use std::sync::OnceLock;

/// How many characters of a host's name an identity has.
const MAX_HOST_CHARS: usize = 32;
/// How many characters of the fingerprint of a system an identity has.
const SYSTEM_CHARS: usize = 16;
/// What an identity has instead of a fingerprint where the system does not tell enough about itself.
const UNKNOWN_SYSTEM: &str = "unknown";
/// What the identity that no process has contains instead of a host and of a fingerprint.
const NO_PROCESS: (&str, &str) = ("kept", "none");

/// A process, as the name of a file can hold it: `HOST-SYSTEM-PID-START`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    /// The host's name, for people.
    host: String,
    /// The fingerprint of the boot, the PID namespace and the time namespace. Process ids and start times
    /// can be compared only where it is the same.
    system: String,
    pid: u32,
    /// When the process started, in clock ticks after the boot.
    start: u64,
}

impl ProcessIdentity {
    /// The identity of this process.
    pub(crate) fn own() -> &'static Self {
        static OWN: OnceLock<ProcessIdentity> = OnceLock::new();
        OWN.get_or_init(|| {
            let pid = std::process::id();
            let start = own_start(pid);
            Self {
                host: host(),
                system: start.and_then(|_| system()).unwrap_or_else(unknown),
                pid,
                start: start.unwrap_or_default(),
            }
        })
    }

    /// An identity that no process has: it always counts as gone. Every process of every machine computes the
    /// same one, also after a reboot.
    pub(crate) fn of_no_process() -> Self {
        let (host, system) = NO_PROCESS;
        Self {
            host: host.to_owned(),
            system: system.to_owned(),
            pid: 0,
            start: 0,
        }
    }

    /// Parses what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(4, '-');
        let (start, pid) = (parts.next()?, parts.next()?);
        let (system, host) = (parts.next()?, parts.next()?);
        Some(Self {
            host: host.to_owned(),
            system: system.to_owned(),
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    }

    /// Whether it is certain that the process has ended. Of a process of another machine, of another
    /// container or of an earlier boot that is never certain.
    pub(crate) fn is_gone(&self) -> bool {
        let own = Self::own();
        *self == Self::of_no_process()
            || (self.system != UNKNOWN_SYSTEM && self.system == own.system && !self.runs())
    }

    /// Whether it is certain that the process still runs. Of a process of another machine or of another
    /// container that is never certain.
    pub(crate) fn is_running(&self) -> bool {
        let own = Self::own();
        self.system != UNKNOWN_SYSTEM && self.system == own.system && self.runs()
    }

    /// Whether a process of this system has this process id and this start time, and has not ended.
    fn runs(&self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => parse_stat(&stat)
                .is_none_or(|(state, start)| start == self.start && !matches!(state, 'Z' | 'X')),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            system,
            pid,
            start,
        } = self;
        write!(f, "{host}-{system}-{pid}-{start}")
    }
}

fn unknown() -> String {
    UNKNOWN_SYSTEM.to_owned()
}

/// The host's name, without the characters that a file name may not have everywhere.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let safe = name.trim().chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let safe: String = safe.take(MAX_HOST_CHARS).collect();
    if safe.is_empty() {
        return unknown();
    }
    safe
}

/// The fingerprint of the system, if the system tells what it consists of.
fn system() -> Option<String> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let times = std::fs::read_link("/proc/self/ns/time").unwrap_or_default(); // older systems have none
    let [processes, times] = [&processes, &times].map(|link| link.as_os_str().as_encoded_bytes());
    let mut fingerprint = fingerprint(&[&boot, processes, times]);
    fingerprint.truncate(SYSTEM_CHARS);
    Some(fingerprint)
}

/// When this process started. `None` where `/proc` does not show the process under its own id: `/proc` can
/// be of another PID namespace.
fn own_start(pid: u32) -> Option<u64> {
    let shown = std::fs::read_link("/proc/self").ok()?;
    if shown.to_str()?.parse() != Ok(pid) {
        return None;
    }
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    parse_stat(&stat).map(|(_, start)| start)
}

/// The state and the start time in `/proc/PID/stat` (Linux, `proc_pid_stat(5)`). The program's name stands
/// before them, in parentheses, and may contain anything.
fn parse_stat(line: &str) -> Option<(char, u64)> {
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn identity_of(pid: u32) -> ProcessIdentity {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        ProcessIdentity {
            pid,
            start: parse_stat(&stat).unwrap().1,
            ..ProcessIdentity::own().clone()
        }
    }

    fn sleeper() -> Child {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null());
        command.spawn().unwrap()
    }

    #[test]
    fn an_identity_reads_back_whatever_the_host_is_called() {
        for host in ["node17", "a-b-c", "unknown"] {
            let identity = ProcessIdentity {
                host: host.to_owned(),
                ..ProcessIdentity::own().clone()
            };
            let text = identity.to_string();
            assert_eq!(ProcessIdentity::parse(&text), Some(identity), "{text}");
        }
        for text in ["", "a", "a-b-c", "a-b-1-x", "a-b-x-1", "a-b--1"] {
            assert_eq!(ProcessIdentity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_is_gone_once_it_ended_reaped_or_not() {
        assert!(!ProcessIdentity::own().is_gone() && ProcessIdentity::own().is_running());
        let none = ProcessIdentity::of_no_process();
        assert!(none.is_gone() && !none.is_running());
        assert_eq!(none.to_string(), "kept-none-0-0", "the same after a reboot");
        assert_eq!(ProcessIdentity::parse(&none.to_string()), Some(none));
        let mut child = sleeper();
        let identity = identity_of(child.id());
        assert!(!identity.is_gone());
        let of_another_start = ProcessIdentity {
            start: identity.start + 1,
            ..identity.clone()
        };
        assert!(of_another_start.is_gone(), "its id was used again");
        child.kill().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z") {
            std::thread::yield_now();
        }
        assert!(identity.is_gone(), "it has ended, and waits for its parent");
        child.wait().unwrap();
        assert!(identity.is_gone() && !identity.is_running());
    }

    #[test]
    fn of_another_machine_or_container_nothing_is_certain() {
        let gone = ProcessIdentity {
            pid: u32::MAX,
            ..ProcessIdentity::own().clone()
        };
        assert!(gone.is_gone());
        for system in ["0123456789abcdef", UNKNOWN_SYSTEM] {
            let other = ProcessIdentity {
                system: system.to_owned(),
                ..gone.clone()
            };
            assert!(!other.is_gone() && !other.is_running(), "{system}");
        }
    }

    #[test]
    fn a_programs_name_does_not_confuse() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(
            parse_stat(&format!("7 (a) Z 1) {fields}")),
            Some(('S', 4242))
        );
        assert_eq!(parse_stat("7 (a"), None);
    }
}
