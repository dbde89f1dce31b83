//! The user's systemd, asked by `systemctl --user`.

use super::given::{is_others, is_ours};
use crate::{
    config::Environment,
    error::{Error, Result},
    text::one_line,
    unmount::wait_within,
};
use nix::unistd::Uid;
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How long a command may take: one that starts a service waits until it is ready, which
/// the manager gives 90 s by default, or has ended.
const LIMIT: Duration = Duration::from_secs(120);

/// Where systemd keeps a file for each user whose manager runs from boot on (loginctl(1)).
const LINGER: &str = "/var/lib/systemd/linger";

/// What a command has said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_well: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `systemctl --user`, or another command of systemd's for a user.
///
/// # Errors
/// Where there is none, or it does not end.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new(program);
    command
        .arg("--user")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // `su` and the like do not set it, and the manager is there all the same.
    let runtime = PathBuf::from(format!("/run/user/{}", Uid::effective()));
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    let what = || format!("running {program}");
    let mut child = command.spawn().map_err(|error| Error::io(what(), error))?;
    // It says less than a pipe holds.
    let ended = wait_within(&mut child, LIMIT).map_err(|error| Error::io(what(), error))?;
    let Some(status) = ended else {
        return Err(Error::Setup(format!(
            "{program} --user {} has not ended within {} s; see what it waits for: systemctl \
             --user list-jobs",
            arguments.join(" "),
            LIMIT.as_secs()
        )));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = |from: Option<&mut dyn Read>, into: &mut Vec<u8>| match from {
        Some(from) => from.read_to_end(into).map(|_| ()),
        None => Ok(()),
    };
    read(
        child.stdout.as_mut().map(|out| out as &mut dyn Read),
        &mut out,
    )
    .and_then(|()| {
        read(
            child.stderr.as_mut().map(|err| err as &mut dyn Read),
            &mut err,
        )
    })
    .map_err(|error| Error::io(what(), error))?;
    Ok(Said {
        is_well: status.success(),
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    })
}

/// Runs `systemctl --user`, which must succeed.
///
/// # Errors
/// With what it has said.
pub(super) fn systemctl(arguments: &[&str]) -> Result<String> {
    let said = run("systemctl", arguments)?;
    match said.is_well {
        true => Ok(said.out),
        false => Err(Error::Setup(format!(
            "systemctl --user {}: {}",
            arguments.join(" "),
            one_line(&said.err, 400)
        ))),
    }
}

/// The manager of this user's services.
pub(super) struct Manager {
    /// The variables that it gives to its services.
    pub(super) variables: Vec<(String, String)>,
    /// What a service finds around it; what this process finds, where there is no manager.
    pub(super) surroundings: Environment,
    /// Why there is no manager, or none that answers.
    pub(super) absent: Option<Error>,
}

impl Manager {
    /// Asks the manager, if there is one.
    pub(super) fn seen_from(environment: &Environment) -> Self {
        match variables() {
            Ok(variables) => Self {
                surroundings: surroundings(environment, &variables),
                variables,
                absent: None,
            },
            Err(error) => Self {
                variables: Vec::new(),
                surroundings: environment.clone(),
                absent: Some(error),
            },
        }
    }
}

fn variables() -> Result<Vec<(String, String)>> {
    let shown = systemctl(&["show-environment"])?;
    let pairs = shown.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), unquoted(value)))
        .collect())
}

/// A value as `show-environment` writes it: one that a shell would not take as it is stands
/// in `$'…'`, and has escapes there.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix("$'");
    let Some(inner) = inner.and_then(|inner| inner.strip_suffix('\'')) else {
        return value.to_owned();
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        let escaped = (char == '\\').then(|| chars.next()).flatten();
        out.push(match escaped {
            Some('n') => '\n',
            Some('t') => '\t',
            Some(other) => other,
            None => char,
        });
    }
    out
}

/// What a service of the manager finds around it: the manager's variables in place of this
/// shell's, and no setting that only this shell has.
fn surroundings(environment: &Environment, variables: &[(String, String)]) -> Environment {
    let mut seen = environment.clone();
    seen.variables
        .retain(|name, _| !is_ours(name) && !is_others(name));
    for (name, value) in variables {
        seen.variables.insert(name.into(), value.into());
    }
    let home = variables
        .iter()
        .find(|(name, value)| name == "HOME" && !value.is_empty());
    seen.home = home.map(|(_, home)| home.into()).or(seen.home);
    seen
}

/// Whether the manager runs from boot on, without a login.
pub(super) fn lingers() -> bool {
    let user = nix::unistd::User::from_uid(Uid::effective());
    let name = user.ok().flatten().map(|user| user.name);
    name.is_some_and(|name| Path::new(LINGER).join(name).exists())
}

/// The folder where a manager with these surroundings finds a user's own units.
///
/// # Errors
/// [`Error::Setup`] where no home is known.
pub(super) fn units(environment: &Environment) -> Result<PathBuf> {
    let config = environment.xdg("XDG_CONFIG_HOME", ".config")?;
    Ok(config.join("systemd/user"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_manager_finds_its_units_by_its_own_variables() {
        let environment = Environment {
            variables: [("XDG_CONFIG_HOME", "/shell"), ("VM0_API_KEY", "x")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            home: Some("/home/me".into()),
            current_dir: "/".into(),
        };
        let of = |variables: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let variables: Vec<_> = variables.iter().map(pair).collect();
            let seen = surroundings(&environment, &variables);
            assert!(
                !seen
                    .variables
                    .contains_key("VM0_API_KEY".as_ref() as &std::ffi::OsStr)
            );
            units(&seen).unwrap()
        };
        assert_eq!(of(&[]), Path::new("/home/me/.config/systemd/user"));
        let told = [("HOME", "/other")];
        assert_eq!(of(&told), Path::new("/other/.config/systemd/user"));
        let told = [("HOME", "/other"), ("XDG_CONFIG_HOME", "/its")];
        assert_eq!(of(&told), Path::new("/its/systemd/user"));
    }

    #[test]
    fn a_value_is_read_as_the_manager_has_it() {
        for (shown, value) in [
            ("/a/b", "/a/b"),
            ("$'/a b/c'", "/a b/c"),
            (r"$'it\'s\n\\'", "it's\n\\"),
            ("$x", "$x"),
        ] {
            assert_eq!(unquoted(shown), value);
        }
    }
}
