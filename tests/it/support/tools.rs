//! Tools of the machine that break things for real. Where one is missing, a test says *skipped*, or fails
//! where `DOCFETCH_TESTS_MUST_RUN` is 1, as in CI.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a tool does its work here; says so where it does not.
pub fn works(name: &str, probe: &[&str]) -> bool {
    let works = Command::new(probe[0])
        .args(&probe[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    works || skip(&format!("{name} is not installed, or not permitted here"))
}

/// Says that a test is skipped; where none may be, as in CI with root and FUSE, the test fails. Always
/// false.
pub fn skip(why: &str) -> bool {
    let must_run = std::env::var_os("DOCFETCH_TESTS_MUST_RUN").is_some_and(|set| set == "1");
    let is_able = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    assert!(!(must_run && is_able), "a test would be skipped: {why}");
    println!("skipped: {why}");
    false
}

/// Makes system calls fail, or kills at them.
pub fn strace() -> bool {
    works("strace", &["strace", "-f", "-o", "/dev/null", "true"])
}

/// Shifts a process's clock.
pub fn faketime() -> bool {
    works("faketime", &["faketime", "-f", "+2h", "true"])
}

/// Attributes of files: append-only, immutable.
pub fn attributes() -> bool {
    let script = "d=$(mktemp -d) && chattr +a $d && chattr -a $d; s=$?; rmdir $d; exit $s";
    works("chattr", &["sh", "-c", script])
}

/// Processes of another user.
pub fn other_user() -> bool {
    works(
        "setpriv",
        &["setpriv", "--reuid=65534", "--clear-groups", "true"],
    )
}

/// File systems of a test's own.
pub fn mounts() -> bool {
    works(
        "unshare",
        &["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
    )
}

/// Addresses and names of a test's own.
pub fn networks() -> bool {
    let script = "ip link set lo up && mount -t tmpfs none /mnt";
    works("unshare", &["unshare", "-mn", "sh", "-c", script])
}
