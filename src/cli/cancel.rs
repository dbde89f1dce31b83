//! `vm0fs cancel`: cancels runs, and says what became of each.

use super::{
    complete::values::Values,
    follow::has_ended,
    named::{self, Away},
    output::{exit_code, print, start_quiet_logging, tell, with_advice},
    reach::ReachOptions,
    run_path,
    source::Source,
};
use crate::{config::Environment, error::Result};
use clap::Args;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    process::ExitCode,
};
use tracing_subscriber::filter::LevelFilter;

/// `vm0fs cancel`.
#[derive(Debug, Args)]
#[command(
    after_help = "RUN is the id of a run or the beginning of it, latest, AGENT/latest, or a path of
one in a mount. For all but a whole id the service is asked which run that is now. A
line a run says what became of it. A run that has ended already is left as it is,
which is no failure. Exit code 1 where a run could not be cancelled; the others are.

Examples:
  vm0fs cancel my-agent/latest
  vm0fs cancel 4f1c2a9e 77b0d1c4
  vm0fs ls runs --status running --json | jq -r .id | xargs -r vm0fs cancel"
)]
pub struct CancelArgs {
    /// Runs that are to be cancelled
    #[arg(required = true, value_name = "RUN", add = Values::Runs.completer())]
    runs: Vec<String>,
    /// What is asked to do it.
    #[command(flatten)]
    reach: ReachOptions,
}

impl CancelArgs {
    /// Cancels the runs.
    ///
    /// # Errors
    /// For a bad `VM0FS_LOG`. What fails for one run is said, and leaves the others to be
    /// cancelled.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        let reach = self.reach.changing();
        start_quiet_logging(reach.verbose, LevelFilter::WARN, environment)?;
        // By the mounts that the runs are named in.
        let mut sources = BTreeMap::new();
        let mut is_well = true;
        let mut one = |word: &String| -> Result<String> {
            let (mountpoint, name) = run_path::find(word)?.unzip();
            let source = match sources.entry(mountpoint.clone()) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(reach.clone().logged_source_at(mountpoint, environment)?)
                }
            };
            let run = named::run(source, name.as_ref().unwrap_or(word), Away::Fails)?;
            Ok(format!("{run}: {}\n", cancel(source, &run)?))
        };
        for word in &self.runs {
            let told = match one(word) {
                // The others are to be cancelled all the same.
                Ok(line) => {
                    print(&line).map_err(|error| format!("{}; but {error}", line.trim_end()))
                }
                Err(error) => Err(format!("{word}: {}", with_advice(&error))),
            };
            if let Err(told) = told {
                is_well = false;
                tell(&told);
            }
        }
        Ok(exit_code(is_well))
    }
}

/// Cancels a run; gives what became of it.
fn cancel(source: &Source, run: &str) -> Result<String> {
    let status = || source.text(&["runs", run, "status"]);
    let over = |word: &str| format!("had ended before: {word}");
    let before = status()?;
    if has_ended(&before) {
        return Ok(over(&before));
    }
    match source.write(&["runs", run, "cancel"], b"1") {
        Ok(()) => status(),
        // It may have ended meanwhile.
        Err(error) => match status() {
            Ok(now) if has_ended(&now) => Ok(over(&now)),
            _ => Err(error),
        },
    }
}
