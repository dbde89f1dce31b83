//! The program as a helper of mount(8), which calls it as `mount.vm0fs` or
//! `mount.fuse.vm0fs` (`SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`), or by
//! way of `mount.fuse` of the package fuse3 (`vm0fs SOURCE DIR -o OPTIONS`).
//!
//! It says what a table asks for in the words of `vm0fs mount`, and starts that.

mod give;

use self::give::give;
use super::{fstab, mount::MountArgs, output::print};
use crate::{
    error::{Error, Result},
    proc::{self, OWN_PROGRAM},
    text::one_line,
};
use clap::{Args, Command as Declaration};
use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

/// The exit codes of mount(8).
const USAGE: u8 = 1;
const SYSTEM: u8 = 2;
const INTERRUPTED: u8 = 8;
const FAILED: u8 = 32;

/// How a program is called that mount(8) starts.
const PREFIX: &str = "mount.";

/// The first field of lines that name no source.
const NONE: &str = "none";

/// Where `mount.fuse` of fuse3 opens the device itself (`drop_privileges`), the mountpoint
/// is a descriptor.
const DESCRIPTORS: &str = "/dev/fd/";

/// What the helper itself says of how it is called.
const HELP: &str = "Mounts vm0fs for mount(8), which calls this program:
  mount.vm0fs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
Call instead: mount -t vm0fs [-o OPTIONS] vm0fs DIR
mount.vm0fs(8) and `vm0fs help startup` say more.
";

/// What mount(8) asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    source: OsString,
    mountpoint: PathBuf,
    options: Vec<String>,
    is_sloppy: bool,
    is_fake: bool,
    is_verbose: bool,
    namespace: Option<OsString>,
}

/// Why a helper failed, and its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code, as mount(8) defines them.
    pub code: u8,
    /// Why.
    pub error: Error,
}

fn usage(error: Error) -> Failure {
    Failure { code: USAGE, error }
}

/// Mounts where mount(8) has called this program, and gives the exit code; `None` where a
/// user has. To be called while the process has one thread.
///
/// # Errors
/// What is wrong with what mount(8) was told, or what could not be done.
pub fn run(commands: &Declaration) -> std::result::Result<Option<u8>, Failure> {
    let Some(words) = words(std::env::args_os().collect(), commands) else {
        return Ok(None);
    };
    match words.iter().map(|word| word.to_str()).collect::<Vec<_>>()[..] {
        [Some("-h" | "--help")] => return say(HELP),
        [Some("-V" | "--version")] => {
            return say(concat!("vm0fs ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        _ => {}
    }
    let call = Call::parse(words).map_err(usage)?;
    let declaration = MountArgs::augment_args(Declaration::new("vm0fs mount"));
    let asked = fstab::read(&call.options.join(","), &declaration, call.is_sloppy);
    let asked = asked.map_err(usage)?;
    let arguments = call.arguments(asked.arguments).map_err(usage)?;
    // Of a bad value.
    let command_line = [OsString::from("mount")]
        .into_iter()
        .chain(arguments.clone());
    if let Err(error) = declaration.try_get_matches_from(command_line) {
        let told = error.to_string();
        let told = told.split("\n\n").next().unwrap_or_default();
        let told = told.trim_start_matches("error: ").trim().to_owned();
        return Err(usage(Error::Setup(told)));
    }
    if call.is_fake {
        return Ok(Some(0));
    }
    if let Some(namespace) = &call.namespace {
        enter(namespace)?;
    }
    // `mount -a` takes the path for another mount, and asks for what there is.
    let is_there = || proc::mount_at(&call.mountpoint).ok().flatten();
    if call.name_of_path().is_some() && is_there().is_some_and(|entry| entry.is_vm0fs()) {
        return Ok(Some(0));
    }
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("vm0fs").arg("mount").args(arguments);
    let refusal = match asked.setuid {
        Some(user) => become_user(&user, &call.mountpoint, &mut command)?,
        None => None,
    };
    let status = command.status().map_err(|error| Failure {
        code: SYSTEM,
        error: Error::io("starting vm0fs mount", error),
    })?;
    let code = match (status.code(), status.signal()) {
        (Some(0), _) => 0,
        (_, Some(libc::SIGINT)) => INTERRUPTED,
        _ => FAILED,
    };
    match refusal {
        // The mount has said what that user may not do; this says why.
        Some(error) if code == FAILED => Err(Failure { code, error }),
        _ => Ok(Some(code)),
    }
}

/// Answers a user who has called the helper itself.
fn say(text: &str) -> std::result::Result<Option<u8>, Failure> {
    let failed = |error| Failure {
        code: SYSTEM,
        error,
    };
    print(text).map(|()| Some(0)).map_err(failed)
}

/// The arguments, where it is mount(8) that has called.
fn words(all: Vec<OsString>, commands: &Declaration) -> Option<Vec<OsString>> {
    let mut all = all.into_iter();
    let name = PathBuf::from(all.next()?);
    let words: Vec<OsString> = all.collect();
    let name = name.file_name().unwrap_or_default();
    if name.as_bytes().starts_with(PREFIX.as_bytes()) {
        return Some(words);
    }
    // As `mount.fuse` calls it, and no user does.
    let [source, _, flag, _] = words.as_slice() else {
        return None;
    };
    let is_command = source.as_bytes().starts_with(b"-")
        || source
            .to_str()
            .is_some_and(|name| commands.find_subcommand(name).is_some());
    (flag == "-o" && !is_command).then_some(words)
}

impl Call {
    fn parse(words: Vec<OsString>) -> Result<Self> {
        let mut call = Self::default();
        let mut places = Vec::new();
        let mut words = words.into_iter();
        let mut are_flags = true;
        while let Some(word) = words.next() {
            let bytes = word.as_bytes().to_vec();
            if !are_flags || bytes.len() < 2 || bytes[0] != b'-' {
                places.push(word);
                continue;
            }
            if bytes == b"--" {
                are_flags = false;
                continue;
            }
            for (at, letter) in bytes.iter().enumerate().skip(1) {
                match letter {
                    b's' => call.is_sloppy = true,
                    b'f' => call.is_fake = true,
                    b'v' => call.is_verbose = true,
                    // There is no table that it would have to write.
                    b'n' => {}
                    b'o' | b't' | b'N' => {
                        let rest = OsStr::from_bytes(&bytes[at + 1..]).to_owned();
                        let value = match rest.is_empty() {
                            true => words
                                .next()
                                .ok_or_else(|| wrong("an option lacks its value"))?,
                            false => rest,
                        };
                        match letter {
                            b'o' => call.options.push(text(value)?),
                            b'N' => call.namespace = Some(value),
                            _ => {}
                        }
                        break;
                    }
                    _ => {
                        let shown = one_line(&word.to_string_lossy(), 60);
                        return Err(wrong(&format!("{shown} is no option of mount helpers")));
                    }
                }
            }
        }
        let places: [OsString; 2] = places
            .try_into()
            .map_err(|_| wrong("a source and a mountpoint are needed, and nothing else"))?;
        let [source, mountpoint] = places;
        call.source = source;
        call.mountpoint = mountpoint.into();
        if call.mountpoint.starts_with(DESCRIPTORS) {
            return Err(Error::Setup(format!(
                "drop_privileges is not supported; for a mount of another user than root: {}=USER",
                fstab::SETUID
            )));
        }
        Ok(call)
    }

    /// What the table or the user has for the source, where mount(8) hands on a path
    /// instead: it does so where the current folder has a file of that name, such as the
    /// program or its sources.
    fn name_of_path(&self) -> Option<&'static str> {
        let is_it = |name: &&str| fs::canonicalize(name).is_ok_and(|path| path == *self.source);
        [fstab::SOURCE, NONE].into_iter().find(is_it)
    }

    /// The arguments of `vm0fs mount`.
    fn arguments(&self, options: Vec<String>) -> Result<Vec<OsString>> {
        let options_name_api = options
            .iter()
            .any(|option| option.starts_with("--api-url="));
        let mut arguments: Vec<OsString> = options.into_iter().map(OsString::from).collect();
        let source = self.name_of_path().or(self.source.to_str());
        let source = source.unwrap_or("?");
        if source.contains("://") {
            if options_name_api {
                return Err(Error::Setup(format!(
                    "the API is named twice, as what is mounted ({}) and as api-url; leave out one",
                    one_line(source, 200)
                )));
            }
            arguments.push(format!("--api-url={source}").into());
            arguments.push(format!("--source={source}").into());
        } else if !["", NONE, fstab::SOURCE].contains(&source) {
            return Err(Error::Setup(format!(
                "{} cannot be mounted: the first field is vm0fs, or the address of an API such \
                 as https://api.example.com",
                one_line(source, 200)
            )));
        } else if source == NONE {
            arguments.push(format!("--source={NONE}").into());
        }
        if self.is_verbose {
            arguments.push("--verbose".into());
        }
        arguments.push("--".into());
        arguments.push(self.mountpoint.clone().into());
        Ok(arguments)
    }
}

fn wrong(what: &str) -> Error {
    Error::Setup(format!(
        "{what}; mount(8) calls this program: mount -t vm0fs [-o OPTIONS] vm0fs DIR"
    ))
}

fn text(value: OsString) -> Result<String> {
    let not_text = |_| Error::Setup("the options are not UTF-8 text".into());
    value.into_string().map_err(not_text)
}

/// Goes into the mount namespace where mount(8) is to mount (`mount --namespace`): a file,
/// or a process id.
fn enter(namespace: &OsStr) -> std::result::Result<(), Failure> {
    let path = match namespace.to_str().and_then(|text| text.parse().ok()) {
        Some(pid) => proc::mount_namespace(pid),
        None => Path::new(namespace).to_owned(),
    };
    let failed = |error| Failure {
        code: SYSTEM,
        error: Error::io(format!("entering the namespace {}", path.display()), error),
    };
    let file = File::open(&path).map_err(failed)?;
    let kind = Some(LinkNameSpaceType::Mount);
    move_into_link_name_space(file.as_fd(), kind).map_err(|errno| failed(errno.into()))
}

/// Goes on as another user, to whom the mountpoint is given where need be, with nothing of
/// root's environment that is root's own. Returns why the mountpoint could not be given:
/// the mount may succeed all the same.
fn become_user(
    name: &str,
    mountpoint: &Path,
    command: &mut Command,
) -> std::result::Result<Option<Error>, Failure> {
    let mut refusal = None;
    let shown = one_line(name, 60);
    let wrong = |what: String| usage(Error::Setup(format!("{}={shown}: {what}", fstab::SETUID)));
    let user = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    let user = user.map_err(|errno| wrong(errno.to_string()))?;
    let user = user.ok_or_else(|| wrong("there is no such user".into()))?;
    let own = Uid::effective();
    if own != user.uid {
        if !own.is_root() {
            return Err(wrong("only root can mount as another user".into()));
        }
        refusal = give(mountpoint, &user).err();
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        initgroups(&name, user.gid)
            .and_then(|()| setgid(user.gid))
            .and_then(|()| setuid(user.uid))
            .map_err(|errno| wrong(format!("cannot become that user: {errno}")))?;
    }
    let is_own = |name: &OsStr| {
        let starts = ["VM0", "AWS_", "XDG_"];
        let name = name.to_string_lossy();
        starts.iter().any(|start| name.starts_with(start))
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_own(name)) {
        command.env_remove(name);
    }
    command
        .env("HOME", &user.dir)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .current_dir("/");
    Ok(refusal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn called(line: &str) -> Option<Vec<OsString>> {
        words(
            line.split(' ').map(OsString::from).collect(),
            &Cli::command(),
        )
    }

    #[test]
    fn a_helper_is_told_from_a_command() {
        for line in [
            "/sbin/mount.vm0fs vm0fs /mnt -o rw",
            "mount.fuse.vm0fs vm0fs /mnt",
            "vm0fs vm0fs /mnt -o rw,dev,suid",
            "/usr/bin/vm0fs https://api.example.com /mnt -o ro",
        ] {
            assert!(called(line).is_some(), "{line}");
        }
        for line in [
            "vm0fs mount /mnt -o ro",
            "vm0fs mount -f /mnt",
            "vm0fs umount a -o b",
            "vm0fs --version",
            "vm0fs",
        ] {
            assert!(called(line).is_none(), "{line}");
        }
    }

    #[test]
    fn what_mount_says_is_understood() {
        let parse = |line: &str| Call::parse(line.split(' ').map(OsString::from).collect());
        let call = parse("vm0fs /mnt -sfnv -N 17 -o ro -oallow-other -t fuse.vm0fs").unwrap();
        assert_eq!(
            call,
            Call {
                source: "vm0fs".into(),
                mountpoint: "/mnt".into(),
                options: vec!["ro".into(), "allow-other".into()],
                is_sloppy: true,
                is_fake: true,
                is_verbose: true,
                namespace: Some("17".into()),
            }
        );
        for line in ["vm0fs", "vm0fs /mnt more", "vm0fs /mnt -x", "vm0fs /mnt -o"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("vm0fs /dev/fd/3 -o rw").is_err());
        let arguments = |source: &str| {
            let call = parse(&format!("{source} -- -mnt")).unwrap();
            let arguments = call.arguments(vec!["--offline".into()])?;
            Ok::<_, Error>(arguments.join(OsStr::new(" ")).into_string().unwrap())
        };
        assert_eq!(arguments("vm0fs").unwrap(), "--offline -- -mnt");
        assert_eq!(
            arguments("https://a.b").unwrap(),
            "--offline --api-url=https://a.b --source=https://a.b -- -mnt"
        );
        assert!(
            arguments("/dev/sda1")
                .unwrap_err()
                .to_string()
                .contains("https://")
        );
    }
}
