//! `vm0fs shared-cache`: sets up, measures and prunes what a fleet shares.

use super::output::{print, print_json, say};
use crate::{
    config::{
        self, ConnectionOptions, Environment, HOUR, MountOptions, SharedCacheOptions,
        SharedCacheSettings, Span,
    },
    error::{Error, Result},
    humanize,
    shared::{Removed, SharedCache, SharedKey, Sum},
};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

/// An age for pruning: none so short that a process loses an object that it has just looked up.
type Age = Span<HOUR>;

/// `vm0fs shared-cache`.
#[derive(Debug, Args)]
#[command(after_help = "The guide: vm0fs help fleets

Examples:
  vm0fs shared-cache init --shared-cache s3://ci-cache/vm0fs
  vm0fs shared-cache status
  vm0fs shared-cache prune --older-than 30d")]
pub struct SharedCacheArgs {
    /// What to do.
    #[command(subcommand)]
    command: SharedCacheCommand,
}

/// What can be done with a shared cache.
#[derive(Debug, Subcommand)]
enum SharedCacheCommand {
    /// Make a key where there is none, try the store out, and say what every machine needs
    Init(Which),
    /// Show whether the store can be reached, and what it holds
    Status(StatusArgs),
    /// Remove what was written long ago, of all keys
    Prune(PruneArgs),
}

/// Which shared cache.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs shared-cache init --shared-cache s3://ci-cache/vm0fs
  vm0fs shared-cache init --shared-cache file:///mnt/vm0fs --shared-cache-key-file fleet.key")]
struct Which {
    /// Where it is.
    #[command(flatten)]
    shared: SharedCacheOptions,
    /// Permit an endpoint with plain http:// on another machine
    #[arg(long)]
    allow_http: bool,
}

/// `vm0fs shared-cache status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs shared-cache status
  vm0fs shared-cache status --json | jq .bytes")]
struct StatusArgs {
    /// Print the same as JSON, in bytes
    #[arg(long)]
    json: bool,
    /// Which shared cache.
    #[command(flatten)]
    which: Which,
}

/// `vm0fs shared-cache prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs shared-cache prune --older-than 30d")]
struct PruneArgs {
    /// Age from which objects are removed, such as 30d or 12h; 1h or longer
    #[arg(long, value_name = "DURATION", required = true)]
    older_than: Age,
    /// Which shared cache.
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn settings(self, environment: &Environment) -> Result<SharedCacheSettings> {
        let arguments = MountOptions {
            connection: ConnectionOptions {
                allow_http: self.allow_http,
                ..ConnectionOptions::default()
            },
            shared: self.shared,
            ..MountOptions::default()
        };
        config::shared_cache(arguments, environment)?.ok_or_else(|| {
            Error::Setup(
                "no shared cache is named; name one with --shared-cache URL, such as \
                 s3://bucket/prefix or file:///folder"
                    .into(),
            )
        })
    }

    /// For what needs no key: the objects of all keys are alike. The store has been asked for
    /// something small: one that is silent is told of soon.
    fn open(self, environment: &Environment) -> Result<(SharedCache, String)> {
        let access = self.settings(environment)?.access;
        let cache = SharedCache::open(&access, &SharedKey::generate()?)?;
        cache.reach()?;
        Ok((cache, access.url))
    }
}

impl SharedCacheArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error::Setup`] for settings that cannot be used, [`Error::Transport`] where the
    /// store cannot be reached or refuses.
    pub fn run(self, environment: &Environment) -> Result<()> {
        match self.command {
            SharedCacheCommand::Init(which) => init(which.settings(environment)?, environment),
            SharedCacheCommand::Status(args) => {
                let (cache, url) = args.which.open(environment)?;
                let start = Instant::now();
                let sum @ Sum { objects, bytes } = cache.sum()?;
                let took = start.elapsed().as_millis();
                match args.json {
                    true => print_json(&json!({"url": url, "objects": objects, "bytes": bytes})),
                    false => print(&format!(
                        "{url}: can be listed, in {took} ms\n{}\n",
                        shown(sum)
                    )),
                }
            }
            SharedCacheCommand::Prune(args) => {
                let age = Duration::from(args.older_than);
                let (cache, url) = args.which.open(environment)?;
                let age = SignedDuration::try_from(age).ok();
                let before = age.and_then(|age| Timestamp::now().checked_sub(age).ok());
                let Removed { sum, left } = cache.prune(before.unwrap_or(Timestamp::MIN))?;
                print(&format!("{url}: removed {}\n", shown(sum)))?;
                left_none(&left)
            }
        }
    }
}

fn shown(sum: Sum) -> String {
    let objects = humanize::count(sum.objects, "object");
    format!("{objects}, {}", humanize::size(sum.bytes))
}

/// # Errors
/// Whose objects are left, and what to do.
fn left_none(left: &BTreeMap<String, u64>) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let of = |(owner, number): (&String, &u64)| format!("{number} of {owner}");
    let owners: Vec<String> = left.iter().map(of).collect();
    Err(Error::Setup(format!(
        "{} could not be removed, as other users alone may: {}; run the same command as each of \
         them, or as root",
        humanize::count(left.values().sum::<u64>(), "object"),
        owners.join(", ")
    )))
}

fn init(settings: SharedCacheSettings, environment: &Environment) -> Result<()> {
    let file = match settings.key_file {
        Some(file) => file,
        None => environment
            .xdg("XDG_CONFIG_HOME", ".config")?
            .join("vm0fs/shared-cache.key"),
    };
    let is_new = make_key(&file)?;
    let cache = SharedCache::open(&settings.access, &config::read_shared_key(&file)?)?;
    let url = settings.access.url;
    let (shown, made) = (file.display(), if is_new { "made" } else { "found" });
    print(&format!("the key {shown}: {made}\n"))?;
    if let Some(warning) = config::others_may_read(&file, "key") {
        say(&format!("warning: {warning}"));
    }
    cache.reach()?;
    cache.try_out()?;
    let variables = match url.starts_with("s3:") {
        true => needed(&settings.access.aws, environment),
        false => String::new(),
    };
    // Other machines have other homes.
    let home = environment.home.as_deref();
    let below = home.and_then(|home| file.strip_prefix(home).ok());
    let key = match below {
        Some(below) => format!("~/{}", below.display()),
        None => file.display().to_string(),
    };
    print(&format!(
        "{url}: wrote an object, read it and removed it

Every machine needs a copy of the key, at mode 0600, and in ~/.config/vm0fs/config.toml:

shared-cache = \"{url}\"
shared-cache-key-file = \"{key}\"
{variables}"
    ))
}

/// What else a machine needs for S3: the same as this process has used.
fn needed(aws: &BTreeMap<String, String>, environment: &Environment) -> String {
    let is_set = |name: &str| {
        let value = environment.variables.get(OsStr::new(name));
        value.is_some_and(|value| !value.is_empty())
    };
    let used = aws.iter().filter(|(_, value)| !value.is_empty());
    let (set, read): (Vec<&str>, Vec<&str>) = used
        .map(|(name, _)| name.as_str())
        .partition(|name| is_set(name));
    let mut text = String::new();
    if !set.is_empty() {
        text += &format!("\nIts environment needs the same {}.\n", set.join(", "));
    }
    if !read.is_empty() {
        text += &format!(
            "\nIt needs the same profile of AWS in ~/.aws/credentials and ~/.aws/config, which \
             says {}.\n",
            read.join(", ")
        );
    }
    text
}

/// Makes a key file, unless it is there; and whether it was made.
fn make_key(path: &Path) -> Result<bool> {
    let write = || -> io::Result<bool> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        if path.try_exists()? {
            return Ok(false);
        }
        let key = SharedKey::generate().map_err(io::Error::other)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = Path::new(&beside);
        let made = make_key_by(path, beside, key.to_text().as_bytes());
        let _ = fs::remove_file(beside);
        made
    };
    write().map_err(|error| {
        Error::Setup(format!(
            "making the key {}: {error}; name a file that you can write with \
             --shared-cache-key-file",
            path.display()
        ))
    })
}

/// The same, by way of a file beside it: where the disk is full, no part of a key is left.
fn make_key_by(path: &Path, beside: &Path, key: &[u8]) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    file.write_all(key)?;
    file.sync_all()?;
    // Another process may have made one meanwhile, which stays.
    match fs::hard_link(beside, path) {
        Ok(()) => Ok(true),
        Err(_) if path.try_exists()? => Ok(false),
        // Some file systems have no hard links.
        Err(_) => fs::rename(beside, path).map(|()| true),
    }
}
