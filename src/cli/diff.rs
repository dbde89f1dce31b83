//! `vm0fs diff`: what two versions of an artifact or a volume differ in.
//!
//! The comparison needs only the versions' indexes, which have the hash of every file:
//! content is read for what is shown as a patch, and for nothing else.

mod change;
mod compare;
mod lists;
mod names;
mod paint;
mod patch;
mod renames;
mod side;
mod way;

use super::{
    output::{print, print_bytes, print_json, start_logging},
    second,
};
use crate::{
    config::{ConnectionOptions, Environment, MountOptions, Settings},
    error::{Error, Result},
    mount,
    text::one_line,
};
use change::Change;
use clap::{ArgAction, Args};
use paint::Page;
use side::Side;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};
use way::Way;

/// The exit code for versions that differ, and for trouble (POSIX, `diff`).
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;
/// Characters of a name in a message.
const SHOWN: usize = 200;

/// `vm0fs diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "OLD and NEW are ids of versions, their first 8 characters or more, or `latest`.
Through your mount if there is one, and otherwise by itself. What is compared are
names, kinds, modes and hashes, not times; empty folders are no files. Content is
fetched for files that are shown as a patch, and not for the other forms.

Exit codes: 0 no differences, 1 some, 2 trouble.

Examples:
  vm0fs diff report 3f9c0a7e latest
  vm0fs diff ~/vm0/artifacts/report 3f9c0a7e latest src/ | less
  vm0fs diff volumes/raw-sales 3f9c0a7e latest --name-status
  vm0fs diff report 3f9c0a7e latest > changes.patch   for git apply or patch -p1"
)]
pub struct DiffArgs {
    /// Name of an artifact, artifacts/NAME, volumes/NAME, or a path of one in a mount
    #[arg(value_name = "ARTIFACT")]
    named: PathBuf,
    /// The version to compare from, such as 3f9c0a7e
    old: String,
    /// The version to compare with, such as latest
    new: String,
    /// A file or folder of the versions, to compare nothing else [default: all of them]
    path: Option<OsString>,
    /// Show a table of sizes instead of a patch
    #[arg(long, group = "form")]
    stat: bool,
    /// Show each path with a letter instead: A added, D deleted, M modified, R renamed, T type
    #[arg(long, group = "form")]
    name_status: bool,
    /// Print the differences as JSON, with sizes and hashes
    #[arg(long, group = "form")]
    json: bool,
    /// How to reach the service.
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Compare in this very process, in this folder of a mount.
    #[arg(long, hide = true)]
    through: Option<PathBuf>,
}

impl DiffArgs {
    /// Compares, prints, and tells by the exit code what came of it.
    pub fn run(self, environment: &Environment) -> ExitCode {
        match self.compare(environment) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("vm0fs: {error}");
                ExitCode::from(TROUBLE)
            }
        }
    }

    fn compare(&self, environment: &Environment) -> Result<ExitCode> {
        start_logging(self.verbose, false, environment)?;
        if let Some(storage) = &self.through {
            let side = |version| Side::in_mount(storage, version);
            return self.show(environment, storage, &side(&self.old)?, &side(&self.new)?);
        }
        match Way::to(&self.named, &self.connection)? {
            Way::Mount(storage) => second::wait_for(self.again(&storage)),
            Way::Service(kind, name) => {
                let settings =
                    Settings::load(MountOptions::from(self.connection.clone()), environment)?;
                let (_tree, pending) = mount::open(&settings)?;
                let names = [kind.as_bytes(), &name];
                let side = |version| Side::in_tree(&pending, names, version);
                let storage = Path::new(kind).join(OsStr::from_bytes(&name));
                self.show(environment, &storage, &side(&self.old)?, &side(&self.new)?)
            }
        }
    }

    /// The arguments of the process that compares in a folder of a mount.
    fn again(&self, storage: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["diff".into(), "--through".into(), storage.into()];
        for (is_set, flag) in [
            (self.stat, "--stat"),
            (self.name_status, "--name-status"),
            (self.json, "--json"),
        ] {
            arguments.extend(is_set.then(|| flag.into()));
        }
        arguments.extend((0..self.verbose).map(|_| "-v".into()));
        arguments.push("--".into());
        arguments.push(self.named.clone().into());
        arguments.extend([&self.old, &self.new].map(OsString::from));
        arguments.extend(self.path.clone());
        arguments
    }

    fn show(
        &self,
        environment: &Environment,
        storage: &Path,
        old: &Side<'_>,
        new: &Side<'_>,
    ) -> Result<ExitCode> {
        let within = self.path.as_deref().unwrap_or_default();
        let changes = compare::compare(old.index(), new.index(), within.as_bytes());
        let changes = changes.map_err(|error| match within.is_empty() {
            true => error,
            false => {
                let shown = one_line(&within.to_string_lossy(), SHOWN);
                Error::Setup(format!("{shown}: {error}"))
            }
        })?;
        let changes = renames::pair(changes);
        if self.json {
            // Kind and name, wherever it is mounted.
            let names: Vec<_> = storage.iter().rev().take(2).collect();
            let names: PathBuf = names.into_iter().rev().collect();
            print_json(&lists::json(&names.to_string_lossy(), old, new, &changes))?;
        } else if self.stat {
            print(&lists::stat(&changes))?;
        } else if self.name_status {
            for piece in lists::name_status(&changes) {
                if !print_bytes(&piece)? {
                    break;
                }
            }
        } else {
            print_patches(environment, &changes, old, new)?;
        }
        Ok(ExitCode::from(match changes.is_empty() {
            true => 0,
            false => DIFFERENT,
        }))
    }
}

/// Prints the patches, until the reader has gone.
fn print_patches(
    environment: &Environment,
    changes: &[Change],
    old: &Side<'_>,
    new: &Side<'_>,
) -> Result<()> {
    let no_colour = environment.variables.get(OsStr::new("NO_COLOR"));
    let mut page = Page::for_output(no_colour.map(OsString::as_os_str));
    for change in changes {
        patch::write(&mut page, change, old, new)?;
        if !print_bytes(&page.take())? {
            break;
        }
    }
    Ok(())
}
