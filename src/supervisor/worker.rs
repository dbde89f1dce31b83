//! A worker as the supervisor sees it.

use super::{
    inherit::pass_on,
    message::{Order, Report, Socket},
};
use crate::{
    error::{Error, Result},
    proc::Process,
    supervision::without_api_warnings,
};
use jiff::Timestamp;
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, ExitCode, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How long a worker that has closed its socket may take to be gone, where its exit
/// code is what counts.
const EXIT: Duration = Duration::from_secs(5);

/// How often a worker is asked for an answer, and how many may be missing.
const ASKING: Duration = Duration::from_secs(1);
const MOST_UNANSWERED: u32 = 5;

/// A process that serves, or is about to.
pub(super) struct Worker {
    child: Child,
    socket: Socket,
    /// When it was started.
    pub(super) began: Instant,
    /// Its version of vm0fs.
    pub(super) version: String,
    /// Whether it serves.
    pub(super) serves: bool,
    /// Whether it is to finish and end.
    pub(super) is_draining: bool,
    drains_since: Option<Instant>,
    /// Why the supervisor has killed it, if it has.
    pub(super) stopped_because: Option<String>,
    /// Since when the API has not answered it, where it says so.
    away: Option<Timestamp>,
    /// What it has warned of as it began to serve.
    warnings: Vec<String>,
    taken: u64,
    /// When it was last asked for an answer, and how often since it gave one.
    asked: Option<Instant>,
    unanswered: u32,
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Worker {
    /// Starts a program that inherits these descriptors.
    pub(super) fn start(
        socket: Socket,
        fds: &[Option<BorrowedFd<'_>>],
        command: impl FnOnce(&[Option<BorrowedFd<'_>>]) -> Command,
    ) -> Result<Self> {
        let mut command = command(fds);
        // No other thread could start a program meanwhile.
        fds.iter().flatten().try_for_each(|fd| pass_on(fd, true))?;
        let child = command.spawn();
        fds.iter().flatten().try_for_each(|fd| pass_on(fd, false))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = child.map_err(|error| Error::io(format!("starting {program}"), error))?;
        Ok(Self {
            child,
            socket,
            began: Instant::now(),
            version: env!("CARGO_PKG_VERSION").into(),
            serves: false,
            is_draining: false,
            drains_since: None,
            stopped_because: None,
            away: None,
            warnings: Vec::new(),
            taken: 0,
            asked: None,
            unanswered: 0,
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program that it runs, which stays that one where its file is replaced.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn program(&self) -> io::Result<File> {
        Process::new(self.pid()).open_program()
    }

    /// Tells it something. Where it has ended, that shows elsewhere.
    pub(super) fn tell(&self, order: &Order) {
        let _ = self.socket.send(order, &[]);
    }

    /// What it says; `None` where it has ended, or cannot be understood.
    pub(super) fn hear(&self) -> Option<(Report, Vec<OwnedFd>)> {
        self.socket.receive().ok().flatten()
    }

    /// It has begun to serve, with warnings.
    pub(super) fn begins(&mut self, warnings: &[String]) {
        self.serves = true;
        self.warnings = warnings.to_vec();
    }

    /// The API has not answered it since then, or does.
    pub(super) fn heard_of_api(&mut self, away: Option<Timestamp>) {
        self.away = away;
        if away.is_none() {
            without_api_warnings(&mut self.warnings);
        }
    }

    /// Since when the API has not answered it, and what it has warned of.
    pub(super) fn troubles(&self) -> (Option<Timestamp>, Option<&str>) {
        (self.away, self.warnings.first().map(String::as_str))
    }

    /// Whether it serves, and is not about to end.
    pub(super) fn is_free(&self) -> bool {
        self.serves && !self.is_draining
    }

    /// Has it finish what it has begun, and end.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        self.drains_since = Some(Instant::now());
        self.tell(&Order::Drain);
    }

    /// Since when it is to finish.
    pub(super) fn drains_since(&self) -> Option<Instant> {
        self.drains_since
    }

    /// Kills it, for this reason.
    pub(super) fn stop(&mut self, why: &str) {
        self.stopped_because.get_or_insert(why.into());
        // Fails where it has ended already.
        let _ = self.child.kill();
    }

    /// Asks it for an answer, a second after it was last asked at the earliest; whether it
    /// has not answered several times. Times are not counted, for this process may itself
    /// have stood still.
    pub(super) fn is_silent(&mut self) -> bool {
        if self.asked.is_none_or(|at| at.elapsed() >= ASKING) {
            self.asked = Some(Instant::now());
            self.unanswered += 1;
            self.tell(&Order::Ping);
        }
        self.unanswered > MOST_UNANSWERED
    }

    /// It has said something.
    pub(super) fn has_spoken(&mut self) {
        self.unanswered = 0;
    }

    /// Whether it has taken requests since this was last asked.
    pub(super) fn has_moved(&mut self, taken: u64) -> bool {
        std::mem::replace(&mut self.taken, taken) != taken
    }

    /// How it ended, if it is gone.
    pub(super) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its exit code, for a process that ends with it.
    ///
    /// # Errors
    /// Where a signal has ended it, so that it has not said why itself.
    pub(super) fn exit_code(mut self) -> Result<ExitCode> {
        let began = Instant::now();
        while began.elapsed() < EXIT {
            if let Some(status) = self.status() {
                return match status.code() {
                    Some(code) => Ok(ExitCode::from(code as u8)),
                    None => Err(Error::Setup(format!(
                        "the worker ended before the mount was ready ({})",
                        told(status)
                    ))),
                };
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(ExitCode::FAILURE)
    }
}

/// How a process ended, in words.
pub(super) fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => signal.as_str().into(),
            Err(_) => format!("signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}
