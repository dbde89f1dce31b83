//! `vm0fs mount --print-fstab`: the line of `/etc/fstab` that mounts as a command does.

use super::{
    fstab::{GENERIC, Generic, SETUID, SOURCE, TYPE},
    given::{not_text, own_program, unseen},
};
use crate::{
    config::Environment,
    error::{Error, Result},
    text::{shell_path, shell_word},
};
use nix::unistd::Uid;
use std::path::Path;

/// Where the program is for all users.
const INSTALLED: [&str; 2] = ["/usr/local/bin/vm0fs", "/usr/bin/vm0fs"];

/// A line of `/etc/fstab`, and what its reader must know beside.
#[derive(Debug)]
pub(super) struct Line {
    /// The line.
    pub(super) text: String,
    /// What is to be done with it, a sentence each.
    pub(super) notes: Vec<String>,
}

/// The line that mounts as flags of `vm0fs mount` do.
///
/// # Errors
/// [`Error::Setup`] for what cannot be written in a table.
pub(super) fn line(
    given: Vec<(String, Option<String>)>,
    mountpoint: &Path,
    environment: &Environment,
) -> Result<Line> {
    let is_root = Uid::effective().is_root();
    let before: Vec<String> = match is_root {
        true => vec!["_netdev".into(), "nofail".into()],
        // `user` means `noexec` too, which is taken back where it was not asked for.
        false => vec![
            "noauto".into(),
            "user".into(),
            "exec".into(),
            "_netdev".into(),
        ],
    };
    let words = words(given, before)?;
    let place = mountpoint
        .to_str()
        .ok_or_else(|| not_text("the mountpoint"))?;
    let text = format!(
        "{SOURCE} {} {TYPE} {} 0 0",
        escaped(place),
        escaped(&words.join(","))
    );
    Ok(Line {
        text,
        notes: notes(is_root, place, environment),
    })
}

/// The options of a table that ask for these flags, after some others.
///
/// # Errors
/// [`Error::Setup`] for a value that cannot be written in a table.
pub(super) fn words(
    given: Vec<(String, Option<String>)>,
    mut words: Vec<String>,
) -> Result<Vec<String>> {
    for (name, value) in given {
        let is_it = |meaning: &Generic| matches!(meaning, Generic::Flag(flag) if *flag == name);
        let generic = GENERIC.iter().find(|(_, meaning)| is_it(meaning));
        let generic = generic.map(|(generic, _)| *generic);
        if generic == Some("noexec") {
            words.retain(|word| word != "exec");
        }
        words.push(match (generic, value) {
            (Some(generic), _) => generic.to_owned(),
            (None, None) => name,
            (None, Some(value)) => format!("{name}={}", quoted(&name, &value)?),
        });
    }
    Ok(words)
}

/// A value as it stands in a list of options.
fn quoted(name: &str, value: &str) -> Result<String> {
    match value {
        value if value.contains('"') => Err(Error::Setup(format!(
            "{name}: a value with a double quote cannot be written in a table; give it in \
             config.toml"
        ))),
        value if value.contains(',') => Ok(format!("\"{value}\"")),
        value => Ok(value.into()),
    }
}

/// A field of a table: what would end it is written in octal (fstab(5)).
fn escaped(field: &str) -> String {
    let escape = |char: char| match char {
        ' ' | '\t' | '\n' | '\r' | '\\' => format!("\\{:03o}", u32::from(char)),
        other => other.into(),
    };
    field.chars().map(escape).collect()
}

fn notes(is_root: bool, place: &str, environment: &Environment) -> Vec<String> {
    let shown = shell_path(Path::new(place));
    let mut notes = vec![match is_root {
        true => format!(
            "add it to /etc/fstab, then: mount {shown}. At boot root mounts it, with root's \
             settings and token; {SETUID}=USER makes it USER's, x-systemd.automount waits with \
             it for the first use"
        ),
        false => format!(
            "have root add it to /etc/fstab; then you mount and unmount: mount {shown}, umount \
             {shown}"
        ),
    }];
    notes.extend(missing_helper());
    notes.extend(unseen(environment, &[], "a mount at boot or by systemd"));
    notes
}

/// What is to be done before mount(8) can find the program, where it cannot: one that was
/// built from its sources, or installed without root, is where mount(8) does not look.
pub(super) fn missing_helper() -> Option<String> {
    let links = [TYPE, SOURCE].map(|name| format!("/sbin/mount.{name}"));
    let exists = |path: &&str| Path::new(path).exists();
    // Which looks for the program itself.
    let of_fuse = exists(&"/sbin/mount.fuse") && INSTALLED.iter().any(exists);
    if exists(&&*links[0]) || of_fuse {
        return None;
    }
    let program = own_program().ok()?;
    let program = program.to_str()?;
    // No link to where its user can exchange it: root will start it.
    let (copy, target) = match INSTALLED.contains(&program) {
        true => (String::new(), program),
        false => {
            let target = INSTALLED[0];
            let copy = format!("install -m 755 {} {target} && ", shell_word(program));
            (copy, target)
        }
    };
    Some(format!(
        "mount finds no program for {TYPE} yet; have root do this before: {copy}{}",
        links
            .map(|link| format!("ln -sf {target} {link}"))
            .join(" && ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        cli::{fstab::read, given::given},
        config::MountOptions,
    };
    use clap::{Args, Command};
    use std::ffi::OsString;

    #[test]
    fn a_line_asks_for_what_the_arguments_do() {
        let declaration = MountOptions::augment_args(Command::new("mount"));
        let environment = Environment {
            current_dir: "/home/a b".into(),
            ..Environment::default()
        };
        let words = "mount --cache-size=50G --token-file t,1 --allow-other --no-exec --read-only";
        let arguments = words.split(' ').map(OsString::from);
        let place = Path::new("/home/a b/vm0");
        let given = given(&declaration, arguments, &environment).unwrap();
        let made = line(given, place, &environment).unwrap();
        let fields: Vec<&str> = made.text.split(' ').collect();
        assert_eq!(fields[..3], ["vm0fs", "/home/a\\040b/vm0", "fuse.vm0fs"]);
        assert_eq!(fields[4..], ["0", "0"]);
        let options = fields[3].replace("\\040", " ");
        assert!(
            options.contains("token-file=\"/home/a b/t,1\""),
            "{options}"
        );
        let asked = read(&options, &declaration, false).unwrap();
        assert_eq!(
            asked.arguments,
            [
                "--allow-other",
                "--cache-size=50G",
                "--no-exec",
                "--read-only",
                "--token-file=/home/a b/t,1"
            ]
        );
    }
}
