//! The options of a mount as `/etc/fstab` and `mount -o` write them: the flags of `vm0fs
//! mount` without their dashes (`cache-size=50G,allow-other`), beside those that mount(8)
//! has for every file system.
//!
//! The set is [`options`], made from the declaration of `vm0fs mount`, and [`GENERIC`].
//! `allow_other` is the same as `allow-other`, since other file systems spell it so. A value
//! with a comma stands in double quotes, which mount(8) leaves where they are.

use crate::{
    error::{Error, Result},
    text::{self, one_line},
};
use clap::{Arg, ArgAction, Command};
use std::path::Path;

/// The type of the file system in a table. mount(8) finds it by `mount.fuse.vm0fs` and,
/// where that is not installed, by `mount.fuse` of the package fuse3.
pub(super) const TYPE: &str = "fuse.vm0fs";

/// The first field of a line: what is mounted, where that is not the address of an API.
pub(super) const SOURCE: &str = "vm0fs";

/// Flags of `vm0fs mount` that are no options of a table: a mount of the table is in the
/// background, and prints nothing but errors.
const NOT_IN_TABLES: [&str; 3] = ["foreground", "print-fstab", "print-unit"];

/// Options that name the user as whom a mount of root is made.
pub(super) const SETUID: &str = "setuid";

/// What an option of every file system means for this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generic {
    /// It is for mount(8), systemd or a reader, or has no effect on such files: it is taken,
    /// and nothing else. (`dev` and `suid` are among them: a mount is `nodev,nosuid` always.)
    Ignored,
    /// It is this flag.
    Flag(&'static str),
    /// It takes back this flag, where it stands after it.
    NotFlag(&'static str),
}

use Generic::{Flag, Ignored, NotFlag};

/// The options that mount(8) has for every file system ("FILESYSTEM-INDEPENDENT MOUNT
/// OPTIONS"), and what becomes of each. `x-…`, `X-…` and `comment=…` are ignored too.
pub(super) const GENERIC: &[(&str, Generic)] = &[
    ("ro", Flag("read-only")),
    ("rw", NotFlag("read-only")),
    ("noexec", Flag("no-exec")),
    ("exec", NotFlag("no-exec")),
    ("nosuid", Ignored),
    ("suid", Ignored),
    ("nodev", Ignored),
    ("dev", Ignored),
    ("defaults", Ignored),
    ("auto", Ignored),
    ("noauto", Ignored),
    ("nofail", Ignored),
    ("_netdev", Ignored),
    ("_rnetdev", Ignored),
    ("user", Ignored),
    ("nouser", Ignored),
    ("users", Ignored),
    ("nousers", Ignored),
    ("owner", Ignored),
    ("noowner", Ignored),
    ("group", Ignored),
    ("nogroup", Ignored),
    ("async", Ignored),
    ("sync", Ignored),
    ("dirsync", Ignored),
    ("atime", Ignored),
    ("noatime", Ignored),
    ("diratime", Ignored),
    ("nodiratime", Ignored),
    ("relatime", Ignored),
    ("norelatime", Ignored),
    ("strictatime", Ignored),
    ("nostrictatime", Ignored),
    ("lazytime", Ignored),
    ("nolazytime", Ignored),
    ("iversion", Ignored),
    ("noiversion", Ignored),
    ("mand", Ignored),
    ("nomand", Ignored),
    ("silent", Ignored),
    ("loud", Ignored),
];

/// Words by which a user would give a token in a table.
const SECRETS: [&str; 7] = [
    "token",
    "api-token",
    "api-key",
    "vm0-api-key",
    "vm0-token",
    "password",
    "pass",
];

/// The options that are flags of `vm0fs mount`, from its declaration.
pub(super) fn options(declaration: &Command) -> impl Iterator<Item = &Arg> {
    let shown = declaration.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter(|arg| {
        arg.get_long()
            .is_some_and(|name| !NOT_IN_TABLES.contains(&name) && name != "help")
    })
}

/// What options of a table ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The arguments of `vm0fs mount`.
    pub(super) arguments: Vec<String>,
    /// The user as whom the mount is to be made.
    pub(super) setuid: Option<String>,
}

/// Reads options. A sloppy reader passes over those that it does not know.
///
/// # Errors
/// [`Error::Setup`] that names the option, and the nearest one that there is.
pub(super) fn read(text: &str, declaration: &Command, is_sloppy: bool) -> Result<Asked> {
    let mut asked = Asked::default();
    let mut flags: Vec<&str> = Vec::new();
    for option in split(text) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&*option, None),
        };
        let is_comment = ["x-", "X-"].iter().any(|start| name.starts_with(start));
        if is_comment || name == "comment" {
            continue;
        }
        if let Some((_, meaning)) = GENERIC.iter().find(|(generic, _)| *generic == name) {
            match meaning {
                Ignored => {}
                Flag(flag) => flags.push(flag),
                NotFlag(flag) => flags.retain(|other| other != flag),
            }
            continue;
        }
        if name == SETUID {
            let user = value.filter(|user| !user.is_empty());
            let none = || Error::Setup("setuid names a user: setuid=alice".into());
            asked.setuid = Some(user.ok_or_else(none)?.to_owned());
            continue;
        }
        let spelt = name.replace('_', "-");
        let known = options(declaration).find(|arg| arg.get_long() == Some(&*spelt));
        match known {
            Some(arg) => {
                let argument = argument(arg, &spelt, value)?;
                if matches!(arg.get_action(), ArgAction::Set) {
                    // The last one counts: mount(8) puts the user's after the table's.
                    let before = format!("--{spelt}=");
                    asked.arguments.retain(|other| !other.starts_with(&before));
                }
                asked.arguments.push(argument);
            }
            None if is_sloppy && !is_secret(&spelt) => {}
            None => return Err(unknown(name, &spelt, declaration)),
        }
    }
    let flags = flags.into_iter().map(|flag| format!("--{flag}"));
    asked.arguments.extend(flags);
    asked.arguments.sort();
    // A flag may stand in the table in both of its spellings.
    asked
        .arguments
        .dedup_by(|one, other| one == other && !one.contains('=') && *one != "--verbose");
    Ok(asked)
}

/// The options of a text: apart by commas, but not by those in double quotes.
fn split(text: &str) -> Vec<String> {
    let mut is_quoted = false;
    let pieces = text.split(|char| {
        is_quoted ^= char == '"';
        char == ',' && !is_quoted
    });
    let pieces = pieces.map(|piece| piece.trim().replace('"', ""));
    pieces.filter(|piece| !piece.is_empty()).collect()
}

/// An option as an argument.
fn argument(arg: &Arg, name: &str, value: Option<&str>) -> Result<String> {
    let takes_value = arg.get_action().takes_values();
    match value {
        Some(value) if takes_value && is_path(arg) && !Path::new(value).is_absolute() => {
            // The value is not repeated: it may be a token in place of its file.
            Err(Error::Setup(format!(
                "{name}: a path in the options of a mount must begin with /"
            )))
        }
        Some(value) if takes_value => Ok(format!("--{name}={value}")),
        Some(_) => Err(Error::Setup(format!(
            "{name} takes no value: write {name} alone"
        ))),
        None if takes_value => Err(Error::Setup(format!(
            "{name} needs a value: {name}={}",
            value_name(arg)
        ))),
        None => Ok(format!("--{name}")),
    }
}

/// What an argument's value is called in its help.
pub(super) fn value_name(arg: &Arg) -> &str {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or("VALUE", |name| name.as_str())
}

/// Whether its value is a path.
pub(super) fn is_path(arg: &Arg) -> bool {
    ["FILE", "DIR"].contains(&value_name(arg))
}

fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name.to_ascii_lowercase().as_str())
}

/// Says what may have been meant. The value is not repeated: it may be a token.
fn unknown(name: &str, spelt: &str, declaration: &Command) -> Error {
    let shown = one_line(name, 60);
    if is_secret(spelt) {
        return Error::Setup(format!(
            "{shown} is no option: every user can read a table of mounts and a command line. Put \
             the token into a file that only its owner can read (chmod 600), and name that: \
             token-file=/path/of/it"
        ));
    }
    let advice = match name {
        "uid" | "gid" | "umask" => format!(
            "; files belong to the user who mounts. For a mount of another user than root: \
             {SETUID}=USER"
        ),
        "default_permissions" => "; leave it out: vm0fs itself says who may do what".into(),
        "fsname" | "subtype" => {
            "; leave it out: the first field is what the list of mounts shows".into()
        }
        "nosymfollow" => "; versions have symlinks as they were saved, none of which leads out of \
            its version (allow-external-symlinks)"
            .into(),
        "remount" => "; unmount and mount again for other options".into(),
        _ => match nearest(spelt, declaration) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        },
    };
    Error::Setup(format!(
        "{shown} is no option of vm0fs{advice} (mount.vm0fs(8) and `vm0fs help settings` have them all)"
    ))
}

/// The option whose name is most like this one.
fn nearest<'a>(name: &str, declaration: &'a Command) -> Option<&'a str> {
    let flags = options(declaration).filter_map(Arg::get_long);
    let generic = GENERIC.iter().map(|(name, _)| *name);
    text::nearest(name, flags.chain(generic).chain([SETUID]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::MountOptions;
    use clap::{ArgAction, Args};

    fn declaration() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let command = Command::new("mount").arg(flag("foreground"));
        let command = command.arg(Arg::new("print_fstab").long("print-fstab").num_args(0));
        MountOptions::augment_args(command)
    }

    fn arguments(text: &str) -> Vec<String> {
        read(text, &declaration(), false).unwrap().arguments
    }

    fn problem(text: &str) -> String {
        read(text, &declaration(), false).unwrap_err().to_string()
    }

    #[test]
    fn options_are_flags_without_dashes() {
        assert_eq!(
            arguments(
                "rw,cache-size=50G,allow_other,_netdev,x-systemd.automount,noauto,allow-other"
            ),
            ["--allow-other", "--cache-size=50G"]
        );
        assert_eq!(
            arguments("cache-dir=\"/a,b\",timeout=3s,comment=x,X-foo,,dev,suid"),
            ["--cache-dir=/a,b", "--timeout=3s"]
        );
        // The last one counts.
        let twice = "cache-size=1G,token-file=/a,cache_size=2G";
        let given = ["--cache-size=2G", "--token-file=/a"];
        assert_eq!(arguments(twice), given);
        assert_eq!(arguments("ro,noexec,nosuid"), ["--no-exec", "--read-only"]);
        assert!(arguments("noexec,ro,user,exec,rw").is_empty());
        let asked = read("setuid=alice,offline", &declaration(), false).unwrap();
        assert_eq!(asked.setuid.as_deref(), Some("alice"));
    }

    #[test]
    fn an_unknown_option_is_an_error_with_the_nearest_name() {
        for (text, near) in [
            ("cahce-size=1G", "did you mean cache-size?"),
            ("allow-othr", "did you mean allow-other?"),
            ("nosuidd", "did you mean nosuid?"),
            ("uid=1000", "setuid=USER"),
            ("remount", "unmount and mount again"),
            ("default_permissions", "leave it out"),
            ("fsname=vm0", "the first field"),
            ("nosymfollow", "allow-external-symlinks"),
            ("cache-dir=relative", "must begin with /"),
            ("cache-size", "cache-size=SIZE"),
            ("offline=yes", "takes no value"),
            ("setuid", "setuid=alice"),
            ("foreground", "is no option"),
        ] {
            assert!(problem(text).contains(near), "{text}: {}", problem(text));
        }
        assert!(!problem("qqqqqqqq=x").contains("did you mean"));
        assert!(read("cahce-size=1G,offline", &declaration(), true).is_ok());
    }

    #[test]
    fn a_token_is_refused_and_not_repeated() {
        let in_place_of_its_file = problem("token-file=vm0_live_s3cret");
        assert!(
            !in_place_of_its_file.contains("s3cret"),
            "{in_place_of_its_file}"
        );
        for name in ["token", "VM0_API_KEY", "vm0_token", "api_key", "password"] {
            for is_sloppy in [false, true] {
                let text = format!("{name}=s3cret");
                let error = read(&text, &declaration(), is_sloppy).unwrap_err();
                let error = error.to_string();
                assert!(error.contains("token-file=/"), "{error}");
                assert!(!error.contains("s3cret"), "{error}");
            }
        }
    }
}
