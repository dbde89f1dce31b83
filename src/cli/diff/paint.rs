//! Lines of a patch as they are printed: bytes as they are for files and programs; for a
//! terminal in colour, and with escapes for what would drive it.

use crate::text::push_visible;
use std::{
    ffi::OsStr,
    io::{self, IsTerminal},
};

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    /// Which file it is, and what became of it.
    Head,
    /// Where in the file the next lines are.
    Place,
    Old,
    New,
}

impl Ink {
    /// What begins it on a terminal (ECMA-48, "select graphic rendition"): the colours of
    /// `git diff`.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Place => "\x1b[36m",
            Self::Old => "\x1b[31m",
            Self::New => "\x1b[32m",
        }
    }
}

/// Lines that have not been printed yet.
#[derive(Default)]
pub(super) struct Page {
    is_terminal: bool,
    in_colour: bool,
    bytes: Vec<u8>,
}

impl Page {
    /// For standard output; `no_colour` is the variable `NO_COLOR`.
    pub(super) fn for_output(no_colour: Option<&OsStr>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            is_terminal,
            in_colour: is_terminal && no_colour.is_none_or(OsStr::is_empty),
            bytes: Vec::new(),
        }
    }

    /// Adds a line, which is given without its end.
    pub(super) fn line(&mut self, ink: Ink, line: &[u8]) {
        let code = if self.in_colour { ink.code() } else { "" };
        self.bytes.extend_from_slice(code.as_bytes());
        match self.is_terminal {
            true => {
                let mut text = String::new();
                push_visible(&mut text, &String::from_utf8_lossy(line));
                self.bytes.extend_from_slice(text.as_bytes());
            }
            false => self.bytes.extend_from_slice(line),
        }
        if !code.is_empty() {
            self.bytes.extend_from_slice(b"\x1b[m");
        }
        self.bytes.push(b'\n');
    }

    /// Takes what is to be printed.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_escapes_of_a_file() {
        let line = b"-a\x1b[2J\r\xff";
        let mut page = Page::default();
        page.line(Ink::Old, line);
        assert_eq!(page.take(), b"-a\x1b[2J\r\xff\n");
        page.is_terminal = true;
        page.line(Ink::Old, line);
        assert_eq!(page.take(), "-a\\e[2J\\x0d\u{fffd}\n".as_bytes());
        page.in_colour = true;
        page.line(Ink::New, b"+a");
        page.line(Ink::Plain, b" a");
        assert_eq!(page.take(), b"\x1b[32m+a\x1b[m\n a\n");
    }
}
