//! Units of systemd that mount: the user's service, one for each folder, and the system's
//! mount of root.

use super::{
    fstab, fstab_line,
    given::{not_text, own_program, unseen},
    user_manager::{self, Manager},
};
use crate::{
    config::Environment,
    error::{Error, Result},
};
use nix::unistd::Uid;
use std::{
    fmt::Write,
    path::{Component, Path, PathBuf},
};

/// The service of the package: a template, whose instance is the folder.
pub(super) const TEMPLATE: &str = include_str!("../../scripts/packaging/vm0fs@.service");

/// The template's name, and that of its instances with the folder after the `@`.
pub(super) const TEMPLATE_NAME: &str = "vm0fs@.service";

/// The longest name of a unit, in bytes (`UNIT_NAME_MAX` in systemd's sources).
const LONGEST_NAME: usize = 255;

/// A flag and its value, or several.
type Given = [(String, Option<String>)];

/// The folder as a unit's name has it, by systemd.unit(5), "string escaping for inclusion in
/// unit names".
///
/// # Errors
/// [`Error::Setup`] where a unit could not name the folder.
fn escaped(folder: &Path) -> Result<String> {
    use std::os::unix::ffi::OsStrExt;
    let is_plain = |part: &Component| matches!(part, Component::RootDir | Component::Normal(_));
    let shown = folder.display();
    if !folder.is_absolute() || !folder.components().all(|part| is_plain(&part)) {
        return Err(Error::Setup(format!(
            "{shown}: a unit cannot name a folder by way of `..`; name it without"
        )));
    }
    let folder: PathBuf = folder.components().collect();
    let bytes = folder.as_os_str().as_bytes();
    let mut name = String::new();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b':' | b'_' | b'.' => {
                name.push(char::from(*byte));
            }
            other => {
                let _ = write!(name, "\\x{other:02x}");
            }
        }
    }
    match name.len() + TEMPLATE_NAME.len() {
        0..=LONGEST_NAME if !name.is_empty() => Ok(name),
        _ => Err(Error::Setup(format!(
            "{shown}: no unit can have that name; choose a folder with a shorter path"
        ))),
    }
}

/// The user's service that mounts at a folder.
///
/// # Errors
/// [`Error::Setup`] where a unit could not name the folder.
pub(super) fn instance(folder: &Path) -> Result<String> {
    Ok(TEMPLATE_NAME.replace('@', &format!("@{}", escaped(folder)?)))
}

/// The template for this program.
///
/// # Errors
/// [`Error::Setup`] for a path that is no text.
pub(super) fn template(program: &Path) -> Result<String> {
    service(program, &[])
}

/// The template for this program with these options.
///
/// # Errors
/// [`Error::Setup`] for a path that is no text.
pub(super) fn service(program: &Path, options: &Given) -> Result<String> {
    let line = exec_start(program, options)?;
    let lines = TEMPLATE.lines().map(|own| match own {
        own if own.starts_with("ExecStart=") => line.as_str(),
        own => own,
    });
    Ok(lines.fold(String::new(), |text, line| text + line + "\n"))
}

/// What a drop-in says beside the template: another program, or options.
///
/// # Errors
/// [`Error::Setup`] for a path that is no text.
pub(super) fn drop_in(program: &Path, options: &Given) -> Result<String> {
    let line = exec_start(program, options)?;
    Ok(format!("[Service]\nExecStart=\n{line}\n"))
}

/// The line that starts a program. The folder is the instance's.
///
/// # Errors
/// [`Error::Setup`] for a path that is no text.
pub(super) fn exec_start(program: &Path, options: &Given) -> Result<String> {
    let program = program.to_str().ok_or_else(|| not_text("the program"))?;
    let mut words = vec![format!(":{program}"), "mount".into(), "--foreground".into()];
    words.extend(options.iter().map(|(name, value)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    }));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!("ExecStart={} -- %f", words.join(" ")))
}

/// A word of a command in a unit (systemd.service(5), "command lines").
fn quoted(word: &str) -> String {
    let is_plain = |char: char| !char.is_whitespace() && !"\"'\\;".contains(char);
    let specified = word.replace('%', "%%");
    if word.chars().all(is_plain) {
        return specified;
    }
    let escape = |char: char| match char {
        '"' | '\\' => format!("\\{char}"),
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        other => other.into(),
    };
    format!("\"{}\"", specified.chars().map(escape).collect::<String>())
}

/// A unit to be written down.
struct Unit {
    path: PathBuf,
    text: String,
    /// The commands that begin to use it.
    commands: String,
    /// What is to be done before that.
    missing: Option<String>,
}

/// The unit by which systemd mounts as flags of `vm0fs mount` do, and what is to be known
/// beside.
///
/// # Errors
/// [`Error::Setup`] for what a unit cannot say.
pub(super) fn printed(
    options: Vec<(String, Option<String>)>,
    folder: &Path,
    environment: &Environment,
) -> Result<(String, Vec<String>)> {
    let unit = match Uid::effective().is_root() {
        true => of_system(folder, options)?,
        false => of_user(folder, &options, environment)?,
    };
    let path = unit.path.display();
    let mut notes = vec![format!("write it to {path}, then: {}", unit.commands)];
    notes.extend(unit.missing);
    notes.extend(unseen(environment, &[], "systemd"));
    Ok((format!("# {path}\n{}", unit.text), notes))
}

/// A service of the user's.
fn of_user(folder: &Path, options: &Given, environment: &Environment) -> Result<Unit> {
    let name = instance(folder)?;
    let manager = Manager::seen_from(environment);
    let units = user_manager::units(&manager.surroundings)?;
    Ok(Unit {
        path: units.join(&name),
        text: service(&own_program()?, options)?,
        commands: format!(
            "systemctl --user daemon-reload && systemctl --user enable --now '{name}'"
        ),
        missing: None,
    })
}

/// A mount of the system's.
fn of_system(folder: &Path, options: Vec<(String, Option<String>)>) -> Result<Unit> {
    let name = format!("{}.mount", escaped(folder)?);
    // Without it systemd takes the mount for a local one, which is to be there before the
    // network is: the two orders make a cycle.
    let options = fstab_line::words(options, vec!["_netdev".into()])?.join(",");
    let options = options.replace('%', "%%");
    let place = folder.to_str().ok_or_else(|| not_text("the folder"))?;
    let place = place.replace('%', "%%");
    let (source, kind) = (fstab::SOURCE, fstab::TYPE);
    Ok(Unit {
        path: Path::new("/etc/systemd/system").join(&name),
        text: format!(
            "[Unit]
Description=VM0 platform as files at {place}
Documentation=man:vm0fs(1)
Wants=network-online.target
After=network-online.target

[Mount]
What={source}
Where={place}
Type={kind}
Options={options}
TimeoutSec=60s

[Install]
WantedBy=remote-fs.target
"
        ),
        commands: format!("systemctl daemon-reload && systemctl enable --now '{name}'"),
        missing: fstab_line::missing_helper(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The program of the package, as the template names it.
    const PACKAGED: &str = "/usr/bin/vm0fs";

    #[test]
    fn a_folder_is_named_as_systemd_does() {
        for (folder, name) in [
            ("/home/me/vm0", "vm0fs@home-me-vm0.service"),
            ("/home/a b/vm0-x/", "vm0fs@home-a\\x20b-vm0\\x2dx.service"),
            ("/.x/ü%$", "vm0fs@\\x2ex-\\xc3\\xbc\\x25\\x24.service"),
        ] {
            assert_eq!(instance(Path::new(folder)).unwrap(), name);
        }
        for folder in ["/", "/a/../b", "rel", &format!("/{}", "a".repeat(255))] {
            assert!(instance(Path::new(folder)).is_err(), "{folder}");
        }
    }

    #[test]
    fn the_packages_template_starts_the_packages_program() {
        let same = template(Path::new(PACKAGED)).unwrap();
        assert_eq!(same, TEMPLATE);
    }

    #[test]
    fn words_of_a_command_are_quoted() {
        let options = [
            ("cache-dir".to_owned(), Some("/a b/\"50%\"".to_owned())),
            ("offline".to_owned(), None),
        ];
        let line = exec_start(Path::new("/opt/x/vm0fs"), &options).unwrap();
        assert_eq!(
            line,
            "ExecStart=:/opt/x/vm0fs mount --foreground \"--cache-dir=/a b/\\\"50%%\\\"\" \
             --offline -- %f"
        );
        let line = exec_start(Path::new("/a b/vm0fs"), &[]).unwrap();
        assert!(
            line.starts_with("ExecStart=\":/a b/vm0fs\" mount"),
            "{line}"
        );
    }
}
