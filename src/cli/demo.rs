//! `vm0fs demo`: the embedded server, mounted or by itself.

use super::{bars, walk};
use crate::{
    api::Token,
    config::{self, Environment, MountOptions, Settings},
    demo::{Server, World},
    error::{Error, Result},
    mount,
    proc::{self, Process},
    signals::Signals,
    text::{self, shell_path},
};
use clap::{ArgAction, Args, ValueHint};
use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

/// The default mountpoint, in the home folder.
const FOLDER: &str = "vm0-demo";

/// Lifetime of listings: short, so that the user sees runs progress.
const LIST_TTL: Duration = Duration::from_secs(3);

/// Size of the cache: the demo's large artifact and the rest fit in.
const CACHE_SIZE: u64 = 1 << 30;

/// Prefix of the name of a demo's cache folder; the process id follows.
const PREFIX: &str = "vm0fs-demo-";

/// Attempts to remove the demo's cache, and the pause between them.
const REMOVALS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

fn port(text: &str) -> Result<u16, String> {
    let number = text.parse();
    number.map_err(|_| format!("{text:?} is not a port; write it like 8080, at most 65535"))
}

/// `vm0fs demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs demo                    mount the demo, and say where
  vm0fs demo ~/vm0-demo
  vm0fs demo --serve-only       only the server; prints its address and token for curl")]
pub struct DemoArgs {
    /// The folder to mount at [default: ~/vm0-demo]
    #[arg(conflicts_with = "serve_only", value_hint = ValueHint::DirPath)]
    pub mountpoint: Option<PathBuf>,
    /// Mount nothing. Run the server alone, and print its address and token
    #[arg(long)]
    pub serve_only: bool,
    /// Port of the server on this machine [default: any free one]
    #[arg(long, value_name = "N", value_parser = port)]
    pub port: Option<u16>,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

impl DemoArgs {
    /// Serves the demo until a signal or an unmount ends it.
    ///
    /// # Errors
    /// If the port is taken or the mountpoint cannot be used.
    pub fn run(self, environment: &Environment) -> Result<()> {
        let signals = Signals::outlast_others()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.unwrap_or(0)));
        let server = Server::start_on(World::demo(), address);
        let server = server.map_err(|error| self.explain(error))?;
        if self.serve_only {
            print_server(&server);
            signals.wait()?;
            return Ok(());
        }
        let mountpoint = self.place(environment)?;
        walk::look_at_way(&mountpoint)?;
        let is_mounted = proc::mount_at(&mountpoint)?.is_some();
        let is_new = !is_mounted
            && fs::symlink_metadata(&mountpoint)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        // The demo has its own cache, which it removes at its end.
        remove_dead();
        let prefix = format!("{PREFIX}{}-", process::id());
        let cache = tempfile::Builder::new().prefix(&prefix).tempdir();
        let failed = |error| {
            let folder = text::shown(&std::env::temp_dir());
            Error::Setup(format!(
                "cannot make a folder for the demo's cache in {folder}: {error}; name another \
                 folder with the variable TMPDIR"
            ))
        };
        let cache = cache.map_err(failed)?;
        let options = mount::Options {
            mountpoint: mountpoint.clone(),
            source: None,
            settings: settings(&server, cache.path())?,
            foreground: true,
        };
        let outcome = mount::run(options, || (), print_tour, bars::show);
        // Downloads in progress end with their server, before their folder is removed.
        drop(server);
        remove(&cache.keep());
        if is_new {
            // This fails, as it should, if another program has put files there.
            let _ = fs::remove_dir(&mountpoint);
        }
        outcome.map(|_| ())
    }

    /// Says what to do if the port is taken, or not for this user.
    fn explain(&self, error: Error) -> Error {
        let Some(port) = self.port else { return error };
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        let why = match kind {
            io::ErrorKind::PermissionDenied => "only root may use a port below 1024, as a rule. ",
            io::ErrorKind::AddrInUse => "is another demo running? ",
            _ => "",
        };
        Error::Setup(format!(
            "{error}; {why}Choose another --port than {port}, or leave the option out for a free \
             one"
        ))
    }

    fn place(&self, environment: &Environment) -> Result<PathBuf> {
        match (&self.mountpoint, &environment.home) {
            (Some(path), _) => Ok(environment.current_dir.join(path)),
            (None, Some(home)) => Ok(home.join(FOLDER)),
            (None, None) => Err(Error::Setup(
                "the home folder is not known; name a mountpoint: vm0fs demo FOLDER".into(),
            )),
        }
    }
}

/// Removes caches that killed demos of this user have left.
fn remove_dead() {
    let own = nix::unistd::Uid::effective().as_raw();
    let folder = fs::read_dir(std::env::temp_dir());
    for entry in folder.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let pid = rest.and_then(|rest| rest.split('-').next()?.parse().ok());
        let Some(pid) = pid else { continue };
        let data = entry.metadata();
        let is_own = data.is_ok_and(|data| data.is_dir() && data.uid() == own);
        if is_own && !Process::new(pid).exists() {
            remove(&entry.path());
        }
    }
}

/// Removes the demo's cache. A thread that still writes to it can put a file into a
/// folder that was just emptied, so the removal is tried again.
fn remove(cache: &Path) {
    for _ in 0..REMOVALS {
        match fs::remove_dir_all(cache) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => tracing::debug!("removing {}: {error}", cache.display()),
        }
        thread::sleep(PAUSE);
    }
}

fn settings(server: &Server, cache: &Path) -> Result<Settings> {
    let api_url = server.api_url();
    Ok(Settings {
        api_url: url::Url::parse(&api_url)
            .map_err(|error| Error::Internal(format!("the demo's address {api_url}: {error}")))?,
        token: Token::new(server.token())?,
        cache_dir: cache.to_owned(),
        cache_size: CACHE_SIZE,
        list_ttl: LIST_TTL,
        timeout: config::DEFAULT_TIMEOUT,
        shared_cache: None,
        options: MountOptions::default(),
    })
}

fn print_server(server: &Server) {
    let (url, token) = (server.api_url(), server.token());
    say(&format!(
        "The demo API serves at {url}
token: {token}

Try
  curl -H 'Authorization: Bearer {token}' '{url}/v1/runs?limit=2'
  VM0_API_URL={url} VM0_API_KEY={token} vm0fs mount ~/vm0

Ctrl-C ends it."
    ));
}

fn print_tour(mountpoint: &Path, warnings: &[String]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    let (shown, word) = (mountpoint.display(), shell_path(mountpoint));
    say(&format!(
        "The demo is mounted at {shown}

Try, in another terminal
  ls {word}/agents
  ls -lt {word}/runs | head
  cat {word}/runs/.by-status/running/*/logs
  ls -l {word}/artifacts/*/latest/
  cat {word}/.vm0fs/help.txt

Ctrl-C ends it, and so does: vm0fs unmount {word}"
    ));
}

/// Prints a text. Unlike `println!`, it does not panic when the reader has gone
/// (`vm0fs demo | head`).
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
