//! A terminal that is drawn on as a whole, and left as it was found.

use crate::{
    error::{Error, Result},
    signals::Signals,
    sync::Mutex,
    threads,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    process,
    time::Duration,
};

/// The alternate screen without a cursor and without line breaks of its own, and back
/// (xterm's control sequences).
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What is between these appears at once, where the terminal knows them.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";

/// Ctrl-C and Ctrl-D.
const INTERRUPT: u8 = 3;
const END_OF_INPUT: u8 = 4;

/// How the terminal was, while it is taken; for the thread that waits for signals too.
static BEFORE: Mutex<Option<Option<Termios>>> = Mutex::new(None);

/// The terminal, taken.
pub(super) struct Screen {
    /// Whether keys can be read.
    has_keys: bool,
}

impl Screen {
    /// Takes the terminal. A signal that ends the process gives it back first.
    pub(super) fn enter() -> Result<Self> {
        let signals = Signals::block()?;
        let failed = |error: Errno| Error::io("setting up the terminal", error.into());
        let has_keys = io::stdin().is_terminal();
        let mut before = None;
        if has_keys {
            let modes = tcgetattr(io::stdin()).map_err(failed)?;
            let mut keys = modes.clone();
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(io::stdin(), OptionalActions::Now, &keys).map_err(failed)?;
            before = Some(modes);
        }
        *BEFORE.lock() = Some(before);
        say(ENTER);
        let wait = move || {
            if signals.wait().is_ok() {
                leave();
                process::exit(0);
            }
        };
        threads::start("vm0fs-signals", wait).map_err(Error::no_thread)?;
        Ok(Self { has_keys })
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => (80, 24),
        }
    }

    /// Draws all of it.
    pub(super) fn draw(&self, lines: &[String]) {
        let mut text = BEGIN.to_owned();
        for (number, line) in lines.iter().enumerate() {
            let end = if number == 0 { "" } else { "\r\n" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{end}{line}\x1b[K");
        }
        say(&(text + END));
    }

    /// Waits until there is something to read from `other`, or for `limit`. Whether the
    /// user leaves.
    pub(super) fn wait(&self, other: BorrowedFd<'_>, limit: Duration) -> Result<bool> {
        if !self.has_keys {
            wait_for(other, limit)?;
            return Ok(false);
        }
        let stdin = io::stdin();
        let keys = stdin.as_fd();
        let mut polled = [
            PollFd::from_borrowed_fd(other, PollFlags::IN),
            PollFd::from_borrowed_fd(keys, PollFlags::IN),
        ];
        wait_on(&mut polled, limit)?;
        if polled[1].revents().is_empty() {
            return Ok(false);
        }
        let mut typed = [0; 64];
        let length = match io::stdin().read(&mut typed) {
            // The terminal is gone.
            Ok(0) => return Ok(true),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => return Ok(true),
        };
        let leaves = |key: &u8| matches!(*key, b'q' | b'Q' | INTERRUPT | END_OF_INPUT);
        Ok(typed[..length].iter().any(leaves))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back, once.
fn leave() {
    if let Some(before) = BEFORE.lock().take() {
        say(LEAVE);
        if let Some(before) = before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

/// Writes to the terminal, which may be gone.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Waits until there is something to read, or for `limit`.
pub(super) fn wait_for(other: BorrowedFd<'_>, limit: Duration) -> Result<()> {
    wait_on(&mut [PollFd::from_borrowed_fd(other, PollFlags::IN)], limit)
}

fn wait_on(polled: &mut [PollFd<'_>], limit: Duration) -> Result<()> {
    let limit = Timespec::try_from(limit).ok();
    match poll(polled, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(Error::io("waiting for the mount or a key", error.into())),
    }
}
