//! What the arguments of `vm0fs mount` give, to be written down for a mount to come.

use super::fstab::{is_path, options, value_name};
use crate::{
    config::{self, Environment},
    error::{Error, Result},
    proc,
    text::one_line,
};
use clap::{ArgAction, Command, parser::ValueSource};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Component, Path, PathBuf},
};

/// The flags that arguments give, and their values; paths are absolute.
///
/// # Errors
/// [`Error::Setup`] for what is no text, and for an address with a secret in it.
pub(super) fn given(
    declaration: &Command,
    arguments: impl Iterator<Item = OsString>,
    environment: &Environment,
) -> Result<Vec<(String, Option<String>)>> {
    let matches = declaration.clone().try_get_matches_from(arguments);
    let matches = matches.map_err(|error| Error::Internal(error.to_string()))?;
    let mut given = Vec::new();
    for arg in options(declaration) {
        let id = arg.get_id().as_str();
        let name = arg.get_long().unwrap_or(id).to_owned();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        match arg.get_action() {
            ArgAction::Count => {
                let times = usize::from(matches.get_count(id));
                given.extend(std::iter::repeat_n((name, None), times));
            }
            action if action.takes_values() => {
                let values = matches.get_raw(id).into_iter().flatten();
                for value in values {
                    let value = match is_path(arg) {
                        true => environment.path(Path::new(value)).into_os_string(),
                        false => value.to_owned(),
                    };
                    let text = value.into_string().map_err(|_| not_text(&name))?;
                    if value_name(arg) == "URL" && has_login(&text) {
                        return Err(Error::Setup(format!(
                            "{name}: an address with a user or a password is not written down \
                             where others read it; give the address alone, and secrets in files"
                        )));
                    }
                    given.push((name.clone(), Some(text)));
                }
            }
            _ => given.push((name, None)),
        }
    }
    Ok(given)
}

/// A path without symlinks and `..`, as far as it leads to what there is. What is mounted there
/// is not looked at.
///
/// # Errors
/// Where `/proc` is missing, or the way there is barred.
pub(super) fn canonical(path: &Path) -> Result<PathBuf> {
    if let Some(entry) = proc::mount_at(path)? {
        return Ok(entry.mountpoint);
    }
    let found = path
        .ancestors()
        .find_map(|place| Some((place, fs::canonicalize(place).ok()?)));
    let (place, mut canonical) = found.unwrap_or((Path::new("/"), "/".into()));
    for part in path.strip_prefix(place).unwrap_or(path).components() {
        match part {
            Component::ParentDir => drop(canonical.pop()),
            Component::Normal(name) => canonical.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(canonical)
}

/// What is to be done about files that flags name and that there are not.
///
/// # Errors
/// [`Error::Setup`] for a token in place of the name of its file.
pub(super) fn missing_files(given: &[(String, Option<String>)]) -> Result<Vec<String>> {
    let files = given.iter().filter(|(name, _)| name.ends_with("-file"));
    let files = files.filter_map(|(name, path)| Some((name, Path::new(path.as_ref()?))));
    let missing = files.filter(|(_, path)| matches!(path.try_exists(), Ok(false)));
    missing
        .map(|(name, path)| match config::is_token(path) {
            true => Err(config::token_for_file()),
            false => Ok(format!(
                "{name}: {} is missing; make it before",
                path.display()
            )),
        })
        .collect()
}

/// Whether an address, which may have no scheme, names a user.
fn has_login(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.contains('@')
}

/// What is wrong with what cannot be written down.
pub(super) fn not_text(what: &str) -> Error {
    Error::Setup(format!(
        "{what} is not UTF-8 text, so it cannot be written down"
    ))
}

/// Whether a variable is a setting, or a secret, of ours.
pub(super) fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("VM0") || name.starts_with("AWS_")
}

/// Variables of other programs by which this one reaches servers and finds its folders.
const OTHERS: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ssl_cert_file",
    "ssl_cert_dir",
    "xdg_cache_home",
    "xdg_config_home",
    "xdg_state_home",
];

/// Whether a variable of other programs decides what this one reaches and finds.
pub(super) fn is_others(name: &OsStr) -> bool {
    OTHERS.contains(&&*name.to_string_lossy().to_ascii_lowercase())
}

/// What is to be known of settings that only this shell has, and `what` will not see:
/// all but those of `others` that it has from elsewhere.
pub(super) fn unseen(
    environment: &Environment,
    others: &[(String, String)],
    what: &str,
) -> Option<String> {
    let is_unseen = |(name, value): &(&OsString, &OsString)| {
        let same = |(one, its): &(String, String)| *name == one.as_str() && *value == its.as_str();
        !value.is_empty() && !others.iter().any(same)
    };
    let all = environment.variables.iter().filter(is_unseen);
    let names = |is_one: &dyn Fn(&OsStr) -> bool| {
        let names = all.clone().filter(|(name, _)| is_one(name));
        let names = names.map(|(name, _)| one_line(&name.to_string_lossy(), 60));
        names.collect::<Vec<_>>().join(", ")
    };
    let own = names(&is_ours);
    let reached_by = names(&is_others);
    let advice = [
        (
            own,
            "say the same with options, config.toml and a token file",
        ),
        (reached_by, "vm0fs help startup says where to set these"),
    ];
    let advice = advice.into_iter().filter(|(names, _)| !names.is_empty());
    let told = advice.map(|(names, advice)| format!("{names} ({advice})"));
    let told = told.collect::<Vec<_>>().join(", ");
    (!told.is_empty()).then(|| format!("{what} does not see what this shell sets: {told}"))
}

/// The program of this process.
///
/// # Errors
/// Where it is not known.
pub(super) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| Error::io("finding the program", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_only_a_shell_has_is_told_with_what_to_do() {
        let environment = Environment {
            variables: ["HTTPS_PROXY", "LANG", "VM0_API_KEY", "XDG_CACHE_HOME"]
                .into_iter()
                .map(|name| (name.into(), "x".into()))
                .collect(),
            home: None,
            current_dir: "/".into(),
        };
        let told = unseen(&environment, &[], "mount").unwrap();
        for part in [
            "mount does not see what this shell sets: VM0_API_KEY (say",
            "options, config.toml",
            "HTTPS_PROXY, XDG_CACHE_HOME (vm0fs help startup",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let all = environment.variables.keys();
        let all = all.map(|name| (name.to_string_lossy().into_owned(), "x".to_owned()));
        let all: Vec<_> = all.collect();
        assert_eq!(unseen(&environment, &all, "mount"), None);
    }
}
