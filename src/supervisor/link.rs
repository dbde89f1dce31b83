//! A worker's side: what it has from its supervisor, and the thread that hears it.

use super::{
    inherit::take,
    message::{Connection, Order, PROTOCOL, Report, Socket},
};
use crate::{
    error::{Error, Result},
    supervision::Replacement,
    sync::Mutex,
    threads,
};
use jiff::Timestamp;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// How long a worker waits for its turn: the one before may take this long to end.
const TURN: Duration = Duration::from_secs(60);

/// How often a worker looks whether its own operations go on.
const TICK: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What a worker is told, and from where on.
#[derive(Debug)]
pub struct Link {
    /// Until the thread has it.
    socket: Option<Socket>,
    /// The secrets of the environment.
    pub secrets: Option<OwnedFd>,
    /// The mount's device, and the memory of the workers before; `None` for the first.
    pub(crate) inherited: Option<(OwnedFd, OwnedFd, Connection)>,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// How many workers were replaced before.
    pub replaced: u64,
    /// The last of them.
    pub replacements: Vec<Replacement>,
    hears_away: bool,
}

/// What the supervisor tells a worker that serves.
#[derive(Debug)]
pub enum Told {
    /// It replaced another worker in this way.
    Replaced(Replacement),
    /// Another was to replace it, and cannot, for this reason.
    NotReplaced(String),
    /// Another replaces it: it is to finish what it has begun.
    Drain,
    /// The mount is to end.
    End {
        /// Why, in words.
        why: String,
        /// Whether no process has used it.
        is_unused: bool,
    },
    /// The supervisor has ended.
    Unguarded,
}

/// What the thread asks the worker for.
pub struct Hooks {
    /// How many requests it has taken.
    pub taken: Box<dyn Fn() -> u64 + Send>,
    /// Which operation hangs, if one does; asked once a second, or more often.
    pub hung: Box<dyn FnMut() -> Option<String> + Send>,
    /// Since when the API does not answer, where that is so; asked as often.
    pub away: Box<dyn Fn() -> Option<Timestamp> + Send>,
    /// What it is told. It must not use descriptors: the thread has others.
    pub tell: Box<dyn Fn(Told) + Send>,
}

/// The way to say something to the supervisor from any thread.
#[derive(Clone)]
pub struct Voice {
    queue: Arc<Mutex<VecDeque<Report>>>,
    bell: Arc<OwnedFd>,
}

impl Link {
    /// Takes what the arguments of this process name, and hears the supervisor's first
    /// words.
    ///
    /// # Errors
    /// Where no supervisor has started this process, or one of another version.
    pub fn connect(fds: &str) -> Result<Self> {
        let [socket, secrets, device, memory] = take(fds)?;
        let none = || Error::Setup("no supervisor has started this process".into());
        let socket = Socket::from(socket.ok_or_else(none)?);
        let (order, _) = socket.receive()?.ok_or_else(none)?;
        let Order::Start {
            protocol,
            pid,
            connection,
            replaced,
            replacements,
            hears_away,
        } = order
        else {
            return Err(none());
        };
        if protocol != PROTOCOL {
            return Err(Error::Setup(format!(
                "the supervisor speaks protocol {protocol}, this program speaks {PROTOCOL}"
            )));
        }
        let inherited = match (device, memory, connection) {
            (Some(device), Some(memory), Some(connection)) => Some((device, memory, connection)),
            _ => None,
        };
        Ok(Self {
            socket: Some(socket),
            secrets,
            inherited,
            supervisor: pid,
            replaced,
            replacements,
            hears_away,
        })
    }

    fn socket(&self) -> Result<&Socket> {
        let taken = || Error::Internal("the supervisor is heard elsewhere".into());
        self.socket.as_ref().ok_or_else(taken)
    }

    /// Says why this worker cannot serve, if it has not begun to. Where the supervisor has
    /// ended, it need not know.
    pub fn fail(&self, error: &Error) {
        if let Ok(socket) = self.socket() {
            let _ = socket.send(&Report::Failed(error.to_string()), &[]);
        }
    }

    /// Gives the supervisor what makes a later worker go on with a mount.
    ///
    /// # Errors
    /// Where the supervisor has ended.
    pub(crate) fn mounted(
        &self,
        connection: Connection,
        device: BorrowedFd<'_>,
        memory: BorrowedFd<'_>,
    ) -> Result<()> {
        let mounted = Report::Mounted(connection);
        self.socket()?.send(&mounted, &[device, memory])
    }

    /// Says that this worker can take over, and waits for its turn; `false` where it
    /// does not come.
    ///
    /// # Errors
    /// Where the supervisor has ended.
    pub(crate) fn wait_for_turn(&self) -> Result<bool> {
        let version = env!("CARGO_PKG_VERSION").into();
        let socket = self.socket()?;
        socket.send(&Report::Prepared { version }, &[])?;
        loop {
            if !is_readable(socket, TURN) {
                return Ok(false);
            }
            match socket.receive()? {
                Some((Order::Go, _)) => return Ok(true),
                None | Some((Order::End { .. } | Order::Drain, _)) => return Ok(false),
                Some(_) => {}
            }
        }
    }

    /// Starts the thread that hears the supervisor. To be called before requests are
    /// taken.
    ///
    /// The thread has descriptors of its own, and among them the only one of this end
    /// of the socket. So the supervisor sees it close at once when the process is killed,
    /// also where another thread of it waits in the kernel, as one that takes a page out
    /// of the page cache does for a request that this very process was to answer.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn watch(&mut self, mut hooks: Hooks) -> Result<Voice> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = Arc::new(bell.map_err(|errno| Error::io("making an eventfd", errno.into()))?);
        let voice = Voice {
            queue: Arc::default(),
            bell,
        };
        if !self.hears_away {
            hooks.away = Box::new(|| None);
        }
        let (ready, is_ready) = mpsc::channel();
        let taken = || Error::Internal("the supervisor is heard already".into());
        let socket = self.socket.take().ok_or_else(taken)?;
        let heard = voice.clone();
        // The copies of these numbers in the thread's own table are the ones it uses.
        let number = socket.as_fd().as_raw_fd();
        let watch = move || {
            let kept = [number, heard.bell.as_raw_fd()];
            if let Err(error) = own_descriptors(kept) {
                return drop(ready.send(Err(error)));
            }
            // SAFETY: the number is open in this thread's table, and nothing else in
            // this thread closes it.
            #[expect(unsafe_code, reason = "a descriptor of another table is a number")]
            let own = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) };
            let _ = ready.send(Ok(()));
            hear(&Socket::from(own), &heard, hooks);
        };
        threads::start("vm0fs-link", watch).map_err(Error::no_thread)?;
        let unshared = is_ready.recv();
        unshared.unwrap_or_else(|_| Err(Error::Internal("the link's thread has ended".into())))?;
        // Only now: until then both tables were one.
        drop(socket);
        Ok(voice)
    }
}

impl Voice {
    fn say(&self, report: Report) {
        self.queue.lock().push_back(report);
        // Fails only where it rings already.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }

    /// The mount can be used; with warnings for the user.
    pub fn serving(&self, warnings: Vec<String>) {
        self.say(Report::Serving(warnings));
        self.wait_until_said();
    }

    /// The mount has come to its orderly end.
    pub fn ended(&self) {
        self.say(Report::Ended);
        self.wait_until_said();
    }

    /// Waits, for a moment at most, until all is on its way, also if this process ends.
    fn wait_until_said(&self) {
        let heard = || self.queue.lock().is_empty();
        let tries = (0..100).take_while(|_| !heard());
        tries.for_each(|_| thread::sleep(Duration::from_millis(2)));
    }
}

fn is_readable(fd: &impl AsFd, limit: Duration) -> bool {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// Gives this thread descriptors of its own: these two, by the same numbers.
fn own_descriptors(kept: [i32; 2]) -> Result<()> {
    let mut kept = kept.map(|fd| fd as u32);
    kept.sort();
    let ranges = [
        (0, kept[0].checked_sub(1), libc::CLOSE_RANGE_UNSHARE),
        (
            kept[0] + 1,
            kept[1].checked_sub(1),
            libc::CLOSE_RANGE_UNSHARE,
        ),
        (kept[1] + 1, Some(u32::MAX), libc::CLOSE_RANGE_UNSHARE),
    ];
    for (first, last, flags) in ranges {
        let Some(last) = last.filter(|last| *last >= first) else {
            continue;
        };
        // SAFETY: with this flag, the descriptors are closed in a table of this
        // thread's own, in which it uses no others.
        #[expect(unsafe_code, reason = "there is no safe form of close_range")]
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
        if closed != 0 {
            let error = std::io::Error::last_os_error();
            return Err(Error::io("separating descriptors", error));
        }
    }
    Ok(())
}

/// Hears the supervisor until it or the mount has ended.
fn hear(socket: &Socket, voice: &Voice, mut hooks: Hooks) {
    let mut is_hung = false;
    let mut said_away = None;
    loop {
        let mut ends = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(&*voice.bell, PollFlags::IN),
        ];
        // Fails only where it is interrupted.
        let _ = poll(&mut ends, Some(&TICK));
        let (is_told, is_rung) = (!ends[0].revents().is_empty(), !ends[1].revents().is_empty());
        if is_rung {
            let _ = rustix::io::read(&*voice.bell, &mut [0; 8]);
        }
        loop {
            let mut queue = voice.queue.lock();
            let Some(report) = queue.front() else {
                break;
            };
            let _ = socket.send(report, &[]);
            // Only now: others wait until it is empty.
            queue.pop_front();
        }
        if let Some(operation) = (hooks.hung)().filter(|_| !is_hung) {
            is_hung = true;
            let _ = socket.send(&Report::Hung(operation), &[]);
        }
        // Of changes, at most one each time: an API that comes and goes is no flood.
        let away = (hooks.away)();
        if away != said_away && socket.send(&Report::Away(away), &[]).is_ok() {
            said_away = away;
        }
        if !is_told {
            continue;
        }
        let told = match socket.receive() {
            Ok(Some((Order::Ping, _))) => {
                let _ = socket.send(&Report::Pong((hooks.taken)()), &[]);
                continue;
            }
            Ok(Some((Order::Replaced(replacement), _))) => Told::Replaced(replacement),
            Ok(Some((Order::NotReplaced(why), _))) => Told::NotReplaced(why),
            Ok(Some((Order::Drain, _))) => Told::Drain,
            Ok(Some((Order::End { why, is_unused }, _))) => Told::End { why, is_unused },
            Ok(Some((Order::Start { .. } | Order::Go, _))) => continue,
            Ok(None) | Err(_) => {
                (hooks.tell)(Told::Unguarded);
                return;
            }
        };
        (hooks.tell)(told);
    }
}
