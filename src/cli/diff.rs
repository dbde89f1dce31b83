//! `vm0fs diff`: what two versions of an artifact or a volume differ in.
//!
//! The comparison needs only the versions' indexes, which have the hash of every file:
//! content is read for what is shown as a patch, and otherwise only where a fleet has lost
//! the hashes.

mod binary;
mod change;
mod compare;
mod lists;
mod names;
mod paint;
mod patch;
mod renames;
mod side;
mod storage;

use super::{
    complete::values::Values,
    output::{print, print_bytes, print_json, tell, with_advice},
    reach::ReachOptions,
    second,
    source::Source,
};
use crate::{
    config::Environment,
    error::{Error, Result},
    text,
};
use change::Change;
use clap::Args;
use paint::Page;
use side::Side;
use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};
pub(super) use storage::Storage;

/// The exit code for versions that differ, and for trouble (POSIX, `diff`).
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

/// `vm0fs diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "OLD and NEW are ids of versions, their first 8 characters or more, or `latest`.
Through your mount if there is one, and otherwise by itself. What is compared are
names, kinds, modes and hashes, not times; empty folders are no files. Content is
fetched for files that are shown as a patch, and not for the other forms.

Exit codes: 0 no difference, 1 differences, 2 trouble or wrong usage.

Examples:
  vm0fs diff report 3f9c0a7e latest
  vm0fs diff ~/vm0/artifacts/report 3f9c0a7e latest src/ | less
  vm0fs diff volumes/raw-sales 3f9c0a7e latest --name-status
  vm0fs diff report 3f9c0a7e latest --binary > changes.patch   for git apply"
)]
pub struct DiffArgs {
    /// Name of an artifact, artifacts/NAME, volumes/NAME, or a path of one in a mount
    #[arg(value_name = "ARTIFACT", add = Values::Storages.completer())]
    named: PathBuf,
    /// The version to compare from, such as 3f9c0a7e
    #[arg(add = Values::Versions.completer())]
    old: String,
    /// The version to compare with, such as latest
    #[arg(add = Values::Versions.completer())]
    new: String,
    /// A file or folder of the versions, to compare nothing else [default: all of them]
    path: Option<OsString>,
    /// How the differences are shown.
    #[command(flatten)]
    form: Form,
    /// What is asked for them.
    #[command(flatten)]
    reach: ReachOptions,
    /// Compare in this very process.
    #[arg(long, hide = true)]
    worker: bool,
}

/// How the differences are shown; a patch of text if none of these.
#[derive(Clone, Copy, Debug, Args)]
struct Form {
    /// Show a table of sizes instead of a patch
    #[arg(long, group = "shown")]
    stat: bool,
    /// Show each path with a letter instead: A added, D deleted, M modified, R renamed, T type
    #[arg(long, group = "shown")]
    name_status: bool,
    /// Print the differences as JSON, with sizes and hashes
    #[arg(long, group = "shown")]
    json: bool,
    /// Put binary and very large files into the patch too, for git apply
    #[arg(long, group = "shown")]
    binary: bool,
}

impl Form {
    fn flag(self) -> Option<&'static str> {
        match self {
            Self { stat: true, .. } => Some("--stat"),
            Self {
                name_status: true, ..
            } => Some("--name-status"),
            Self { json: true, .. } => Some("--json"),
            Self { binary: true, .. } => Some("--binary"),
            _ => None,
        }
    }
}

impl DiffArgs {
    /// Compares, prints, and tells by the exit code what came of it.
    pub fn run(self, environment: &Environment) -> ExitCode {
        match self.compare(environment) {
            Ok(code) => code,
            Err(error) => {
                tell(&with_advice(&error));
                ExitCode::from(TROUBLE)
            }
        }
    }

    fn compare(self, environment: &Environment) -> Result<ExitCode> {
        let Self { named, form, .. } = self;
        let storage = Storage::find(&named)?;
        let within = self.path.unwrap_or_default();
        let source = match (&storage.mountpoint, self.worker) {
            (Some(mountpoint), true) => Source::Mount(mountpoint.clone()),
            (mountpoint, _) => self.reach.source_at(mountpoint.clone(), environment)?,
        };
        if let (Source::Mount(mountpoint), false) = (&source, self.worker) {
            let name = OsStr::from_bytes(&storage.name);
            let named = mountpoint.join(storage.kind).join(name);
            let arguments = ["diff", "--worker"].map(OsString::from).into_iter();
            let arguments = arguments.chain(form.flag().map(OsString::from));
            let rest = ["--".into(), named.into(), self.old.into(), self.new.into()];
            let path = (!within.is_empty()).then_some(within);
            return second::wait_for(arguments.chain(rest).chain(path));
        }
        let old = Side::find(&source, &storage, &self.old)?;
        let new = Side::find(&source, &storage, &self.new)?;
        let changes = compare::compare(old.index(), new.index(), within.as_bytes());
        let changes = changes.map_err(|error| match within.is_empty() {
            true => error,
            false => {
                let shown = text::shown(Path::new(&within));
                Error::Setup(format!("{shown}: {error}"))
            }
        })?;
        let changes = renames::pair(changes);
        match form {
            Form { json: true, .. } => {
                print_json(&lists::json(&storage.shown(), &old, &new, &changes))?;
            }
            Form { stat: true, .. } => print(&lists::stat(&changes))?,
            Form {
                name_status: true, ..
            } => print_all(lists::name_status(&changes).map(Ok))?,
            Form { binary, .. } => print_patches(environment, &changes, (&old, &new), binary)?,
        }
        Ok(ExitCode::from(match changes.is_empty() {
            true => 0,
            false => DIFFERENT,
        }))
    }
}

/// Prints one piece after another, until the reader has gone.
fn print_all(pieces: impl Iterator<Item = Result<Vec<u8>>>) -> Result<()> {
    for piece in pieces {
        if !print_bytes(&piece?)? {
            break;
        }
    }
    Ok(())
}

/// Prints the patches, and says of a patch that is kept what it cannot make.
fn print_patches(
    environment: &Environment,
    changes: &[Change],
    sides: (&Side<'_>, &Side<'_>),
    is_binary: bool,
) -> Result<()> {
    let no_colour = environment.variables.get(OsStr::new("NO_COLOR"));
    let mut page = Page::for_output(no_colour.map(OsString::as_os_str));
    let mut left_out = 0;
    print_all(changes.iter().map(|change| {
        let is_whole = patch::write(&mut page, change, sides, is_binary)?;
        left_out += usize::from(!is_whole);
        Ok(page.take())
    }))?;
    if left_out > 0 && !io::stdout().is_terminal() {
        let advice = match is_binary {
            true => "too large; git apply wants --exclude=PATH for each",
            false => "binary or very large; --binary puts them in, for git apply",
        };
        tell(&format!(
            "files that this patch cannot make: {left_out} ({advice})"
        ));
    }
    Ok(())
}
