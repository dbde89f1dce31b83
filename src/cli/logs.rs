//! `vm0fs logs`: the log of a run, as it is or as it grows.

use super::{
    complete::values::Values,
    follow::{EVENTS, Follower, LOG},
    named::{self, Away},
    output::{start_quiet_logging, tell},
    reach::ReachOptions,
    run_path,
};
use crate::{
    config::{Environment, whole_number},
    error::Result,
};
use clap::Args;
use std::process::ExitCode;
use tracing_subscriber::filter::LevelFilter;

/// `vm0fs logs`.
#[derive(Debug, Args)]
#[command(
    after_help = "RUN is the id of a run or the beginning of it, latest, AGENT/latest, or a path of
one in a mount.

With --follow, the exit code tells how the run has ended: 0 completed, 3 failed,
4 timed out, 5 cancelled. Why a run failed is said on standard error. Ctrl-C stops
following; the run goes on.

Examples:
  vm0fs logs latest
  vm0fs logs latest --tail 20
  vm0fs logs my-agent/latest --follow
  vm0fs logs 4f1c2a9e --json | jq .type"
)]
pub struct LogsArgs {
    /// Run whose log is shown
    #[arg(value_name = "RUN", add = Values::Runs.completer())]
    run: String,
    /// Print the log as it grows, until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Print only the last N lines of what is there [default: all]
    #[arg(short = 'n', long, value_name = "N", value_parser = whole_number)]
    tail: Option<usize>,
    /// Print the agent's events as JSON, one object a line, instead of the log
    #[arg(long)]
    json: bool,
    /// What is asked for it.
    #[command(flatten)]
    reach: ReachOptions,
}

impl LogsArgs {
    /// Prints the log.
    ///
    /// # Errors
    /// For a word that names no run, and what the service refuses.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        let usual = match self.follow {
            true => LevelFilter::INFO,
            false => LevelFilter::WARN,
        };
        start_quiet_logging(self.reach.verbose, usual, environment)?;
        let (mountpoint, word) = run_path::find(&self.run)?.unzip();
        let word = word.unwrap_or(self.run);
        let source = self.reach.logged_source_at(mountpoint, environment)?;
        let run = named::run(&source, &word, Away::MeansLastKnown)?;
        let follower = Follower::new(&source, &run);
        let file = if self.json { EVENTS } else { LOG };
        match self.follow {
            true => follower.follow(file, self.tail),
            false => {
                if !follower.show(file, self.tail)? {
                    tell(&follower.why_empty()?);
                }
                if let Some(why) = follower.why_old(file) {
                    tell(&format!("{why}; the log is as it was last known"));
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
