//! The files that settings come from: `config.toml`, the `vm0` CLI's login,
//! and files with a token or a key.

use super::{
    environment::Environment,
    options::{ConnectionOptions, MountOptions, SharedCacheOptions},
};
use crate::{
    api::{Token, begins_as_token},
    error::{Error, Result, is_missing},
    shared::SharedKey,
    text::{decode, nearest},
};
use serde::Deserialize;
use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use toml::de::DeTable;

/// No settings file is longer; more is the wrong file.
const MAX_FILE: u64 = 64 << 10;

/// Permission bits of all users but the owner.
const OTHERS: u32 = 0o077;

/// The `vm0` CLI's `config.json`; its other fields are its own.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CliLogin {
    pub(super) token: Option<String>,
    pub(super) api_url: Option<String>,
}

/// Reads `config.toml`; nothing where there is none. Paths in it may begin
/// with `~/`, and are otherwise relative to its folder.
pub(super) fn read_config(path: &Path, environment: &Environment) -> Result<MountOptions> {
    let Some((text, _)) = read_own(path)? else {
        return Ok(MountOptions::default());
    };
    let mut options = parse(&text).map_err(|(at, message)| {
        let place = at.map_or(String::new(), |at| {
            let before = text.get(..at).unwrap_or(&text);
            let number = before.matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default();
            // The key alone: a value may be a token that a user has put here.
            let key = line.split_once('=').map(|(key, _)| key.trim());
            let key = key.map_or(String::new(), |key| format!(": `{key}`"));
            format!(", line {}{key}", number + 1)
        });
        Error::Setup(format!("{}{place}: {}", path.display(), message))
    })?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let absolute = |value: PathBuf| environment.path_from(folder, &value);
    let connection = &mut options.connection;
    connection.token_file = connection.token_file.take().map(absolute);
    connection.cache_dir = connection.cache_dir.take().map(absolute);
    let key_file = &mut options.shared.shared_cache_key_file;
    *key_file = key_file.take().map(absolute);
    Ok(options)
}

/// What is wrong with a text, and at which byte.
type Wrong = (Option<usize>, String);

fn parse(text: &str) -> Result<MountOptions, Wrong> {
    let wrong = |error: toml::de::Error| -> Wrong {
        let mut message = error.message().to_owned();
        if message.ends_with("expected a string") {
            message += "; write it in quotes";
        }
        (error.span().map(|span| span.start), message)
    };
    let table = DeTable::parse(text).map_err(wrong)?;
    let known = MountOptions::documented();
    let known: Vec<String> = known.into_iter().map(|option| option.key).collect();
    let unknown = table.get_ref().keys().filter(|key| {
        let key = key.get_ref().as_ref();
        !known.iter().any(|name| name == key)
    });
    if let Some(key) = unknown.min_by_key(|key| key.span().start) {
        let name = key.get_ref().as_ref();
        let near = nearest(name, known.iter().map(AsRef::as_ref));
        let hint = match near {
            // Where other users may read it.
            _ if name == "token" => {
                "; a token does not belong here: put it into a file and name that with token-file"
                    .into()
            }
            Some(near) => format!(" (did you mean `{near}`?)"),
            None => String::new(),
        };
        let message = format!(
            "unknown field `{name}`{hint}, expected one of `{}`",
            known.join("`, `")
        );
        return Err((Some(key.span().start), message));
    }
    // Each reads its own keys. (`serde(flatten)` would lose the places of errors.)
    let connection: ConnectionOptions = toml::from_str(text).map_err(wrong)?;
    let shared: SharedCacheOptions = toml::from_str(text).map_err(wrong)?;
    Ok(MountOptions {
        connection,
        shared,
        ..toml::from_str(text).map_err(wrong)?
    })
}

/// Whether the CLI's login is there and holds a token.
pub(super) fn holds_token(path: &Path) -> bool {
    let login = read(path).ok().flatten();
    let login = login.and_then(|(text, _)| serde_json::from_str::<CliLogin>(&text).ok());
    login.is_some_and(|login| login.token.is_some())
}

/// Reads the CLI's login; nothing where there is none.
pub(super) fn read_cli_login(path: &Path) -> Result<CliLogin> {
    let Some((text, mode)) = read_own(path)? else {
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
        warn_if_open(path, mode, "token");
    }
    Ok(login)
}

/// Whether the name of a file looks like a token that was given in its place.
pub fn is_token(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    begins_as_token(name.as_encoded_bytes())
}

/// What to do with a token that was given in place of the name of its file. It is not repeated.
pub fn token_for_file() -> Error {
    Error::Setup(
        "a token stands where the name of its file belongs; put it into a file that only you can \
         read (chmod 600), and name that: --token-file FILE"
            .into(),
    )
}

/// Reads the token that a user keeps in a file of its own.
pub(super) fn read_token(path: &Path) -> Result<Token> {
    let hint = "--token-file names a file that holds the token and nothing else";
    read_secret(path, hint, "token", Token::new)
}

/// Reads the key of a shared cache.
///
/// # Errors
/// [`Error::Setup`] where there is no such file, or no key in it.
pub fn read_shared_key(path: &Path) -> Result<SharedKey> {
    let hint = "copy another machine's key there; `vm0fs shared-cache init` makes one where there is \
                no such file";
    read_secret(path, hint, "key", SharedKey::parse)
}

fn read_secret<T>(path: &Path, hint: &str, what: &str, parse: fn(&str) -> Result<T>) -> Result<T> {
    let unread = |error| match error {
        error @ Error::Io { .. } => Error::Setup(format!("{error} ({hint})")),
        error => error,
    };
    if is_token(path) && !path.exists() {
        return Err(token_for_file());
    }
    let (text, mode) = read(path)
        .map_err(unread)?
        .ok_or_else(|| Error::Setup(format!("{}: no such file ({hint})", path.display())))?;
    warn_if_open(path, mode, what);
    parse(&text).map_err(|error| Error::Setup(format!("{}: {error} ({hint})", path.display())))
}

/// A file that is read unasked, because it lies where settings are.
fn read_own(path: &Path) -> Result<Option<(String, u32)>> {
    read(path).map_err(|error| match error {
        error @ Error::Io { .. } => Error::Setup(format!(
            "{error}; vm0fs reads it if it is there: make it a file that you may read, or move it \
             away"
        )),
        error => error,
    })
}

/// What to say of a file with a secret that users other than its owner may read; `None` where
/// they may not.
pub fn others_may_read(path: &Path, what: &str) -> Option<String> {
    let about = path.metadata().ok()?;
    is_open(about.mode()).then(|| open_file(path, what))
}

fn open_file(path: &Path, what: &str) -> String {
    let path = path.display();
    format!("{path}: other users may read this {what}; use `chmod 600`")
}

/// Whether users other than the owner may read a file, or change it.
pub(super) fn is_open(mode: u32) -> bool {
    mode & OTHERS != 0
}

pub(super) fn warn_if_open(path: &Path, mode: u32, what: &str) {
    if is_open(mode) {
        tracing::warn!("{}", open_file(path, what));
    }
}

/// A small text file and its permission bits; `None` where there is none.
/// A pipe from the shell's `<(…)` has no permission bits worth a warning.
pub(super) fn read(path: &Path) -> Result<Option<(String, u32)>> {
    let failed = |error| Error::io(format!("reading {}", path.display()), error);
    let wrong = |what: &str| Error::Setup(format!("{}: {what}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let data = file.metadata().map_err(failed)?;
    let mode = if data.is_file() { data.mode() } else { 0 };
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    if read.map_err(failed)? as u64 > MAX_FILE {
        let most = MAX_FILE >> 10;
        return Err(wrong(&format!(
            "more than {most} KiB; is this the right file?"
        )));
    }
    let text = decode(bytes).ok_or_else(|| wrong("not UTF-8 text; save it as that"))?;
    Ok(Some((text, mode)))
}
