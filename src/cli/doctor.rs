//! `vm0fs doctor`: checks all that a mount needs, says what is wrong and what to do
//! about it, and mends what it safely can. It needs no mount, no token and no network.

mod cache;
mod check;
mod machine;
mod mounted;
mod report;
mod secret_files;
mod service;
mod shared;

use self::{
    check::{Check, Level},
    report::Secrets,
};
use super::output::{exit_code, print, print_json, start_logging};
use crate::{
    config::{self, ConnectionOptions, Environment, MountOptions, Settings},
    error::Result,
};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// `vm0fs doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "One line a check: ok, warn or fail, what was looked at, what was found, and what
to do. Exit code 1 where something fails.

--fix unmounts dead mounts, removes what dead processes have left in the cache,
and makes the folders of the cache and the log private.

--report adds versions, system, settings with their sources, mounts, and the last
errors. Tokens are left out, and your home folder is ~; names of agents, runs and
hosts are not: read it before you paste it.

Examples:
  vm0fs doctor
  vm0fs doctor --report > report.txt
  vm0fs doctor --fix
  vm0fs doctor --json | jq -r '.checks[] | select(.level == \"fail\") | .advice'"
)]
pub struct DoctorArgs {
    /// Mend what can be mended safely, and say what was done
    #[arg(long)]
    fix: bool,
    /// Print the same as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Print all that a bug report needs, without secrets, to be pasted into one
    #[arg(long, conflicts_with_all = ["json", "fix"])]
    report: bool,
    /// How to reach the service.
    #[command(flatten)]
    connection: ConnectionOptions,
}

impl DoctorArgs {
    /// Checks, mends, and prints what it found.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        // Before messages are shown: a file with a secret that others may read is a check here.
        let options = MountOptions::from(self.connection);
        let settings = Settings::load(options.clone(), environment);
        let described = config::describe(&options, environment);
        let secret_files = secret_files::check(&options, environment);
        start_logging(0, false, environment)?;
        let allow_other = |settings: &Settings| settings.options.allow_other;
        let mut checks = machine::check(environment, settings.as_ref().is_ok_and(allow_other));
        checks.extend(mounted::check(self.fix));
        checks.extend(service::check(&settings));
        checks.extend(secret_files);
        checks.extend(settings.as_ref().ok().and_then(shared::check));
        let dir = options.connection.cache_dir.clone();
        checks.extend(cache::check(dir, environment, self.fix));
        checks.push(machine::updatedb());

        let ok = checks.iter().all(|check| check.level != Level::Fail);
        if self.report {
            let secrets = Secrets::new(&options, &settings, environment);
            print(&report::text(&secrets, described, &checks, environment))?;
            return Ok(exit_code(ok));
        }
        match self.json {
            true => print_json(&json!({"ok": ok, "checks": checks}))?,
            false => print(&checks.iter().map(Check::line).collect::<String>())?,
        }
        Ok(exit_code(ok))
    }
}
