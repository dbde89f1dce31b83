//! `vm0fs doctor`: looks at all that a mount needs, says what is wrong and what
//! to do about it, and does what is safe. Works without a mount, without a
//! token and without a network.

mod cache;
mod check;
mod machine;
mod mounted;
mod service;

use self::check::{Check, Level};
use super::output::{print, start_logging};
use crate::{
    config::{ConnectionOptions, Environment, Settings},
    error::{Error, Result},
};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// `vm0fs doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "One line a check: ok, warn or fail, what was looked at, what was found, and what
to do. Exit code 1 where something fails.

--fix unmounts dead mounts, removes what dead processes have left in the cache,
and makes the folders of the cache and the log private.

Examples:
  vm0fs doctor
  vm0fs doctor --fix
  vm0fs doctor --json | jq -r '.checks[] | select(.level == \"fail\") | .advice'"
)]
pub struct DoctorArgs {
    /// Mend what can be mended safely, and say what was done
    #[arg(long)]
    pub fix: bool,
    /// Print the same as JSON, for programs
    #[arg(long)]
    pub json: bool,
    /// How to reach the service.
    #[command(flatten)]
    pub connection: ConnectionOptions,
}

/// All of it, for programs.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
}

impl DoctorArgs {
    /// Looks, mends, and prints what was found.
    ///
    /// # Errors
    /// [`Error::Io`] where standard output cannot be written.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        // A token file that others may read is warned of.
        start_logging(0, false, environment)?;
        let settings = Settings::load(self.connection.clone(), environment);
        let allow_other = settings.as_ref().is_ok_and(|settings| settings.allow_other);
        let mut checks = machine::check(environment, allow_other);
        checks.extend(mounted::check(self.fix));
        checks.extend(service::check(&settings));
        checks.extend(cache::check(self.connection, environment, self.fix));
        checks.push(machine::updatedb());

        let ok = checks.iter().all(|check| check.level != Level::Fail);
        let text = match self.json {
            true => {
                let report = Report {
                    ok,
                    checks: &checks,
                };
                serde_json::to_string_pretty(&report)
                    .map_err(|error| Error::Internal(error.to_string()))?
                    + "\n"
            }
            false => checks.iter().map(Check::line).collect(),
        };
        print(&text)?;
        Ok(match ok {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}
