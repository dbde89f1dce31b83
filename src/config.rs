//! Settings: flags, then the environment, then `config.toml`, then the `vm0`
//! CLI's login, then defaults. The first that says something wins, each
//! setting by itself.

mod aws_profile;
mod describe;
mod environment;
mod exposed;
mod files;
mod options;
pub mod secrets;
mod shared_cache;
mod units;

pub use self::{
    describe::{Described, describe, no_files, without_secrets},
    environment::Environment,
    exposed::{SecretFile, secret_files},
    files::{is_token, others_may_read, read_shared_key, token_for_file},
    options::{
        CacheSize, ConnectionOptions, Crawlers, DEFAULT_TIMEOUT, Documented, MountOptions,
        SharedCacheOptions, USER_AGENT,
    },
    shared_cache::SharedCacheSettings,
    units::{HOUR, Span, whole_number},
};

use self::{environment::TOKENS, files::CliLogin, options::MIN_CACHE_SIZE};
use crate::{
    api::{ClientConfig, Token},
    error::{Error, Result},
    proc::{self, Barred},
    shared::SharedKey,
    text::{self, hex},
};
use nix::sys::statvfs::statvfs;
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Where the service is by default.
pub const DEFAULT_API_URL: &str = "https://api.vm0.ai";

/// The `vm0` CLI's login, as messages name it.
const LOGIN: &str = "~/.vm0/config.json";

/// The same below the home folder.
const CLI_LOGIN: &str = ".vm0/config.json";

/// The variable that holds the API's base.
const API_URL: &str = "VM0_API_URL";

/// How long a listing is taken as true: short enough to see a new run soon,
/// long enough that a shell's completion and prompt cost nothing.
pub const DEFAULT_LIST_TTL: Duration = Duration::from_secs(30);

/// Maximum size of the cache by default, in bytes.
pub const DEFAULT_CACHE_SIZE: u64 = 10 << 30;

/// By default the cache takes at most this share of the free disk.
const FREE_SHARE: u64 = 10;

/// On a disk with less free space not even a small version fits, in bytes.
pub const LEAST_FREE: u64 = 64 << 20;

/// Everything a mount needs to know, settled. `Debug` shows no token.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API's base.
    pub api_url: Url,
    /// The secret for it.
    pub token: Token,
    /// Where versions are kept, absolute; may not exist yet.
    pub cache_dir: PathBuf,
    /// Maximum size of the cache in bytes.
    pub cache_size: u64,
    /// How long a listing is taken as true; zero asks every time.
    pub list_ttl: Duration,
    /// The longest silence of the network.
    pub timeout: Duration,
    /// The cache that the machines of a fleet share, and its key.
    pub shared_cache: Option<(SharedCacheSettings, SharedKey)>,
    /// The options of all sources; those above have defaults, and some more sources. On
    /// SIGHUP the process reads these again.
    pub options: MountOptions,
}

/// Where the cache is and what it may take: all that the commands on it need,
/// which use no network and so want no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Where versions are kept, absolute; may not exist.
    pub dir: PathBuf,
    /// Maximum size in bytes.
    pub size: u64,
    /// Whether no source says a size, so that the free disk decides.
    pub is_usual_size: bool,
}

impl CacheSettings {
    /// Settles them as [`Settings::load`] does.
    ///
    /// # Errors
    /// [`Error::Setup`] for a bad `config.toml`, or where no home is known.
    pub fn load(
        dir: Option<PathBuf>,
        size: Option<CacheSize>,
        environment: &Environment,
    ) -> Result<Self> {
        let file = read_config(environment)?;
        let dir = dir.or(file.connection.cache_dir);
        Self::settle(dir, size.or(file.cache_size), environment)
    }

    fn settle(
        dir: Option<PathBuf>,
        size: Option<CacheSize>,
        environment: &Environment,
    ) -> Result<Self> {
        let dir = match dir {
            Some(dir) => environment.path(&dir),
            None => environment.xdg("XDG_CACHE_HOME", ".cache")?.join("vm0fs"),
        };
        outside_mounts(&dir)?;
        Ok(Self {
            size: size.map_or_else(|| default_cache_size(&dir), |size| size.0),
            is_usual_size: size.is_none(),
            dir,
        })
    }

    /// The size of a cache that holds so many bytes.
    pub fn size_beside(&self, held: u64) -> u64 {
        size_beside(self.size, self.is_usual_size, held)
    }
}

impl Settings {
    /// Settles every setting from its sources.
    ///
    /// # Errors
    /// [`Error::Setup`] that names the source, and for a missing token the
    /// ways to get one; [`Error::Io`] where a file cannot be read.
    pub fn load(arguments: impl Into<MountOptions>, environment: &Environment) -> Result<Self> {
        let arguments = arguments.into();
        let file = read_config(environment)?;
        let login = Login {
            environment,
            read: OnceCell::new(),
        };
        let api_url = api_url(&arguments, &file, &login)?;
        let token = token(&arguments, &file, &login)?;
        let options = arguments.or(environment.options()?).or(file);
        let shared_cache = SharedCacheSettings::settle(&options, environment)?
            .map(|shared| shared.key(&token).map(|key| (shared, key)))
            .transpose()?;
        let dir = options.connection.cache_dir.clone();
        let cache = CacheSettings::settle(dir, options.cache_size, environment)?;
        let timeout = options.connection.timeout.map(Duration::from);
        Ok(Self {
            api_url,
            token,
            cache_dir: cache.dir,
            cache_size: cache.size,
            list_ttl: options.list_ttl.map_or(DEFAULT_LIST_TTL, Duration::from),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            shared_cache,
            options,
        })
    }

    /// What tells the mounts of one account of one service from all others, and is no
    /// secret.
    pub fn account(&self) -> String {
        let digest = self.token.derive(&format!("mounts {}", self.api_url));
        hex(&digest[..8])
    }

    /// What the API client needs of it.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig {
            base: self.api_url.clone(),
            token: self.token.clone(),
            timeout: self.timeout,
            allow_http: self.options.connection.allow_http,
            user_agent: USER_AGENT.into(),
        }
    }
}

/// The shared cache that the same sources name as for a mount, for commands that need
/// no token; `None` where they name none.
///
/// # Errors
/// [`Error::Setup`] that names the source.
pub fn shared_cache(
    arguments: MountOptions,
    environment: &Environment,
) -> Result<Option<SharedCacheSettings>> {
    let options = arguments.or(environment.options()?);
    SharedCacheSettings::settle(&options.or(read_config(environment)?), environment)
}

/// `config.toml`. Without a home there is no such file.
fn read_config(environment: &Environment) -> Result<MountOptions> {
    match environment.xdg("XDG_CONFIG_HOME", ".config") {
        Ok(dir) => files::read_config(&dir.join("vm0fs/config.toml"), environment),
        Err(_) => Ok(MountOptions::default()),
    }
}

/// The `vm0` CLI's login, which is read only where no other source says something.
struct Login<'a> {
    environment: &'a Environment,
    read: OnceCell<CliLogin>,
}

impl Login<'_> {
    /// One field of it; `None` where it is empty.
    fn field(&self, which: fn(&CliLogin) -> Option<&String>) -> Result<Option<&String>> {
        if self.read.get().is_none() {
            let login = match &self.environment.home {
                Some(home) => files::read_cli_login(&home.join(CLI_LOGIN))?,
                None => CliLogin::default(),
            };
            // It has just been seen to be empty.
            let _ = self.read.set(login);
        }
        let value = self.read.get().and_then(which);
        Ok(value.filter(|text| !text.trim().is_empty()))
    }
}

fn api_url(arguments: &MountOptions, file: &MountOptions, login: &Login<'_>) -> Result<Url> {
    let (url, source) = api_url_source(arguments, file, login)?;
    parse_api_url(&url, source)
}

/// The API's address as it was written, and where.
fn api_url_source(
    arguments: &MountOptions,
    file: &MountOptions,
    login: &Login<'_>,
) -> Result<(String, &'static str)> {
    if let Some(url) = &arguments.connection.api_url {
        return Ok((url.clone(), "--api-url"));
    }
    if let Some(url) = login.environment.text(API_URL)? {
        return Ok((url.into(), API_URL));
    }
    if let Some(url) = &file.connection.api_url {
        return Ok((url.clone(), "api-url in config.toml"));
    }
    Ok(match login.field(|login| login.api_url.as_ref())? {
        Some(url) => (url.clone(), "apiUrl in ~/.vm0/config.json"),
        None => (DEFAULT_API_URL.into(), "the default"),
    })
}

/// Where the token is.
enum TokenSource<'a> {
    File(PathBuf),
    /// The token itself, and where it was found.
    Text(&'a str, &'static str),
}

/// The first source of settings that has a token.
fn token_source<'a>(
    arguments: &MountOptions,
    file: &MountOptions,
    login: &'a Login<'_>,
) -> Result<Option<TokenSource<'a>>> {
    if let Some(path) = &arguments.connection.token_file {
        let path = login.environment.path(path);
        return Ok(Some(TokenSource::File(path)));
    }
    for variable in TOKENS {
        if let Some(text) = login.environment.text(variable)? {
            return Ok(Some(TokenSource::Text(text, variable)));
        }
    }
    if let Some(path) = &file.connection.token_file {
        return Ok(Some(TokenSource::File(path.clone())));
    }
    let text = login.field(|login| login.token.as_ref())?;
    Ok(text.map(|text| TokenSource::Text(text, LOGIN)))
}

fn token(arguments: &MountOptions, file: &MountOptions, login: &Login<'_>) -> Result<Token> {
    match token_source(arguments, file, login)? {
        Some(TokenSource::File(path)) => {
            let shown = text::shown(&path);
            Ok(files::read_token(&path)?.from_source(&shown))
        }
        Some(TokenSource::Text(text, source)) => {
            let token = Token::new(text);
            let token = token.map_err(|error| Error::Setup(format!("{source}: {error}")))?;
            Ok(token.from_source(source))
        }
        None => Err(Error::NoToken),
    }
}

/// Whether any source of settings has a token, which may be a bad one.
///
/// # Errors
/// As [`Settings::load`].
pub fn has_token(arguments: &MountOptions, environment: &Environment) -> Result<bool> {
    let login = Login {
        environment,
        read: OnceCell::new(),
    };
    let file = read_config(environment)?;
    Ok(token_source(arguments, &file, &login)?.is_some())
}

/// A base URL as users write it; `source` says where it was written.
fn parse_api_url(text: &str, source: &str) -> Result<Url> {
    let text = text.trim();
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    // Not repeated: it may hold a password by mistake.
    whole.parse().map_err(|error| {
        Error::Setup(format!(
            "{source} is not a URL ({error}); write it like {DEFAULT_API_URL}"
        ))
    })
}

/// The size that a cache has, of one that is settled and of what the cache holds. Where no
/// source says a size, what it holds may stay: that others have filled the disk since is no
/// reason to evict it.
pub fn size_beside(settled: u64, is_usual: bool, held: u64) -> u64 {
    match is_usual {
        true => settled.max(held.min(DEFAULT_CACHE_SIZE)),
        false => settled,
    }
}

/// Refuses a cache in a vm0fs mount, where nothing can be kept. A process that looks there
/// would wait without end where the process of that mount is stopped, so this does not.
fn outside_mounts(dir: &Path) -> Result<()> {
    // Where they cannot be read, the command that uses them says why.
    let mounts = proc::vm0fs_mounts().unwrap_or_default();
    let inside = |mountpoint: &Path| {
        Err(Error::Setup(format!(
            "the cache cannot be in a mount of vm0fs: {} leads into {}; name a folder elsewhere \
             (--cache-dir, or cache-dir in config.toml)",
            text::shown(dir),
            text::shown(mountpoint)
        )))
    };
    match proc::follow(&mounts, dir, |mount| Err(mount.mountpoint.clone())) {
        Ok(real) => match proc::holding(&mounts, &real) {
            Some((mount, _)) => inside(&mount.mountpoint),
            None => Ok(()),
        },
        Err(Barred::Mount(mountpoint)) => inside(&mountpoint),
        // The kernel says it again, where the folder is used.
        Err(Barred::Kernel(_)) => Ok(()),
    }
}

/// The smaller of 10 GiB and a tenth of the free disk where the cache will be. On a full
/// disk it is the least that can be: listings and orders need no room.
fn default_cache_size(dir: &Path) -> u64 {
    let share = free_space(dir).unwrap_or(u64::MAX) / FREE_SHARE;
    share.clamp(MIN_CACHE_SIZE, DEFAULT_CACHE_SIZE)
}

/// The free bytes of the disk where a folder is, or will be.
pub fn free_space(dir: &Path) -> Option<u64> {
    let disk = dir.ancestors().find_map(|dir| statvfs(dir).ok())?;
    Some(disk.fragment_size().saturating_mul(disk.blocks_available()))
}

#[cfg(test)]
mod tests;
