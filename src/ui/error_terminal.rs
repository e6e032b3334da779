//! The terminal of standard error, as indicatif draws bars on it.

use super::terminal::{is_dumb, terminal_size};
use crate::mutex::locked;
use crate::state::streams;
use indicatif::{ProgressDrawTarget, TermLike};
use std::io::{self, IsTerminal as _};
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a second bars are drawn at most.
const DRAWINGS_PER_SECOND: u8 = 20;
/// The rows and columns of a terminal that does not tell its size.
const DEFAULT_SIZE: (usize, usize) = (24, 80);
/// The widest character has 2 columns: indicatif panics where a line has less room.
const MIN_COLUMNS: usize = 2;

/// The terminal of standard error. No method fails: indicatif panics after an error, and a drawing must not end a
/// run that costs money. After the first error, such as that of a terminal window that the user closed, nothing is
/// drawn any more.
#[derive(Debug, Default)]
pub(super) struct ErrorTerminal {
    /// What indicatif has drawn since the last flush.
    drawn: Mutex<String>,
    is_gone: AtomicBool,
}

impl ErrorTerminal {
    /// Where bars are drawn: nowhere, unless standard error is a terminal that can move its cursor.
    pub(super) fn draw_target() -> ProgressDrawTarget {
        let has_name = std::env::var_os("TERM").is_some();
        if !has_name || is_dumb() || !io::stderr().is_terminal() {
            return ProgressDrawTarget::hidden();
        }
        ProgressDrawTarget::term_like_with_hz(Box::<Self>::default(), DRAWINGS_PER_SECOND)
    }

    /// Keeps the text until the next flush.
    fn draw(&self, text: &str) {
        if !self.is_gone.load(Ordering::Relaxed) {
            locked(&self.drawn).push_str(text);
        }
    }

    /// Moves the cursor `count` rows or columns; `direction` is the last character of the escape sequence.
    fn move_cursor(&self, count: usize, direction: char) {
        if count > 0 {
            self.draw(&format!("\u{1b}[{count}{direction}"));
        }
    }
}

fn as_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

impl TermLike for ErrorTerminal {
    fn width(&self) -> u16 {
        let (_, columns) = terminal_size().unwrap_or(DEFAULT_SIZE);
        as_u16(columns.max(MIN_COLUMNS))
    }

    fn height(&self) -> u16 {
        let (rows, _) = terminal_size().unwrap_or(DEFAULT_SIZE);
        as_u16(rows)
    }

    fn move_cursor_up(&self, rows: usize) -> io::Result<()> {
        self.move_cursor(rows, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, rows: usize) -> io::Result<()> {
        self.move_cursor(rows, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.move_cursor(columns, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.move_cursor(columns, 'D');
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.draw(line);
        self.draw("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = mem::take(&mut *locked(&self.drawn));
        if !drawn.is_empty() && streams::write_stderr(drawn.as_bytes()).is_err() {
            self.is_gone.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
