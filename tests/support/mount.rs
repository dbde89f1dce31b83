//! A mount of the test's own, and the commands that run in it.

use super::{Bench, SOON, Who, program, watched::Watched};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Options of a mount to come.
pub(crate) struct Mounting<'a> {
    bench: &'a Bench,
    who: Who,
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

impl<'a> Mounting<'a> {
    /// `vm0fs mount` at `path`, which is a folder.
    pub(super) fn new(bench: &'a Bench, who: Who, path: PathBuf) -> Self {
        Self {
            bench,
            who,
            path,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// More arguments of `vm0fs mount`.
    pub(crate) fn with<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// One more variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Mounts in the foreground and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Mount {
        let mut command = self.bench.command(self.who);
        command
            .args(["mount", "--foreground", "-v"])
            .args(&self.arguments)
            .arg(&self.path)
            .envs(self.environment);
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (ready, wait) = mpsc::channel();
        // Reads on to the end, or the mount would block on a full pipe.
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.starts_with("vm0fs: mounted at") {
                    let _ = ready.send(());
                }
                log.push(line);
            }
            log
        });
        if wait.recv_timeout(SOON).is_err() {
            let _ = child.kill();
            let status = child.wait();
            panic!("no mount ({status:?}):\n{}", log.join().unwrap().join("\n"));
        }
        Mount {
            who: self.who,
            path: self.path,
            child,
            log: Some(log),
        }
    }
}

/// A mount, unmounted when dropped.
pub(crate) struct Mount {
    who: Who,
    path: PathBuf,
    child: Child,
    log: Option<thread::JoinHandle<Vec<String>>>,
}

impl Mount {
    /// The mountpoint.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Whose it is.
    pub(crate) fn who(&self) -> Who {
        self.who
    }

    /// The process that serves it: its worker. Where one takes the place of another,
    /// once that is over.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let end = Instant::now() + SOON;
        loop {
            let workers = self.workers();
            match workers[..] {
                [worker] => return worker,
                _ => assert!(Instant::now() < end, "not one worker: {workers:?}"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its workers: the one that serves, and those that are about to, or to end.
    fn workers(&self) -> Vec<u32> {
        let supervisor = self.child.id();
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = std::fs::read_to_string(children).unwrap();
        let children = children.split_whitespace();
        children.map(|pid| pid.parse().unwrap()).collect()
    }

    /// Sends a signal to one of its workers, whichever there is.
    pub(crate) fn signal_worker(&self, signal: nix::sys::signal::Signal) {
        for worker in self.workers() {
            let worker = nix::unistd::Pid::from_raw(worker as i32);
            // It may have ended by itself.
            if nix::sys::signal::kill(worker, signal).is_ok() {
                return;
            }
        }
    }

    /// The sorted names in a directory of it, read as its owner.
    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let listed = self.run(&format!("ls -A '{path}'"));
        listed.lines().map(str::to_owned).collect()
    }

    /// The content of a file in it, read as its owner.
    #[track_caller]
    pub(crate) fn cat(&self, path: &str) -> String {
        self.run(&format!("cat '{path}'"))
    }

    /// Runs a shell script in the mount's root as its owner; it must succeed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        assert!(
            output.status.success(),
            "{script}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell script in the mount's root as its owner; it must fail and
    /// give this reason.
    #[track_caller]
    pub(crate) fn fails(&self, script: &str, reason: &str) {
        let output = self.try_run(script);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{script}: did not fail");
        assert!(said.contains(reason), "{script}: {said}");
    }

    /// Runs a shell script in the mount's root as its owner, in the C locale.
    pub(crate) fn try_run(&self, script: &str) -> Output {
        self.shell(script).output().unwrap()
    }

    /// Starts a shell script in the mount's root as its owner, and gives its
    /// process; what it prints can be read from there.
    pub(crate) fn start(&self, script: &str) -> Running {
        let mut command = self.shell(script);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().unwrap()))
    }

    /// Starts a program by a shell script that ends in `exec`, as its owner, and
    /// watches what it prints.
    pub(crate) fn watch(&self, script: &str) -> Watched {
        Watched::start(&mut self.shell(script))
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        // The folder is entered by the shell: it may belong to another user.
        let script = format!("set -o pipefail; cd '{}' && {script}", self.path.display());
        command
            .args(["-c", &script])
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.who.ids() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Unmounts, waits for the process to end well, and gives its log.
    #[track_caller]
    pub(crate) fn unmount(mut self) -> Vec<String> {
        let mut command = Command::new(program());
        command.arg("unmount").arg(&self.path);
        if let Some((uid, gid)) = self.who.ids() {
            command.uid(uid).gid(gid);
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let status = wait_for_end(&mut self.child);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        self.log.take().unwrap().join().unwrap()
    }

    /// Kills its supervisor, and then its worker.
    pub(crate) fn kill(&mut self) {
        let worker = nix::unistd::Pid::from_raw(self.pid() as i32);
        self.signal(nix::sys::signal::SIGKILL);
        nix::sys::signal::kill(worker, nix::sys::signal::SIGKILL).unwrap();
        self.wait();
    }

    /// Sends a signal to its supervisor.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for its process to end, and gives its exit status.
    pub(crate) fn wait(&mut self) -> Option<std::process::ExitStatus> {
        wait_for_end(&mut self.child)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if is_mounted(&self.path) {
            let lazy = Command::new(program())
                .args(["unmount", "--lazy"])
                .arg(&self.path)
                .output();
            if let Err(error) = lazy {
                eprintln!("{}: {error}", self.path.display());
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs, killed when dropped.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Starts a command; what it prints can be read when it has ended.
    pub(crate) fn of(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(Some(command.stderr(Stdio::piped()).spawn().unwrap()))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end, for so long that only a hang takes longer.
    #[track_caller]
    pub(crate) fn output(mut self) -> Output {
        assert!(
            wait_for_end(self.0.as_mut().unwrap()).is_some(),
            "the command has not ended within {SOON:?}"
        );
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Not waited for: it may sit in a read that ends with its mount.
            let _ = child.kill();
        }
    }
}

/// Waits for a process to end, for as long as only a hang takes longer.
pub(super) fn wait_for_end(child: &mut Child) -> Option<std::process::ExitStatus> {
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Whether anything is mounted at a path, asked of the kernel's table.
pub(crate) fn is_mounted(path: &Path) -> bool {
    vm0fs::proc::mount_at(path).unwrap().is_some()
}
