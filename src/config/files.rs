//! The files that settings come from: `config.toml`, the `vm0` CLI's login,
//! and a file with a token.

use super::{Flags, parse_crawlers, parse_duration, parse_size, parse_verify};
use crate::{
    api::Token,
    error::{Error, Result},
    text::decode,
};
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// No settings file is longer; more is the wrong file.
const MAX_FILE: u64 = 64 << 10;

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// `config.toml`. Sizes and durations are text, as on the command line.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    api_url: Option<String>,
    token_file: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    cache_size: Option<String>,
    list_ttl: Option<String>,
    timeout: Option<String>,
    allow_http: bool,
    allow_other: bool,
    allow_external_symlinks: bool,
    offline: bool,
    verify: Option<String>,
    crawlers: Option<String>,
    crawler_names: Vec<String>,
}

/// The `vm0` CLI's `config.json`; its other fields are its own.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CliLogin {
    pub(super) token: Option<String>,
    pub(super) api_url: Option<String>,
}

/// Reads `config.toml`; nothing where there is none. Paths in it may begin
/// with `~/`, and are otherwise relative to its folder.
pub(super) fn read_config(path: &Path, home: Option<&Path>) -> Result<Flags> {
    let Some((text, _)) = read(path)? else {
        return Ok(Flags::default());
    };
    let table: Table = toml::from_str(&text).map_err(|error| {
        let place = error.span().map_or(String::new(), |span| {
            let before = text.get(..span.start).unwrap_or(&text);
            let number = before.matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default();
            format!(", line {}: `{}`", number + 1, line.trim())
        });
        Error::Setup(format!("{}{place}: {}", path.display(), error.message()))
    })?;
    let wrong = |key: &str, message| Error::Setup(format!("{}: {key}: {message}", path.display()));
    let absolute = |value: PathBuf| match (value.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.parent().unwrap_or(Path::new("/")).join(value),
    };
    let duration = |key, value: Option<String>| {
        value
            .map(|text| parse_duration(&text).map_err(|message| wrong(key, message)))
            .transpose()
    };
    Ok(Flags {
        api_url: table.api_url,
        token_file: table.token_file.map(absolute),
        cache_dir: table.cache_dir.map(absolute),
        cache_size: table
            .cache_size
            .map(|text| parse_size(&text).map_err(|message| wrong("cache-size", message)))
            .transpose()?,
        list_ttl: duration("list-ttl", table.list_ttl)?,
        timeout: duration("timeout", table.timeout)?,
        allow_http: table.allow_http,
        allow_other: table.allow_other,
        allow_external_symlinks: table.allow_external_symlinks,
        offline: table.offline,
        verify: table
            .verify
            .map(|text| parse_verify(&text).map_err(|message| wrong("verify", message)))
            .transpose()?,
        crawlers: table
            .crawlers
            .map(|text| parse_crawlers(&text).map_err(|message| wrong("crawlers", message)))
            .transpose()?,
        crawler_names: table.crawler_names,
    })
}

/// Reads the CLI's login; nothing where there is none.
pub(super) fn read_cli_login(path: &Path) -> Result<CliLogin> {
    let Some((text, mode)) = read(path)? else {
        return Ok(CliLogin::default());
    };
    // serde_json's messages give a place, and of the content only types.
    let login: CliLogin = serde_json::from_str(&text).map_err(|error| {
        Error::Setup(format!(
            "{} (the vm0 CLI's login): not as expected at line {}, column {}; log in again with `vm0 auth login`, or set VM0_API_KEY and VM0_API_URL",
            path.display(),
            error.line(),
            error.column(),
        ))
    })?;
    if login.token.is_some() {
        warn_if_open(path, mode);
    }
    Ok(login)
}

/// Reads the token that a user keeps in a file of its own.
pub(super) fn read_token(path: &Path) -> Result<Token> {
    let (text, mode) = read(path)?.ok_or_else(|| {
        Error::Setup(format!(
            "{}: no such file (--token-file names a file that holds the token and nothing else)",
            path.display()
        ))
    })?;
    warn_if_open(path, mode);
    Token::new(&text).map_err(|error| Error::Setup(format!("{}: {error}", path.display())))
}

fn warn_if_open(path: &Path, mode: u32) {
    if mode & OTHERS != 0 {
        tracing::warn!(
            "{}: other users may read this token; use `chmod 600`",
            path.display()
        );
    }
}

/// A small text file and its permission bits; `None` where there is none.
/// A pipe from the shell's `<(…)` has no permission bits worth a warning.
fn read(path: &Path) -> Result<Option<(String, u32)>> {
    let context = || format!("reading {}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io(context(), error)),
    };
    let data = file
        .metadata()
        .map_err(|error| Error::io(context(), error))?;
    let mode = if data.is_file() { data.mode() } else { 0 };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(context(), error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::Setup(format!(
            "{}: more than {} KiB; is this the right file?",
            path.display(),
            MAX_FILE >> 10
        )));
    }
    let text = decode(bytes).ok_or_else(|| {
        Error::Setup(format!(
            "{}: not UTF-8 text; save it as that",
            path.display()
        ))
    })?;
    Ok(Some((text, mode)))
}
