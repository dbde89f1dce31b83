//! Archives that mean harm, each with what a user sees of it through a mount.
//!
//! The tricks are a table: a row is an archive and either everything that is
//! shown of it or the failure of the whole. What must hold for all of them is
//! asked of all of them: nothing outside of the version is reached, read or
//! changed, no name becomes one in the cache, memory and disk stay in bounds,
//! and the mount lives on.

mod bombs;
mod broken;
mod entries;
mod links;
mod names;
mod numbers;
mod walk;

use crate::support::{Bench, Mount, Who};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use vm0fs::demo::{Kind, VersionSpec, World};
use walk::walk;

/// What the mounts of this table may have for their cache.
const CACHE_MIB: u64 = 64;
/// What such a mount may take of memory, in MiB: some 20 for itself, the rest
/// for the largest archive of the table.
const MEMORY_MIB: u64 = 100;

/// One row: an archive, and what becomes of it.
struct Trick {
    name: &'static str,
    archive: Vec<u8>,
    outcome: Outcome,
}

enum Outcome {
    /// The lines of [`walk`].
    Shown(Vec<String>),
    /// What tools say of every path in it, and words of `.vm0fs/errors`.
    Refused(&'static str, &'static str),
}

fn shown(name: &'static str, archive: Vec<u8>, lines: &[&str]) -> Trick {
    let lines = lines.iter().map(|&line| line.to_owned()).collect();
    let outcome = Outcome::Shown(lines);
    Trick {
        name,
        archive,
        outcome,
    }
}

fn refused(
    name: &'static str,
    archive: Vec<u8>,
    reason: &'static str,
    said: &'static str,
) -> Trick {
    Trick {
        name,
        archive,
        outcome: Outcome::Refused(reason, said),
    }
}

/// A file of the host at which the tricks aim.
struct Canary {
    dir: TempDir,
    before: (u64, i64, i64, u32),
}

impl Canary {
    const CONTENT: &str = "the content of the canary, which no reader may see";

    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("vm0fs-canary-")
            .tempdir_in("/tmp")
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, Self::CONTENT).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let before = Self::state(&file);
        Self { dir, before }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// The file's path as text.
    fn path(&self) -> String {
        self.file().to_str().unwrap().to_owned()
    }

    /// The file's path from a folder that lies so many levels below `/tmp`.
    fn from(&self, levels: usize) -> String {
        let path = self.path();
        "../".repeat(levels) + path.strip_prefix("/tmp/").unwrap()
    }

    /// From the root of a version in a mount of a [`Bench`]:
    /// `/tmp/<bench>/<mount>/artifacts/<name>/<version>`.
    fn relative(&self) -> String {
        self.from(5)
    }

    fn state(file: &Path) -> (u64, i64, i64, u32) {
        let data = fs::metadata(file).unwrap();
        (data.ino(), data.mtime(), data.mtime_nsec(), data.mode())
    }

    /// It is as it was, and alone.
    #[track_caller]
    fn is_unharmed(&self) {
        assert_eq!(Self::state(&self.file()), self.before);
        assert_eq!(fs::read_to_string(self.file()).unwrap(), Self::CONTENT);
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 1);
    }
}

/// The most memory that a mount has had so far, in MiB.
fn peak(mount: &Mount) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// The cache directory of a mount.
fn cache(bench: &Bench, who: Who) -> PathBuf {
    bench.dir().join(format!("home-{who:?}/.cache/vm0fs"))
}

/// What a cache takes of the disk, in MiB.
fn disk(cache: &Path) -> u64 {
    let output = std::process::Command::new("du")
        .args(["-sm"])
        .arg(cache)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn every_trick_has_its_outcome() {
    let canary = Canary::new();
    let tricks: Vec<Trick> = [
        names::tricks(&canary),
        links::tricks(&canary),
        entries::tricks(&canary),
        numbers::tricks(),
        broken::tricks(),
    ]
    .into_iter()
    .flatten()
    .collect();
    for who in Who::all() {
        let mut world = World::empty();
        // There are more than a page of them, and none may be missed.
        world.quirks.cursor_by_id = false;
        let versions: Vec<String> = tricks
            .iter()
            .map(|trick| {
                let id = world.add_storage(Kind::Artifact, trick.name);
                world.add_version(&id, VersionSpec::archive(trick.archive.clone()))
            })
            .collect();
        let bench = Bench::new(world);
        let size = format!("{CACHE_MIB}MiB");
        let mount = bench.mount_as(who).with(["--cache-size", &size]).start();
        let mut wrong = Vec::new();
        for (trick, version) in tricks.iter().zip(&versions) {
            let path = format!("artifacts/{}/{version}", trick.name);
            let seen = match &trick.outcome {
                // A mount is for its owner only, and this process is root.
                Outcome::Shown(_) if who != Who::Myself => None,
                Outcome::Shown(expected) => {
                    // A version that fails shall not hide what becomes of the others.
                    let root = mount.join(&path);
                    match std::panic::catch_unwind(|| walk(&root)) {
                        Ok(seen) => (seen != *expected).then(|| format!("{seen:#?}")),
                        Err(_) => Some("it cannot be read".into()),
                    }
                }
                Outcome::Refused(reason, _) => not_refused(&mount, &path, reason),
            };
            wrong.extend(seen.map(|seen| format!("{}: {seen}", trick.name)));
        }
        // The page of failures stands for a second.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let errors = mount.cat(".vm0fs/errors");
        for (trick, version) in tricks.iter().zip(&versions) {
            let mut lines = errors
                .lines()
                .filter(|line| line.contains(version.as_str()));
            let as_expected = match trick.outcome {
                Outcome::Shown(_) => lines.next().is_none(),
                Outcome::Refused(_, said) => lines.any(|line| line.contains(said)),
            };
            if !as_expected {
                let told: Vec<&str> = errors
                    .lines()
                    .filter(|line| line.contains(version))
                    .collect();
                wrong.push(format!("{}: told {told:#?}", trick.name));
            }
        }
        assert!(wrong.is_empty(), "{who:?}: {}", wrong.join("\n"));
        assert!(!errors.contains(|c: char| c.is_control() && c != '\n'));
        canary.is_unharmed();
        // The rest of the tree lives.
        assert_eq!(mount.list("artifacts").len(), tricks.len());
        mount.run("ls -l artifacts/*/ > /dev/null");
        if who == Who::Myself {
            can_be_copied(&mount, "names-for-terminals", &bench.dir().join("copy"));
        }
        keeps_to_its_own_names(&mount, &cache(&bench, who));
        let (memory, disk) = (peak(&mount), disk(&cache(&bench, who)));
        assert!(memory <= MEMORY_MIB, "{memory} MiB of memory");
        assert!(disk <= CACHE_MIB, "{disk} MiB of disk");
        let log = mount.unmount();
        assert!(
            !log.iter().any(|line| line.contains("panicked")),
            "{log:#?}"
        );
    }
}

/// A version that is refused is so as a whole, with a reason that can be
/// asked for; gives what was seen instead.
fn not_refused(mount: &Mount, path: &str, reason: &str) -> Option<String> {
    for script in [
        format!("ls {path}/"),
        format!("cat {path}/first"),
        format!("stat {path}/missing"),
    ] {
        let output = mount.try_run(&script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() || !said.contains(reason) {
            let seen = String::from_utf8_lossy(&output.stdout);
            return Some(format!("{script}: {said}{seen}"));
        }
    }
    let told = mount.run(&format!(
        "getfattr --only-values -n user.vm0.last_error {path}"
    ));
    told.is_empty().then(|| "no last_error".into())
}

/// The last version of an artifact can be copied, and the copy is the same.
fn can_be_copied(mount: &Mount, name: &str, to: &Path) {
    mount.run(&format!(
        "cp -a artifacts/{name}/latest/ {0} && diff -r artifacts/{name}/latest/ {0}",
        to.display()
    ));
}

/// Only files and folders with the cache's own names are in it, for its owner.
fn keeps_to_its_own_names(mount: &Mount, cache: &Path) {
    let find = |what: &str| mount.run(&format!("find {} {what} | sort -u", cache.display()));
    assert_eq!(find("! -type f ! -type d"), "");
    assert_eq!(find("-perm /7077"), "");
    for name in find("-type f -printf '%f\\n'").lines() {
        let known = [
            "CACHEDIR.TAG",
            "lock",
            "meta.json",
            "name",
            "pack",
            "present",
            "proven",
            "seek",
            "synced",
            "tree",
        ];
        // Answers of the API, by the hash of what they answer.
        let answer = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = known.contains(&name) || answer || name.starts_with("blob-");
        assert!(known, "{name} in the cache");
    }
}
