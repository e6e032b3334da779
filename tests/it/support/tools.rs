//! Tools of the machine that break things for real. Where one is missing, a test says *skipped*.

use std::process::{Command, Stdio};

/// Whether a tool does its work here; says so where it does not.
fn works(name: &str, probe: &[&str]) -> bool {
    let works = Command::new(probe[0])
        .args(&probe[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        println!("skipped: {name} is not installed, or not permitted here");
    }
    works
}

/// Makes system calls fail, or kills at them.
pub fn strace() -> bool {
    works("strace", &["strace", "-f", "-o", "/dev/null", "true"])
}

/// Shifts a process's clock.
pub fn faketime() -> bool {
    works("faketime", &["faketime", "-f", "+2h", "true"])
}

/// File systems of a test's own.
pub fn mounts() -> bool {
    works(
        "unshare",
        &["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
    )
}
