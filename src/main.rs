//! argv to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    docfetch::cli::run(std::env::args_os())
}
