//! What commands write to standard output and standard error.

use crate::{
    config::Environment,
    error::{Error, Result, TransportKind},
    logging,
    shared::SHARED,
    text::one_line,
};
use serde::Serialize;
use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};
use tracing_subscriber::filter::LevelFilter;

/// Characters of a line on standard error.
const LONGEST_LINE: usize = 2_000;

/// Writes a command's result. A reader that has gone (`| head`) is no failure.
///
/// # Errors
/// [`Error::Io`] where standard output cannot be written.
pub(super) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes()).map(|_| ())
}

/// The same for bytes that may be no text. Returns whether there still is a reader.
///
/// # Errors
/// [`Error::Io`] where standard output cannot be written.
pub(super) fn print_bytes(text: &[u8]) -> Result<bool> {
    let mut out = io::stdout().lock();
    match logging::beside_bars(|| out.write_all(text).and_then(|()| out.flush())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Setup(unwritten(&error))),
    }
}

/// Writes a command's result as JSON, for programs.
///
/// # Errors
/// [`Error::Io`] where standard output cannot be written.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::Internal(error.to_string()))?;
    print(&(text + "\n"))
}

/// What is wrong with standard output. It is no part of the cache, also where its disk is
/// full.
fn unwritten(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space where it goes"
        }
        _ => "",
    };
    format!("standard output cannot be written: {error}{advice}")
}

/// Writes a line to standard error. A closed or a full one is no failure.
pub(super) fn tell(text: &str) {
    say(&one_line(text, LONGEST_LINE));
}

/// The same for a text of several lines.
pub fn say(text: &str) {
    let _ = logging::beside_bars(|| writeln!(io::stderr(), "vm0fs: {text}"));
}

/// Prints what the parser of the arguments has to say: help, or what is wrong with them;
/// gives the exit code.
pub fn usage(said: &clap::Error) -> ExitCode {
    match said.print() {
        Err(error) if !said.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            say(&unwritten(&error));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(1)),
    }
}

/// The columns of the terminal that standard output is; `None` where it is none.
pub(super) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // Some terminals do not know.
    Some(match size.ws_col {
        0 => 80,
        columns => columns.into(),
    })
}

/// The exit code that tells whether all is well.
pub(super) fn exit_code(is_well: bool) -> ExitCode {
    ExitCode::from(u8::from(!is_well))
}

/// Begins to log to standard error, at a level that is the usual one, but for failures of
/// fetches, which the command reports when it ends; with a verbosity, more, and these too.
///
/// # Errors
/// [`Error::Setup`] for a bad `VM0FS_LOG`.
pub(super) fn start_quiet_logging(
    verbosity: u8,
    usual: LevelFilter,
    environment: &Environment,
) -> Result<()> {
    match (verbosity, environment.text("VM0FS_LOG")?) {
        (0, None) => logging::init_for_command(usual),
        _ => logging::init(logging::level(verbosity, environment)?, false),
    }
    Ok(())
}

/// An error, and what to do about it, also where it does not say so itself.
pub fn with_advice(error: &Error) -> String {
    match error {
        Error::Transport(transport) if transport.kind == TransportKind::Connect => format!(
            "{error}; see that the network is up and the address is right (--api-url, \
             HTTPS_PROXY); `vm0fs doctor` finds out more"
        ),
        Error::Transport(transport) if transport.request.starts_with(SHARED) => format!(
            "{error}; see that the store is there and that you may use it (--shared-cache, \
             VM0FS_SHARED_CACHE or shared-cache in config.toml names it); `vm0fs help fleets` says \
             what it needs"
        ),
        _ => error.to_string(),
    }
}

/// Begins to log to standard error, in colour where that stays a terminal.
///
/// # Errors
/// [`Error::Setup`] for a bad `VM0FS_LOG`.
pub(super) fn start_logging(
    verbosity: u8,
    foreground: bool,
    environment: &Environment,
) -> Result<()> {
    let no_colour = environment.variables.get(OsStr::new("NO_COLOR"));
    let may_colour = foreground && no_colour.is_none_or(|value| value.is_empty());
    let colour = may_colour && io::stderr().is_terminal();
    logging::init(logging::level(verbosity, environment)?, colour);
    Ok(())
}
