//! `vm0fs cache`: lists, measures, checks, clears and pins versions in the cache.

mod report;

use super::{
    bars,
    complete::values::Values,
    mount_path::MountPath,
    output::{exit_code, print, print_json, say},
    prefetch, second,
    walk::Walk,
};
use crate::{
    config::{CacheSettings, CacheSize, Environment},
    error::{Error, Result},
    store::{Audit, CachedVersion, Cleared, Inventory},
    text::{one_line, shown},
};
use clap::{Args, Subcommand, ValueHint};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// The shortest beginning of a version's id that names it.
const PREFIX: usize = 4;
/// If another mount evicts a version before it is pinned, it is fetched again this
/// many times.
const TRIES: u32 = 3;

/// `vm0fs cache`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs cache ls                               all versions, the last used first
  vm0fs cache pin ~/vm0/volumes/model/latest   keep it
  vm0fs cache clear                            free everything that is not pinned")]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    command: CacheCommand,
    /// Folder of the cache [default: as for mount]
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    cache_dir: Option<PathBuf>,
}

/// What can be done with a cache.
#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// List the versions in the cache
    #[command(
        after_help = "Content is `cached`; `partly`, where only what was read has come; or `tree`, where only
names and sizes are there.
Verified says whether the version's id is the hash of its content.

Examples:
  vm0fs cache ls
  vm0fs cache ls --json | jq -r '.[] | select(.pinned) | .version'"
    )]
    Ls {
        /// Print the same as JSON, with whole ids
        #[arg(long)]
        json: bool,
    },
    /// Show how much of the cache is used, and by what
    #[command(after_help = "Examples:
  vm0fs cache du
  vm0fs cache du --json")]
    Du {
        /// Print the same as JSON, in bytes
        #[arg(long)]
        json: bool,
        /// Maximum size of the cache to compare with, such as 10GiB [default: as for mount]
        #[arg(long, value_name = "SIZE")]
        cache_size: Option<CacheSize>,
    },
    /// Check that the content of the cache is what was downloaded
    #[command(
        after_help = "Reads all content. Exit code 1 where something is damaged, fixed or not.

Examples:
  vm0fs cache verify
  vm0fs cache verify --fix    drop what is damaged: it is fetched again when used"
    )]
    Verify {
        /// Remove what is damaged. It is downloaded again when it is used
        #[arg(long)]
        fix: bool,
    },
    /// Remove content to free room; versions that are open or pinned stay
    #[command(after_help = "Examples:
  vm0fs cache clear                   names and sizes stay: ls and find need no network
  vm0fs cache clear --all             those as well
  vm0fs cache clear --all --pinned    everything that no process has open")]
    Clear {
        /// Remove names and sizes as well, not only content
        #[arg(long)]
        all: bool,
        /// Remove pinned versions as well
        #[arg(long)]
        pinned: bool,
    },
    /// Download versions, and keep them from being removed
    Pin(PinArgs),
    /// Let pinned versions be removed again when room is needed
    Unpin(PinArgs),
}

/// `vm0fs cache pin` and `unpin`.
#[derive(Debug, Args)]
#[command(
    after_help = "A volume or an artifact means its latest version of now. For a path, the cache is
that of its mount, unless --cache-dir names one.

Examples:
  vm0fs cache pin ~/vm0/volumes/model/latest
  vm0fs cache pin ~/vm0/runs/RUN-ID/artifact
  vm0fs cache unpin 3f9c0a7e                    an id, or its beginning, from `cache ls`"
)]
struct PinArgs {
    /// Paths in a mount (a version, or anything in it), or ids of versions
    #[arg(required = true, value_name = "PATH|ID")]
    #[arg(add = Values::InMounts.completer())]
    targets: Vec<PathBuf>,
}

impl CacheArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error::Setup`] where the command makes no sense, [`Error::Io`] where the cache
    /// cannot be read or changed.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        let own_dir = self.cache_dir.is_some();
        let size = match self.command {
            CacheCommand::Du { cache_size, .. } => cache_size,
            _ => None,
        };
        let settings = CacheSettings::load(self.cache_dir, size, environment)?;
        let open = || match Inventory::open(&settings.dir, settings.size)? {
            // A word with a slip in it.
            None if own_dir => Err(missing(&settings.dir)),
            // The folder may be one of config.toml, with a slip there.
            None => {
                say(&format!(
                    "there is no cache in {} yet",
                    shown(&settings.dir)
                ));
                Ok(None)
            }
            found => Ok(found),
        };
        match self.command {
            CacheCommand::Ls { json } => {
                let items = list(open()?.as_ref())?;
                match json {
                    true => print_json(&report::items(&items))?,
                    false => print(&report::table(&items))?,
                }
            }
            CacheCommand::Du { json, .. } => {
                let sum = open()?.map(|inventory| inventory.breakdown()).transpose()?;
                let mut sum = sum.unwrap_or_default();
                sum.ceiling = settings.size_beside(sum.total());
                match json {
                    true => print_json(&report::sums(&sum))?,
                    false => print(&report::breakdown(&sum, &settings.dir))?,
                }
            }
            CacheCommand::Verify { fix } => {
                if let Some(inventory) = open()? {
                    return verify(&inventory, fix);
                }
            }
            CacheCommand::Clear { all, pinned } => {
                let cleared = match open()? {
                    Some(inventory) => inventory.clear(all, pinned)?,
                    None => Cleared::default(),
                };
                print(&report::cleared(&cleared, all))?;
            }
            CacheCommand::Pin(args) => return each(&args, &settings, own_dir, pin),
            CacheCommand::Unpin(args) => return each(&args, &settings, own_dir, unpin),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The versions in a cache, if there is one.
fn list(inventory: Option<&Inventory>) -> Result<Vec<CachedVersion>> {
    inventory.map_or(Ok(Vec::new()), Inventory::list)
}

fn verify(inventory: &Inventory, fix: bool) -> Result<ExitCode> {
    let items = inventory.list()?;
    let all = items.iter().map(|item| item.content).sum();
    let (bar, started, mut done) = (bars::bar("verifying"), Instant::now(), 0);
    let (mut damaged, mut looked_at) = (0, 0);
    for item in &items {
        let audit = inventory.verify(&item.key, &mut |bytes| {
            done += bytes;
            bars::set(&bar, done, Some(all), started.elapsed());
        });
        if audit == Audit::Gone {
            continue;
        }
        looked_at += 1;
        let mut line = format!("{}: {}", report::title(item), report::audit(&audit));
        if audit.is_damage() {
            damaged += 1;
            if fix {
                let whole = matches!(audit, Audit::Broken(_));
                inventory.drop_damaged(&item.key, whole)?;
                line += match whole {
                    true => "; dropped with its tree",
                    false => "; dropped, to be fetched again",
                };
            }
        }
        line.push('\n');
        print(&line)?;
    }
    bars::take_away(&bar);
    print(&format!("{looked_at} verified, {damaged} damaged\n"))?;
    Ok(exit_code(damaged == 0))
}

/// What a user named.
enum Target {
    /// A version in a mount.
    MountPath(MountPath),
    /// A version in the cache alone.
    Item(Box<CachedVersion>),
}

impl Target {
    /// `trouble` is why the mount that it may be a path in cannot be used.
    fn find(target: &Path, trouble: Option<String>, which: &CacheSettings) -> Result<Self> {
        let found = match trouble {
            Some(trouble) => Err(Error::Setup(format!("{}: {trouble}", shown(target)))),
            None => MountPath::find(target),
        };
        let not_a_path = match found {
            Ok(path) => return Ok(Self::MountPath(path)),
            Err(error) => error,
        };
        let prefix = target.to_str().filter(|text| text.len() >= PREFIX);
        let Some(prefix) = prefix.filter(|text| !text.contains('/')) else {
            return Err(not_a_path);
        };
        let mut items = list(Inventory::open(&which.dir, which.size)?.as_ref())?;
        items.retain(|item| {
            let id = item.meta.as_ref().map(|meta| meta.version_id.as_str());
            id.is_some_and(|id| id.starts_with(prefix)) || item.key.starts_with(prefix)
        });
        match items.len() {
            1 => Ok(Self::Item(Box::new(items.swap_remove(0)))),
            0 => Err(Error::Setup(format!(
                "no version in {} has an id that begins with {prefix:?}; nor is it a path: \
                 {not_a_path}",
                which.dir.display()
            ))),
            n => Err(Error::Setup(format!(
                "{} begins the ids of {n} versions; write more of it",
                one_line(prefix, 80)
            ))),
        }
    }
}

/// Runs `action` on each target; fails at the end if it failed for one.
fn each(
    args: &PinArgs,
    settings: &CacheSettings,
    own_dir: bool,
    action: fn(&Target, &Path, u64) -> Result<String>,
) -> Result<ExitCode> {
    let mut failures = Vec::new();
    let mut walk = Walk::new()?;
    for target in &args.targets {
        if second::is_stopped() {
            return Err(second::stopped());
        }
        let done = Target::find(target, walk.why_unusable(target), settings).and_then(|found| {
            let dir = match &found {
                Target::MountPath(path) if !own_dir => path.cache_dir()?,
                _ => settings.dir.clone(),
            };
            action(&found, &dir, settings.size)
        });
        match done {
            Ok(line) => print(&format!("{line}\n"))?,
            Err(error) => failures.push(error.to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Error::Setup(failures.join("\n"))),
    }
}

/// The cache in a folder, which must be there.
fn open(dir: &Path, size: u64) -> Result<Inventory> {
    Inventory::open(dir, size)?.ok_or_else(|| missing(dir))
}

fn missing(dir: &Path) -> Error {
    Error::Setup(format!("there is no cache in {}", dir.display()))
}

/// Says that a version is pinned now.
fn pinned(title: &str, is_new: bool) -> String {
    format!("{title}: {}pinned", if is_new { "" } else { "already " })
}

fn pin(target: &Target, dir: &Path, size: u64) -> Result<String> {
    let path = match target {
        Target::MountPath(path) => path,
        Target::Item(item) => {
            let inventory = open(dir, size)?;
            let is_new = inventory.pin(&item.key)?;
            let title = report::title(item);
            return Ok(match inventory.has_content(&item.key) {
                true => pinned(&title, is_new),
                false => format!(
                    "{title}: pinned; its content is not there: fetch it with vm0fs prefetch PATH"
                ),
            });
        }
    };
    let shown = &path.shown;
    let key = path.key()?;
    for _ in 0..TRIES {
        if path.attribute("cached")?.as_deref() != Some("yes") {
            fetch(path)?;
        }
        if let Some(inventory) = Inventory::open(dir, size)? {
            match inventory.pin(&key) {
                // From here on no mount evicts it.
                Ok(is_new) if inventory.has_content(&key) => return Ok(pinned(shown, is_new)),
                // Evicted in between.
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if path.attribute("file_count")?.as_deref() == Some("0") {
            return Ok(format!("{shown}: has no files, so there is nothing to pin"));
        }
    }
    Err(Error::Setup(format!(
        "{shown} is not in the cache {} (does the mount use another, or is it evicted at once?)",
        dir.display()
    )))
}

fn fetch(path: &MountPath) -> Result<()> {
    match prefetch::wait_for(std::slice::from_ref(&path.root))? {
        ExitCode::SUCCESS => Ok(()),
        _ => Err(Error::Setup(format!(
            "{} cannot be fetched, and so not pinned",
            path.shown
        ))),
    }
}

fn unpin(target: &Target, dir: &Path, size: u64) -> Result<String> {
    let (title, key) = match target {
        Target::MountPath(path) => (path.shown.clone(), path.key()?),
        Target::Item(item) => (report::title(item), item.key.clone()),
    };
    Ok(match open(dir, size)?.unpin(&key) {
        Ok(true) => format!("{title}: no longer pinned"),
        Ok(false) | Err(Error::NotFound(_)) => format!("{title}: was not pinned"),
        Err(error) => return Err(error),
    })
}
