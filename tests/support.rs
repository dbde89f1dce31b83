//! What the tests share: a server with a world, mounts of it, tools run on
//! them. Everything is taken away again when it is dropped.

pub(crate) mod archive;
pub(crate) mod fake;
pub(crate) mod proxy;
pub(crate) mod seeds;
pub(crate) mod watched;

use crate::support::fake::{Port, Recorded, Server, World};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The ordinary user that `scripts/test` makes.
pub(crate) const ORDINARY_USER: &str = "vm0fs-test";

/// For what must happen, and does within a moment unless something is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// As whom a command or a mount runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever runs the tests.
    Myself,
    /// An ordinary user, where root runs the tests.
    Ordinary,
}

impl Who {
    /// Everybody that this run can be: a root that cannot become an ordinary
    /// user fails, rather than leave those tests out.
    pub(crate) fn all() -> Vec<Self> {
        if is_root() {
            vec![Self::Myself, Self::Ordinary]
        } else {
            vec![Self::Myself]
        }
    }

    /// The user and group ids of an ordinary user; `None` for whoever runs this.
    pub(crate) fn ids(self) -> Option<(u32, u32)> {
        match self {
            Self::Myself => None,
            Self::Ordinary => {
                let user = nix::unistd::User::from_name(ORDINARY_USER).unwrap();
                let user = user.unwrap_or_else(|| {
                    panic!("there is no user {ORDINARY_USER}: run the tests with scripts/test")
                });
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
        }
    }
}

/// Whether root runs the tests.
pub(crate) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// The program under test, where every user can run it.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<(Child, PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        hear_signals();
        // The target folder can lie below a home that others may not enter.
        let dir = tempfile::Builder::new()
            .prefix("vm0fs-bin-")
            .tempdir_in("/tmp")
            .unwrap();
        open_to_all(dir.path());
        let path = dir.path().join("vm0fs");
        fs::copy(env!("CARGO_BIN_EXE_vm0fs"), &path).unwrap();
        // A static is never dropped: this shell outlives the tests, however
        // they end, and sees it by the end of its input.
        let remover = Command::new("sh")
            .args(["-c", "cat > /dev/null; rm -rf \"$0\""])
            .arg(dir.keep())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (remover, path)
    });
    path
}

/// Lets the programs that are started hear the signals that the process which started the tests
/// may have had them ignore (`nohup`, a shell's `&`).
#[allow(unsafe_code)]
fn hear_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for ignored in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        // SAFETY: no handler is installed, and none was.
        unsafe { signal(ignored, SigHandler::SigDfl) }.unwrap();
    }
}

/// The folder of npm's package `tar` (node-tar), which `scripts/test` installs.
pub(crate) fn node_tar() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("node/node_modules/tar");
    assert!(
        path.is_dir(),
        "{} is missing: run the tests with scripts/test",
        path.display()
    );
    path
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A server and a folder for everything else that a test needs.
pub(crate) struct Bench {
    /// The server.
    pub(crate) server: Server,
    dir: TempDir,
}

impl Bench {
    /// Serves `world`.
    pub(crate) fn new(world: World) -> Self {
        assert!(
            Path::new("/dev/fuse").exists(),
            "/dev/fuse is missing: these tests mount for real (modprobe fuse, or give the container the device)"
        );
        let dir = tempfile::Builder::new()
            .prefix("vm0fs-test-")
            .tempdir_in("/tmp")
            .unwrap();
        open_to_all(dir.path());
        Self {
            server: Server::start(world).unwrap(),
            dir,
        }
    }

    /// A folder for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new folder in it that belongs to `who`.
    pub(crate) fn folder(&self, name: &str, who: Who) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        if let Some((uid, gid)) = who.ids() {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        }
        path
    }

    /// `vm0fs` as `who`, with this server and folders of the test in its
    /// environment.
    pub(crate) fn command(&self, who: Who) -> Command {
        let home = self.folder(&format!("home-{who:?}"), who);
        let mut command = Command::new(program());
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", &home)
            .env("VM0_API_URL", self.server.api_url())
            .env("VM0_API_KEY", self.server.token())
            .current_dir(&home);
        if let Some((uid, gid)) = who.ids() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A mount that is still to be started, as whoever runs the tests.
    pub(crate) fn mount(&self) -> Mounting<'_> {
        self.mount_as(Who::Myself)
    }

    /// The same as somebody.
    pub(crate) fn mount_as(&self, who: Who) -> Mounting<'_> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Mounting {
            bench: self,
            who,
            path: self.folder(&format!("mnt{number}"), who),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Requests to the API since the last [`Server::clear_requests`].
    pub(crate) fn api_calls(&self) -> Vec<Recorded> {
        self.server.requests_to(Port::Api, "")
    }

    /// Requests to the object store, likewise.
    pub(crate) fn downloads(&self) -> Vec<Recorded> {
        self.server.requests_to(Port::Store, "")
    }

    /// Asserts how many calls to the API there were, and forgets them.
    #[track_caller]
    pub(crate) fn expect_calls(&self, expected: usize, why: &str) {
        let calls = self.api_calls();
        let lines: Vec<String> = calls.iter().map(Recorded::line).collect();
        assert_eq!(calls.len(), expected, "{why}: {lines:#?}");
        self.server.clear_requests();
    }
}

/// Options of a mount to come.
pub(crate) struct Mounting<'a> {
    bench: &'a Bench,
    who: Who,
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

impl Mounting<'_> {
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

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
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
    pub(crate) fn watch(&self, script: &str) -> watched::Watched {
        watched::Watched::start(&mut self.shell(script))
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        // The folder is entered by the shell: it may belong to somebody else.
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

    /// Sends a signal to its process.
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

/// Bytes that no compression makes smaller: the same for the same length.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    noise_of(1, length)
}

/// The same, other bytes for each seed.
pub(crate) fn noise_of(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The message that tools print for a failure of this kind.
pub(crate) mod reason {
    pub(crate) const READ_ONLY: &str = "Read-only file system";
    pub(crate) const MISSING: &str = "No such file or directory";
    pub(crate) const DENIED: &str = "Permission denied";
    pub(crate) const IO: &str = "Input/output error";
    pub(crate) const TIMED_OUT: &str = "Connection timed out";
    pub(crate) const UNREACHABLE: &str = "Network is unreachable";
    pub(crate) const INVALID: &str = "Invalid argument";
    pub(crate) const AGAIN: &str = "Resource temporarily unavailable";
    pub(crate) const BUSY: &str = "Device or resource busy";
}

fn wait_for_end(child: &mut Child) -> Option<std::process::ExitStatus> {
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
    vm0fs::unmount::mount_at(path).unwrap().is_some()
}
