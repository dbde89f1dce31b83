//! What a user is asked who mounts for the first time, without a token.

use crate::{
    config::{self, Environment, MountOptions},
    error::{Error, Result},
};
use std::io::{self, BufRead, IsTerminal, Write};

const QUESTION: &str = "vm0fs: there is no API token, so there is nothing of yours to mount.
Mount the demo instead, a made-up world that this program serves itself? [Y/n] ";

/// Whether a user who has no token wants the demo. Only a user at a terminal is asked.
///
/// # Errors
/// [`Error::NoToken`] for one who does not, and what is wrong with the settings.
pub(super) fn prefers_demo(environment: &Environment) -> Result<bool> {
    let is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !is_there || config::has_token(&MountOptions::default(), environment)? {
        return Ok(false);
    }
    ask(io::stdin().lock(), io::stderr())
}

/// Asks until the answer is one.
fn ask(mut answers: impl BufRead, mut terminal: impl Write) -> Result<bool> {
    loop {
        let failed = |error| Error::io("asking at the terminal", error);
        let asked = terminal.write_all(QUESTION.as_bytes());
        asked.and_then(|()| terminal.flush()).map_err(failed)?;
        let mut answer = String::new();
        let length = answers.read_line(&mut answer).map_err(failed)?;
        match answer.trim().to_lowercase().as_str() {
            // Ctrl-D is no answer.
            "" if length == 0 => {
                let _ = terminal.write_all(b"\n");
                return Err(Error::NoToken);
            }
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Err(Error::NoToken),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_demo_is_what_a_user_wants_who_says_nothing_else() {
        let asked = |answers: &str| {
            let mut shown = Vec::new();
            let answer = ask(answers.as_bytes(), &mut shown);
            (
                answer,
                String::from_utf8(shown).unwrap().matches("[Y/n]").count(),
            )
        };
        for yes in ["\n", "y\n", " YES \n"] {
            assert!(matches!(asked(yes), (Ok(true), 1)), "{yes:?}");
        }
        for no in ["n\n", "No\n", ""] {
            assert!(matches!(asked(no), (Err(Error::NoToken), 1)), "{no:?}");
        }
        assert!(matches!(asked("what?\nn\n"), (Err(Error::NoToken), 2)));
    }
}
