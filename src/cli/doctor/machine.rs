//! Checks what mounting needs of this machine, and whether `updatedb` would read all
//! files of a mount.

use super::check::Check;
use crate::{
    config::Environment,
    mount,
    proc::Process,
    supervisor,
    text::shell_path,
    unmount::{self, TABLE, TABLE_ADVICE},
};
use nix::unistd::Uid;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

const DEVICE: &str = "/dev/fuse";
const FUSE_CONF: &str = "/etc/fuse.conf";
/// The line in it by which an ordinary user may let other users in.
const ALLOWS_OTHER: &str = "user_allow_other";
const UPDATEDB_CONF: &str = "/etc/updatedb.conf";
/// What the kernel's mount table, and so `updatedb`, calls these mounts.
const FSTYPE: &str = "fuse.vm0fs";

/// The bit of a file's mode that runs it as its owner.
const SET_UID: u32 = 0o4000;
/// The bit of the right to mount in a set of capabilities (`capabilities(7)`).
const CAP_SYS_ADMIN: u64 = 1 << 21;

const CONTAINER: &str = "give a container --device /dev/fuse --cap-add SYS_ADMIN";

/// What mounting needs.
pub(super) fn check(environment: &Environment, allow_other: bool) -> Vec<Check> {
    let is_root = Uid::effective().is_root();
    let helper = match is_root {
        true => right_to_mount(Process::own().status().capabilities).of("right to mount"),
        false => helper(environment).of("fusermount3"),
    };
    let others = others(fs::read_to_string(FUSE_CONF), is_root, allow_other);
    let mut checks = vec![device().of(DEVICE), helper, others.of(ALLOWS_OTHER)];
    let awake = |(file, allowed)| awake(file, allowed).of("cores");
    checks.extend(mount::may_keep_awake().map(awake));
    checks.push(supervision().of("workers"));
    checks
}

/// Whether a mount outlives the process that serves it. A mount works without.
fn supervision() -> Check {
    Check::ok(match supervisor::obstacle() {
        None => "a mount goes on where the process that serves it dies".into(),
        Some(obstacle) => obstacle,
    })
}

/// Whether a mount keeps the cores from halting between requests. A mount works
/// without it, and only root can change it, so this never warns.
fn awake(file: &str, allowed: io::Result<()>) -> Check {
    Check::ok(match allowed {
        Ok(()) => format!("kept awake while requests follow one another ({file})"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => format!(
            "may halt between requests, which many small files feel; root can let you \
             keep them awake, until the next boot, with setfacl -m u:NAME:w {file}"
        ),
        Err(error) => format!("may halt between requests ({file}: {error})"),
    })
}

fn device() -> Check {
    let error = match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => return Check::ok("there, and can be opened"),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::NotFound => Check::fail(
            "missing",
            format!("load the kernel's module with `modprobe fuse`; {CONTAINER}"),
        ),
        io::ErrorKind::PermissionDenied => Check::fail(
            "this user may not open it",
            format!("as root: chmod 0666 {DEVICE}; {CONTAINER}"),
        ),
        _ => Check::fail(
            format!("cannot be opened: {error}"),
            "load the kernel's module with `modprobe fuse`",
        ),
    }
}

/// Whether a root, which needs no helper, may mount.
fn right_to_mount(capabilities: Option<u64>) -> Check {
    match capabilities {
        Some(set) if set & CAP_SYS_ADMIN == 0 => {
            Check::fail("this root may not mount (no CAP_SYS_ADMIN)", CONTAINER)
        }
        _ => Check::ok("root mounts by itself"),
    }
}

/// The setuid program that mounts for an ordinary user.
fn helper(environment: &Environment) -> Check {
    let path = environment.variables.get(OsStr::new("PATH"));
    let found = unmount::helper(path.map(OsString::as_os_str));
    let found = found.and_then(|file| Some((fs::metadata(&file).ok()?, file)));
    let Some((data, file)) = found else {
        return Check::fail(
            "not found in PATH, and an ordinary user needs it",
            "install the package fuse3",
        );
    };
    let (shown, word) = (file.display(), shell_path(&file));
    if data.uid() != 0 || data.permissions().mode() & SET_UID == 0 {
        return Check::fail(
            format!("{shown} does not run as root"),
            format!(
                "install the package fuse3 anew, or as root: chown root {word} && chmod 4755 {word}"
            ),
        );
    }
    if Process::own().status().no_new_privileges {
        return Check::fail(
            format!("{shown} may not run as root here (no_new_privs is set)"),
            "start the shell or service without it (NoNewPrivileges=no)",
        );
    }
    if !Path::new(TABLE).exists() {
        return Check::warn(
            format!("{shown} cannot unmount without {TABLE}, which is missing"),
            TABLE_ADVICE,
        );
    }
    Check::ok(format!("{shown}, runs as root"))
}

/// Whether other users can be let in.
fn others(conf: io::Result<String>, is_root: bool, wanted: bool) -> Check {
    if is_root {
        return Check::ok("root needs no permission for --allow-other");
    }
    let permits = conf.is_ok_and(|text| text.lines().any(|line| line.trim() == ALLOWS_OTHER));
    match (permits, wanted) {
        (true, _) => Check::ok(format!("set in {FUSE_CONF}")),
        (false, false) => Check::ok(format!(
            "not set in {FUSE_CONF}; only --allow-other needs it"
        )),
        (false, true) => Check::fail(
            format!("not set in {FUSE_CONF}, and config.toml says allow-other"),
            format!(
                "as root, add the line {ALLOWS_OTHER} to {FUSE_CONF}; or take allow-other away"
            ),
        ),
    }
}

/// Whether `updatedb`, which lists all files for `locate`, leaves mounts out.
pub(super) fn updatedb() -> Check {
    prunes(fs::read_to_string(UPDATEDB_CONF)).of("updatedb")
}

fn prunes(conf: io::Result<String>) -> Check {
    let text = match conf {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(format!("not set up here (no {UPDATEDB_CONF})"));
        }
        Err(error) => {
            return Check::warn(
                format!("{UPDATEDB_CONF} cannot be read: {error}"),
                format!("see that PRUNEFS in it has {FSTYPE}"),
            );
        }
    };
    // As `updatedb.conf(5)` has it: NAME = "values", and comments.
    let value = text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("PRUNEFS")?.trim_start();
        Some(value.strip_prefix('=')?.trim().trim_matches('"'))
    });
    let mut types = value.unwrap_or_default().split_whitespace();
    if types.any(|each| each.eq_ignore_ascii_case(FSTYPE)) {
        return Check::ok(format!("leaves mounts of vm0fs out ({UPDATEDB_CONF})"));
    }
    let line = match value {
        Some(value) if !value.is_empty() => format!("PRUNEFS=\"{value} {FSTYPE}\""),
        _ => format!("PRUNEFS=\"{FSTYPE}\""),
    };
    let instead = match value {
        Some(_) => "make its line of PRUNEFS",
        None => "add the line",
    };
    Check::warn(
        format!("walks through mounts of vm0fs, each night ({UPDATEDB_CONF})"),
        format!("as root, {instead} {line}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::check::Level, *};

    #[test]
    fn a_root_without_rights() {
        assert_eq!(
            right_to_mount(Some(0x0000_0000_a804_25fb)).level,
            Level::Fail
        );
        assert_eq!(right_to_mount(Some(0x0000_01ff_ffff_ffff)).level, Level::Ok);
        assert_eq!(right_to_mount(None).level, Level::Ok);
    }

    #[test]
    fn keeping_the_cores_awake() {
        let check = |allowed| awake("/dev/bounds", allowed);
        assert!(check(Ok(())).found.starts_with("kept awake"));
        let refused = check(Err(io::ErrorKind::PermissionDenied.into())).found;
        assert!(refused.ends_with("u:NAME:w /dev/bounds"), "{refused}");
        let missing = check(Err(io::ErrorKind::NotFound.into()));
        assert_eq!((missing.level, missing.advice), (Level::Ok, None));
    }

    #[test]
    fn a_missing_user_allow_other_fails_where_it_is_wanted() {
        let conf = |text: &str| Ok(text.to_owned());
        let level = |text: &str, wanted| others(conf(text), false, wanted).level;
        assert_eq!(
            level("# user_allow_other\n#user_allow_other\n", true),
            Level::Fail
        );
        assert_eq!(level("# user_allow_other\n", false), Level::Ok);
        assert_eq!(
            level("mount_max = 5\n  user_allow_other \n", true),
            Level::Ok
        );
        let missing = Err(io::ErrorKind::NotFound.into());
        assert_eq!(others(missing, false, true).level, Level::Fail);
        assert_eq!(others(conf(""), true, true).level, Level::Ok);
    }

    #[test]
    fn the_line_for_updatedb() {
        let advice = |text: &str| prunes(Ok(text.to_owned())).advice;
        let line = advice("PRUNE_BIND_MOUNTS=\"yes\"\nPRUNEFS = \"NFS fuse.sshfs\"\n").unwrap();
        assert!(
            line.ends_with("PRUNEFS=\"NFS fuse.sshfs fuse.vm0fs\""),
            "{line}"
        );
        let line = advice("#PRUNEFS=\"fuse.vm0fs\"\n").unwrap();
        assert!(
            line.ends_with("add the line PRUNEFS=\"fuse.vm0fs\""),
            "{line}"
        );
        assert_eq!(advice("PRUNEFS=\"nfs FUSE.vm0fs\"\n"), None);
        let missing = prunes(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(missing.level, Level::Ok);
    }

    #[test]
    fn the_helper_is_looked_for_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment {
            variables: [("PATH".into(), dir.path().into())].into(),
            ..Environment::default()
        };
        let check = helper(&environment);
        assert!(check.found.contains("not found in PATH"), "{check:?}");
        fs::write(dir.path().join("fusermount"), "").unwrap();
        let check = helper(&environment);
        assert!(check.found.contains("does not run as root"), "{check:?}");
    }
}
