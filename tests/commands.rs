//! The commands as a user meets them: what they print, how they exit, and what
//! they leave behind.

mod cache;
mod demo;
mod errors;
mod first;
mod mount;
mod prefetch;
mod refusals;
mod top;
mod unmount;

use crate::support::{Bench, SOON, Who, is_mounted, program};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Agent, File, Kind, VersionSpec, World};

/// A command that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(300);

/// An agent `writer`, and an artifact `site` with one small file.
pub(crate) fn small_world() -> World {
    let mut world = World::empty();
    let then = world.ago(60);
    world.add_agent(Agent::new("writer", then));
    let site = world.add_storage(Kind::Artifact, "site");
    let files = vec![File::new("index.html", "<h1>It works</h1>\n")];
    world.add_version(&site, VersionSpec::files(files));
    world
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Said {
    /// Asserts that it failed with 1, and that it told all of `words` of it.
    #[track_caller]
    pub(crate) fn failed(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.told(words);
    }

    /// Asserts that standard error has all of `words`.
    #[track_caller]
    pub(crate) fn told(&self, words: &[&str]) {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
    }

    /// Asserts that it succeeded, and gives its standard output.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// Runs a command to its end and to the end of its output, which anything
/// that it leaves in the background would hold open.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Said {
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let output: Output = match wait.recv_timeout(HANGS) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(pid, nix::sys::signal::SIGKILL);
            panic!("{command:?} hangs");
        }
    };
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: started.elapsed(),
    }
}

/// A shell script as `who`, in the C locale and in `/`.
pub(crate) fn script(who: Who, script: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("set -o pipefail; {script}")])
        .env("LC_ALL", "C")
        .current_dir("/");
    if let Some((uid, gid)) = who.ids() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a shell script as `who`; it must succeed.
#[track_caller]
pub(crate) fn shell(who: Who, text: &str) -> String {
    finish(&mut script(who, text)).succeeded()
}

/// A process that is ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a shell script that goes on.
    pub(crate) fn script(who: Who, text: &str) -> Self {
        let mut command = script(who, text);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// A `sleep` whose current directory is `path`.
    #[track_caller]
    pub(crate) fn standing_in(who: Who, path: &Path) -> Self {
        let text = format!("cd '{}' && exec sleep 300", path.display());
        let running = Self::script(who, &text);
        let link = format!("/proc/{}/cwd", running.0.id());
        until("a shell stands in the mount", || {
            fs::read_link(&link).is_ok_and(|cwd| cwd == path)
        });
        // The directory is entered before the program is replaced.
        let name = format!("/proc/{}/comm", running.0.id());
        until("the shell has become a sleep", || {
            fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
        });
        running
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("a process ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, so: impl FnMut() -> bool) {
    assert!(soon(so), "not within {SOON:?}: {what}");
}

/// Whether something comes to be so.
pub(crate) fn soon(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + SOON;
    while !so() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Sends a signal to a process, which may have ended.
pub(crate) fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal);
}

/// The processes of the program under test that serve `path`, or see to it that it is
/// served: of a supervisor and its worker, the supervisor only.
pub(crate) fn servers_of(path: &Path) -> Vec<u32> {
    let mut found = processes_of(path);
    found.retain(|(_, is_worker)| !is_worker);
    found.into_iter().map(|(pid, _)| pid).collect()
}

/// The processes of the program under test that have `path` as an argument, and whether
/// each is a worker.
fn processes_of(path: &Path) -> Vec<(u32, bool)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let (Some(pid), Ok(line)) = (pid, fs::read(entry.path().join("cmdline"))) else {
            continue;
        };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if words[0] == program().as_os_str().as_bytes()
            && words.contains(&path.as_os_str().as_bytes())
        {
            let is_worker = words.iter().any(|word| word.starts_with(b"--worker="));
            found.push((pid, is_worker));
        }
    }
    found
}

/// A place where something is mounted in the background, cleared when dropped.
pub(crate) struct Place {
    pub(crate) who: Who,
    pub(crate) path: PathBuf,
}

impl Place {
    /// A place that does not exist yet, in a folder where `who` can make it.
    pub(crate) fn new(bench: &Bench, who: Who, name: &str) -> Self {
        let path = bench.folder(&format!("places-{who:?}"), who).join(name);
        Self { who, path }
    }

    /// `vm0fs mount` for it, in the background.
    pub(crate) fn mount(&self, bench: &Bench) -> Command {
        let mut command = bench.command(self.who);
        command.arg("mount").arg(&self.path);
        command
    }

    /// A mount there that is ready.
    #[track_caller]
    pub(crate) fn mounted(bench: &Bench, who: Who, name: &str) -> Self {
        let place = Self::new(bench, who, name);
        let said = finish(&mut place.mount(bench));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(is_mounted(&place.path));
        place
    }

    /// `vm0fs unmount` for it.
    pub(crate) fn unmount(&self, bench: &Bench) -> Command {
        let mut command = bench.command(self.who);
        command.arg("unmount").arg(&self.path);
        command
    }

    /// Sends a signal to its supervisor, then to its worker.
    pub(crate) fn signal_all(&self, signal: nix::sys::signal::Signal) {
        let mut all = processes_of(&self.path);
        all.sort_by_key(|(_, is_worker)| *is_worker);
        all.into_iter().for_each(|(pid, _)| kill(pid, signal));
    }

    /// Stops its supervisor and its worker, all of both: or one takes another
    /// question, whose asker cannot be ended.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal_all(nix::sys::signal::SIGSTOP);
        until("both stand still", || {
            let threads = self
                .processes()
                .into_iter()
                .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten());
            let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")));
            states.all(|state| state.is_ok_and(|state| state.contains(") T ")))
        });
    }

    /// All of its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let all = processes_of(&self.path);
        all.into_iter().map(|(pid, _)| pid).collect()
    }

    /// The worker of its supervisor; there must be one.
    #[track_caller]
    pub(crate) fn worker(&self) -> u32 {
        let all = processes_of(&self.path);
        let mut workers = all.iter().filter(|(_, is_worker)| *is_worker);
        let (Some((pid, _)), None) = (workers.next(), workers.next()) else {
            panic!("not one worker: {all:?}");
        };
        *pid
    }

    /// The process that its user knows: its supervisor. There must be one.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let servers = servers_of(&self.path);
        assert_eq!(servers.len(), 1, "{servers:?}");
        servers[0]
    }

    /// A shell script in it that must succeed.
    #[track_caller]
    pub(crate) fn run(&self, text: &str) -> String {
        shell(self.who, &self.inside(text))
    }

    /// A shell script in it.
    pub(crate) fn inside(&self, text: &str) -> String {
        format!("cd '{}' && {text}", self.path.display())
    }

    /// Asserts that nothing is mounted there, and that no process serves it
    /// for longer than a moment.
    #[track_caller]
    pub(crate) fn is_over(&self) {
        assert!(!is_mounted(&self.path), "still mounted");
        until("its processes have ended", || self.processes().is_empty());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.signal_all(nix::sys::signal::SIGKILL);
        // Nothing here may panic: the test may have failed already.
        if !matches!(vm0fs::proc::mount_at(&self.path), Ok(None)) {
            let mut command = Command::new(program());
            let _ = command.args(["unmount", "--lazy"]).arg(&self.path).output();
        }
    }
}
