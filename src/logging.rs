//! Where the log goes, and how much of it: to standard error, or once a mount is in
//! the background to a file that only its owner may read and that stays small.
//!
//! Other crates log warnings only, at any level: their details hold whole URLs, and
//! with them presigned queries.

use crate::{
    config::Environment,
    error::{Error, Result},
    sync::{Mutex, MutexGuard},
};
use indicatif::MultiProgress;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets, dynamic_filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The log's name in the state folder; the one before has `.1` after it.
const FILE: &str = "vm0fs.log";

/// A log larger than this makes way for a new one, so that two files hold
/// twice as much at most: days of ordinary use, an hour of the finest detail.
const MAX_FILE: u64 = 4 << 20;

/// Where every line goes; `None` is standard error. Locked for one write.
static OUTPUT: Mutex<Option<LogFile>> = Mutex::new(None);

/// What notes the failures of fetches in the log.
const FAILURES: &str = concat!(env!("CARGO_CRATE_NAME"), "::tree::answers::failure_log");

/// Whether these are told: not before a command goes on after them.
static TELLS_FAILURES: AtomicBool = AtomicBool::new(true);

/// The progress bars on standard error, where there are any.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Progress bars on standard error that lines of the log do not cut. They are seen only
/// where that is a terminal.
pub fn bars() -> &'static MultiProgress {
    BARS.get_or_init(MultiProgress::new)
}

/// Writes to the terminal while the progress bars are away, which are drawn again below.
pub fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// Takes the progress bars away that are drawn: a process that ends or is killed leaves
/// them.
pub fn clear_bars() {
    if let Some(bars) = BARS.get() {
        let _ = bars.clear();
    }
}

/// How much is logged: each `-v` is one level more than `info`; without one,
/// `VM0FS_LOG` says it (`off`, `error`, `warn`, `info`, `debug`, `trace`).
///
/// # Errors
/// [`Error::Setup`] for another word in `VM0FS_LOG`.
pub fn level(verbosity: u8, environment: &Environment) -> Result<LevelFilter> {
    match (verbosity, environment.text("VM0FS_LOG")?) {
        (0, None) => Ok(LevelFilter::INFO),
        (0, Some(word)) => word.trim().parse().map_err(|_| {
            Error::Setup(format!(
                "VM0FS_LOG: {word:?} is no level; use off, error, warn, info, debug or trace"
            ))
        }),
        (1, _) => Ok(LevelFilter::DEBUG),
        (2.., _) => Ok(LevelFilter::TRACE),
    }
}

/// Begins to log to standard error. A second call changes nothing.
/// `colour` only where that is a terminal for as long as the process lives.
pub fn init(level: LevelFilter, colour: bool) {
    begin(filter(level), colour);
}

/// The same for a command that reports the failures it meets itself, until
/// [`tell_failures`].
pub fn init_for_command(level: LevelFilter) {
    TELLS_FAILURES.store(false, Relaxed);
    begin(filter(level), false);
}

/// Logs the failures of fetches from now on: the command goes on after them.
pub fn tell_failures() {
    TELLS_FAILURES.store(true, Relaxed);
}

fn begin(filter: Targets, colour: bool) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(|| Line(OUTPUT.lock()))
        .with_ansi(colour)
        // A full disk must not turn each line of the log into two.
        .log_internal_errors(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(dynamic_filter_fn(|event, _| {
            event.target() != FAILURES || TELLS_FAILURES.load(Relaxed)
        }))
        .with(layer)
        .try_init();
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs where a panic was, which a mount in the background could not print. Its message
/// is left out, since it can quote anything, secrets too.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".into());
    tracing::error!("a defect: panicked at {place}; please report this");
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // An answer to a request that the kernel has meanwhile given up, or that another
        // worker has answered, is no error.
        .with_target("fuser::reply", LevelFilter::OFF)
}

/// The folder of the log: `$XDG_STATE_HOME/vm0fs`, by default `~/.local/state/vm0fs`.
///
/// # Errors
/// [`Error::Setup`] where the home is not known.
pub fn state_dir(environment: &Environment) -> Result<PathBuf> {
    Ok(environment
        .xdg("XDG_STATE_HOME", ".local/state")?
        .join("vm0fs"))
}

/// Logs to a file in `dir` from now on, and makes that folder where it is missing;
/// returns the file's path. For the process that stays in the background.
///
/// # Errors
/// [`Error::Io`], and then the log goes on to standard error.
pub fn to_file(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(FILE);
    let file = LogFile::open(&path)
        .map_err(|error| Error::file(format!("opening the log {}", path.display()), error))?;
    *OUTPUT.lock() = Some(file);
    Ok(path)
}

/// The output for the length of one line.
struct Line(MutexGuard<'static, Option<LogFile>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0 {
            Some(file) => file.write(bytes),
            None => beside_bars(|| io::stderr().write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log in the background.
struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // Another mount of the same user may have rotated already.
        if fs::symlink_metadata(path).is_ok_and(|data| data.len() > MAX_FILE) {
            fs::rename(path, path.with_extension("log.1"))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let length = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length > MAX_FILE {
            match Self::open(&self.path) {
                Ok(file) => *self = file,
                // Tried again after as much again: the old file is still good.
                Err(_) => self.length = 0,
            }
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_level_comes_from_flags_or_else_from_vm0fs_log() {
        let with = |word: &str| Environment {
            variables: [("VM0FS_LOG".into(), word.into())].into(),
            ..Environment::default()
        };
        assert_eq!(level(0, &with("")).unwrap(), LevelFilter::INFO);
        assert_eq!(level(0, &with("Debug")).unwrap(), LevelFilter::DEBUG);
        assert_eq!(level(0, &with("off")).unwrap(), LevelFilter::OFF);
        assert_eq!(level(1, &with("error")).unwrap(), LevelFilter::DEBUG);
        assert_eq!(level(9, &with("")).unwrap(), LevelFilter::TRACE);
        let message = level(0, &with("hyper=trace")).unwrap_err().to_string();
        assert!(message.contains("VM0FS_LOG"), "{message}");
    }

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_keep_their_details() {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(filter(LevelFilter::TRACE))
            .with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "hyper_util::client", "GET /x?sig=hidden");
            tracing::info!(target: "vm0fs_other", "hidden");
            tracing::warn!(target: "fuser", "loud");
            tracing::trace!("own detail");
        });
        let text = String::from_utf8(memory.0.lock().clone()).unwrap();
        assert!(
            text.contains("loud") && text.contains("own detail"),
            "{text}"
        );
        assert!(!text.contains("sig="), "{text}");
    }

    #[test]
    fn the_file_is_private_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b").join(FILE);
        let mut file = LogFile::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let line = vec![b'x'; 1 << 20];
        for _ in 0..12 {
            file.write(&line).unwrap();
        }
        let mut total = 0;
        for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
            let data = entry.unwrap().metadata().unwrap();
            assert!(data.len() <= MAX_FILE + line.len() as u64);
            total += 1;
        }
        assert_eq!(total, 2);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(
            LogFile::open(&path).is_err(),
            "a planted link is not followed"
        );
    }
}
