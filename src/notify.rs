//! What this process tells the service manager that has started it (sd_notify(3)): that
//! the mount can be used, what it does, and that it ends. Where none has, nothing is told.
//!
//! One process of a mount speaks: the supervisor, or the only one that there is. Workers
//! do not inherit [`VARIABLES`]. Only a mount in the foreground speaks: where a mount goes
//! to the background, the variables are those of a service that a shell runs in.

use crate::text::one_line;
use nix::time::{ClockId, clock_gettime};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use std::{
    cell::Cell,
    env,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, Instant},
};

/// Where to tell it: a path, or `@` and an abstract name.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How often the manager wants a sign of life, in microseconds; and of which process.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_OF: &str = "WATCHDOG_PID";

/// The variables by which a service manager speaks to the process that it has started.
pub const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG, WATCHDOG_OF];

/// How long telling it may take: its queue may be full.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a process that speaks for itself looks what it has to say.
const LOOK: Duration = Duration::from_secs(1);

/// The longest status, in characters.
const LONGEST: usize = 400;

/// How long an end may take from when it is told, which the manager may have been told
/// to wait for less: somewhat more than a supervisor gives its worker.
const END: Duration = Duration::from_secs(30);

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    address: Option<SocketAddrUnix>,
    watchdog: Option<Duration>,
    /// When the last sign of life was given.
    lived: Cell<Option<Instant>>,
}

impl Notifier {
    /// That of this process; silent where it goes to the background.
    pub fn of_process(is_foreground: bool) -> Self {
        let variable = |name: &str| env::var_os(name).filter(|_| is_foreground);
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_own = number(WATCHDOG_OF).is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number(WATCHDOG).filter(|usec| *usec > 0 && is_own);
        Self {
            address: variable(SOCKET).and_then(|socket| address(&socket)),
            watchdog: watchdog.map(Duration::from_micros),
            lived: Cell::default(),
        }
    }

    /// The mount can be used, or has read its settings again. It does what `status` says.
    pub fn ready(&self, status: &str) {
        let pid = std::process::id();
        self.tell(&format!("READY=1\nMAINPID={pid}\n{}", said(status)));
    }

    /// It does this now.
    pub fn status(&self, status: &str) {
        self.tell(&said(status));
    }

    /// Another worker prepares to take over, with settings that it has read again; then it
    /// is ready.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.unwrap_or_default().as_micros();
        let status = said("another worker prepares to take over");
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n{status}"));
    }

    /// It ends, for this reason.
    pub fn stopping(&self, why: &str) {
        let usec = END.as_micros();
        let status = said(&format!("{why}: unmounting"));
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}\n{status}"));
    }

    /// It is unmounted, and ends.
    pub fn unmounted(&self) {
        self.tell(&format!("STOPPING=1\n{}", said("unmounted")));
    }

    /// How long to wait for something to say, other than signs of life, at most.
    pub fn patience(&self) -> Duration {
        match self.address {
            Some(_) => self.pulse().map_or(LOOK, |pulse| pulse.min(LOOK)),
            None => Duration::MAX,
        }
    }

    /// How often a sign of life is to be given at least, where a manager wants that.
    fn pulse(&self) -> Option<Duration> {
        // sd_watchdog_enabled(3) recommends half of the time.
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// Gives a sign of life where it is time for one.
    pub fn lives(&self) {
        let Some(pulse) = self.pulse() else { return };
        if self.lived.get().is_none_or(|at| at.elapsed() >= pulse) {
            self.lived.set(Some(Instant::now()));
            self.tell("WATCHDOG=1\n");
        }
    }

    fn tell(&self, what: &str) {
        let Some(address) = &self.address else { return };
        // Opened for each message: a process that others are to outlive holds few
        // descriptors, and says little.
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let sent = socket.and_then(|socket| {
            set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
            sendto(&socket, what.as_bytes(), SendFlags::NOSIGNAL, address)
        });
        if let Err(errno) = sent {
            tracing::debug!("the service manager cannot be told: {errno}");
        }
    }
}

fn said(status: &str) -> String {
    format!("STATUS={}\n", one_line(status, LONGEST))
}

fn address(socket: &OsStr) -> Option<SocketAddrUnix> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
        [b'/', ..] => SocketAddrUnix::new(socket),
        // `vsock:` of virtual machines is for the manager of one.
        _ => return None,
    };
    address.ok()
}
