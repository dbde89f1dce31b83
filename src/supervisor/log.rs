//! The supervisor's few lines in the log.

use crate::{config::Environment, logging};

/// Writes a line to the log: that of mounts in the background, or standard error.
pub(super) fn error(line: &str, is_foreground: bool) {
    let environment = Environment::of_process();
    if let Ok(level) = logging::level(0, &environment) {
        logging::init(level, false);
    }
    if !is_foreground {
        // Without the file, it goes to standard error, and so nowhere.
        let _ = logging::state_dir(&environment).and_then(|dir| logging::to_file(&dir));
    }
    tracing::error!("{line}");
}
