//! What the tests share: a server with a world, mounts of it, tools run on
//! them. Everything is taken away again when it is dropped.

pub(crate) mod archive;
pub(crate) mod disk;
pub(crate) mod fake;
mod mount;
pub(crate) mod proxy;
pub(crate) mod seeds;
pub(crate) mod store;
pub(crate) mod watched;

use fake::{Port, Recorded, Server, World};
pub(crate) use mount::{Mount, Mounting, Running, is_mounted};
use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

/// The ordinary user that `scripts/test` makes.
pub(crate) const ORDINARY_USER: &str = "vm0fs-test";

/// For what must happen, and does within a moment unless something is wrong: so long
/// that a busy machine does not reach it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// As whom a command or a mount runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The user that runs the tests.
    Myself,
    /// An ordinary user, where root runs the tests.
    Ordinary,
}

impl Who {
    /// All users that this run can be: a root that cannot become an ordinary
    /// user fails, rather than leave those tests out.
    pub(crate) fn all() -> Vec<Self> {
        if is_root() {
            vec![Self::Myself, Self::Ordinary]
        } else {
            vec![Self::Myself]
        }
    }

    /// The user and group ids of an ordinary user; `None` for the user that runs this.
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
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        hear_signals();
        let path = folder_for_all("vm0fs-bin-").join("vm0fs");
        fs::copy(env!("CARGO_BIN_EXE_vm0fs"), &path).unwrap();
        path
    })
}

/// A new folder that every user can enter, as the target folder may not be: it can lie below
/// a home. It is removed when the tests have ended.
pub(crate) fn folder_for_all(prefix: &str) -> PathBuf {
    let dir = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in("/tmp")
        .unwrap();
    open_to_all(dir.path());
    let path = dir.keep();
    // What a static has is never dropped: this shell outlives the tests, however they end,
    // and sees it by the end of its input.
    let remover = Command::new("sh")
        .args(["-c", "cat > /dev/null; rm -rf \"$0\""])
        .arg(&path)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    std::mem::forget(remover.unwrap());
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

/// A loopback address that no other test uses, and any port of it.
pub(crate) fn own_address() -> SocketAddr {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Tests can run in several processes.
    let process = (std::process::id() % 250) as u8 + 1;
    SocketAddr::from(([127, 77, process, number], 0))
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
        Self::with(Server::start(world).unwrap())
    }

    /// Serves `world` at an address of its own: no other test takes a port that
    /// this server has left.
    pub(crate) fn at_own_address(world: World) -> Self {
        Self::with(Server::start_on(world, own_address()).unwrap())
    }

    fn with(server: Server) -> Self {
        assert!(
            Path::new("/dev/fuse").exists(),
            "/dev/fuse is missing: these tests mount for real (modprobe fuse, or give the container the device)"
        );
        let dir = tempfile::Builder::new()
            .prefix("vm0fs-test-")
            .tempdir_in("/tmp")
            .unwrap();
        open_to_all(dir.path());
        Self { server, dir }
    }

    /// Ends the server; gives its address, where no server answers from now on.
    pub(crate) fn end_server(&mut self) -> SocketAddr {
        let address = self.server.api_url();
        let address = address.trim_start_matches("http://").parse();
        self.server = Server::start(World::empty()).unwrap();
        address.unwrap()
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
        self.command_of(program(), who)
    }

    /// The same of a copy of the program.
    pub(crate) fn command_of(&self, program: &Path, who: Who) -> Command {
        let home = self.folder(&format!("home-{who:?}"), who);
        let mut command = Command::new(program);
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

    /// A mount that is still to be started, as the user that runs the tests.
    pub(crate) fn mount(&self) -> Mounting<'_> {
        self.mount_as(Who::Myself)
    }

    /// The same as `who`.
    pub(crate) fn mount_as(&self, who: Who) -> Mounting<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Mounting::new(self, who, self.folder(&format!("mnt{number}"), who))
    }

    /// Requests to the API since the last [`Server::clear_requests`].
    pub(crate) fn api_calls(&self) -> Vec<Recorded> {
        self.server.requests_to(Port::Api, "")
    }

    /// Calls for the link of an archive, likewise.
    pub(crate) fn links(&self) -> usize {
        let calls = self.api_calls();
        let links = calls.iter().filter(|call| call.path.ends_with("/download"));
        links.count()
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
