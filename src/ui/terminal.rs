//! What the terminal can show.

use std::io::{self, IsTerminal as _};

/// The columns of the terminal of standard output; `None` where that is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// The rows and columns of the terminal of standard error; `None` where that is no terminal.
pub(super) fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    let size = (usize::from(size.ws_row), usize::from(size.ws_col));
    Some(size).filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// Whether the terminal cannot move its cursor.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The width of a table on standard output. None where standard output is no terminal.
pub(super) fn table_width() -> Option<usize> {
    terminal_width().filter(|_| io::stdout().is_terminal())
}
