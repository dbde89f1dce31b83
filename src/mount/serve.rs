//! A mount that is being served.

use super::{
    hung::Hung,
    memory,
    mountpoint::Prepared,
    open::{Origin, SHARED, full_disk, greet, look_at_shared, open_from},
    session,
};
use crate::{
    config::Settings,
    error::{Error, Result},
    fs::{self, Fs, Gate},
    handover::Handover,
    logging,
    notify::Notifier,
    pending::PendingRequests,
    proc::{self, MountEntry},
    signals::{self, Signals},
    supervision::{Cause, Seen, without_api_warnings},
    supervisor::{self, Connection, Hooks, Link, Told, Voice},
    threads,
    tree::Tree,
    unmount,
};
use fuser::Session;
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, raise},
    unistd::{Gid, Uid},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// Warns users of `--allow-other` of what it means.
const EXPOSED: &str = "--allow-other: every user of this machine can read what your token can \
    read: runs, logs, volumes and artifacts; only you and root can start and cancel runs";

/// How long a mount that ends goes on writing to the fleet's shared cache.
const SHARING_END: Duration = Duration::from_secs(1);

/// How long the session may take to end once it is unmounted.
const SESSION_END: Duration = Duration::from_secs(1);

/// How long a worker that is to be replaced serves on until what it has begun to send is
/// done, and downloads that could only begin anew; until other downloads are, with which
/// the next worker goes on; and then takes to answer what it has begun to answer.
const UNDER_WAY: Duration = Duration::from_secs(30);
const DOWNLOADS: Duration = Duration::from_secs(1);
const ANSWERS: Duration = Duration::from_millis(250);

/// A mount that is being served.
pub(super) struct Mounted {
    pub(super) mountpoint: PathBuf,
    /// This mount in the kernel's table: in its place there may be another by
    /// the time it ends.
    entry: Option<MountEntry>,
    tree: Arc<Tree>,
    pending: Arc<PendingRequests>,
    gate: Arc<Gate>,
    pub(super) warnings: Vec<String>,
    origin: Origin,
    /// The way to the supervisor, where there is one.
    voice: Option<Voice>,
    /// The service manager, where there is no supervisor to speak to it.
    pub(super) manager: Notifier,
    /// Since when the API does not answer, and what the manager was told of that.
    away: Box<dyn Fn() -> Option<Timestamp> + Send>,
    told_away: Option<Timestamp>,
    /// Whether requests are being answered.
    serves: bool,
    /// Whether it has come to its orderly end.
    is_over: bool,
    events: mpsc::Sender<Event>,
    happens: mpsc::Receiver<Event>,
}

enum Event {
    Signal(&'static str),
    Told(Told),
    /// The session has ended: a user or a program has unmounted it.
    Ended,
    /// The session has failed, and left the mount.
    Failed,
}

/// How serving has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Used,
    /// The command that was to say that it is ready had gone.
    Unused,
}

fn new_fs(tree: &Arc<Tree>, pending: &Arc<PendingRequests>) -> Fs {
    let (user, group) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    Fs::new(tree.clone(), pending.clone(), user, group)
}

/// Where the API is: what is open in a mount belongs to it.
fn api_origin(settings: &Settings) -> String {
    settings.api_url.origin().ascii_serialization()
}

/// Whether a mount with these settings can go on with what another worker began.
///
/// # Errors
/// Why it cannot.
fn fits(settings: &Settings, connection: &Connection) -> Result<()> {
    let differs = |what: &str| {
        Err(Error::Setup(format!(
            "{what}; unmount and mount again for that"
        )))
    };
    if connection.format != Handover::FORMAT {
        return differs("this version cannot read what the worker before it leaves");
    }
    if settings.options.allow_other != connection.allow_other {
        return differs("--allow-other has changed, which the kernel was told when it mounted");
    }
    if api_origin(settings) != connection.origin {
        return differs("the API's address has changed, and files of the old one may be open");
    }
    let asked = (settings.options.read_only, settings.options.no_exec);
    if asked != (connection.read_only, connection.no_exec) {
        return differs("--read-only or --no-exec has changed, which the kernel was told too");
    }
    let reply = fs::init_reply(&connection.request);
    match reply.is_ok_and(|reply| reply == connection.reply) {
        true => Ok(()),
        false => differs("this version agrees on other settings with the kernel"),
    }
}

impl Mounted {
    /// Mounts.
    pub(super) fn start(
        prepared: &Prepared,
        source: Option<&str>,
        settings: &Settings,
        link: Option<&mut Link>,
    ) -> Result<Self> {
        let origin = Origin::new()?;
        let (tree, pending) = open_from(settings, &origin)?;
        let looked = look_at_shared(&tree);
        let mut warnings = match settings.options.offline {
            // That the API is not asked is what the user wants.
            true => Vec::new(),
            false => greet(&tree, &pending)?,
        };
        warnings.extend(looked.recv_timeout(SHARED));
        warnings.extend(full_disk(settings));
        let options = &settings.options;
        if options.allow_other {
            warnings.push(EXPOSED.into());
        }
        let fs = new_fs(&tree, &pending);
        let (gate, offer, on_mounted) = (fs.gate(), fs.offer(), fs.on_mounted());
        // To ask the service took time.
        prepared.make_again();
        let mountpoint = prepared.path.clone();
        let session = session::mount(fs, &mountpoint, options, source)?;
        let mut mounted = Self::new(mountpoint, tree, pending, gate, origin)?;
        mounted.warnings = warnings;
        if let Some(link) = link {
            let offer = offer().ok_or_else(|| Error::Internal("the kernel said nothing".into()))?;
            let connection = session::connection(
                &offer,
                &mounted.mountpoint,
                options,
                api_origin(settings),
                &mounted.origin,
            )?;
            link.mounted(connection, session.as_fd(), mounted.origin.handover.fd())?;
            mounted.watch(link)?;
        } else {
            let supervision = &mounted.origin.supervision;
            supervision.note(|seen| seen.unguarded = supervisor::obstacle());
        }
        mounted.begin(session, on_mounted)?;
        tracing::info!("mounted at {}", mounted.mountpoint.display());
        Ok(mounted)
    }

    /// Goes on with a mount in place of the worker before, once that has ended; `None`
    /// where that is not to be.
    pub(super) fn take_over(
        settings: &Settings,
        link: &mut Link,
        (device, memory, connection): (OwnedFd, OwnedFd, Connection),
    ) -> Result<Option<Self>> {
        fits(settings, &connection)?;
        if !link.wait_for_turn()? {
            return Ok(None);
        }
        let origin = Origin {
            mounted_at: connection.mounted_at,
            handover: Arc::new(Handover::take_over(memory)?),
            supervision: Arc::default(),
        };
        let (tree, pending) = open_from(settings, &origin)?;
        let fs = new_fs(&tree, &pending);
        let (gate, on_mounted) = (fs.gate(), fs.on_mounted());
        let session = session::take_over(fs, &device, &connection)?;
        let mountpoint = connection.mountpoint;
        let mut mounted = Self::new(mountpoint, tree, pending, gate, origin)?;
        mounted.watch(link)?;
        mounted.begin(session, on_mounted)?;
        Ok(Some(mounted))
    }

    fn new(
        mountpoint: PathBuf,
        tree: Arc<Tree>,
        pending: Arc<PendingRequests>,
        gate: Arc<Gate>,
        origin: Origin,
    ) -> Result<Self> {
        let (events, happens) = mpsc::channel();
        Ok(Self {
            entry: proc::mount_at(&mountpoint)?,
            mountpoint,
            pending,
            gate,
            warnings: Vec::new(),
            origin,
            voice: None,
            manager: Notifier::default(),
            away: Box::new(tree.outage_watch()),
            told_away: None,
            tree,
            serves: false,
            is_over: false,
            events,
            happens,
        })
    }

    /// Begins to hear the supervisor.
    fn watch(&mut self, link: &mut Link) -> Result<()> {
        let seen = Seen {
            supervisor: Some(link.supervisor),
            replaced: link.replaced,
            replacements: link.replacements.clone(),
            ..Seen::default()
        };
        self.origin.supervision.note(|now| *now = seen);
        let handover = self.origin.handover.clone();
        signals::before_death(move || handover.mark_guilty());
        let (gate, events) = (self.gate.clone(), self.events.clone());
        let mut hung = Hung::new(self.origin.handover.clone());
        let voice = link.watch(Hooks {
            taken: Box::new(move || gate.taken()),
            hung: Box::new(move || hung.look()),
            away: Box::new(self.tree.outage_watch()),
            // Fails where the mount is ending anyway.
            tell: Box::new(move |told| drop(events.send(Event::Told(told)))),
        })?;
        self.voice = Some(voice);
        Ok(())
    }

    /// Begins to take requests.
    fn begin(
        &mut self,
        session: Session<Fs>,
        on_mounted: impl FnOnce(fuser::Notifier, Option<String>, Option<OwnedFd>),
    ) -> Result<()> {
        let device = self.entry.as_ref().map(|entry| entry.device.clone());
        // Of several threads, each would need its own.
        let connection = session::is_sole().then(|| session.as_fd().try_clone_to_owned().ok());
        on_mounted(session.notifier(), device, connection.flatten());
        let ended = self.events.clone();
        let serve = move || {
            let event = match session::serve(session) {
                Ok(()) => Event::Ended,
                Err(error) => {
                    tracing::error!("the session with the kernel failed: {error}");
                    Event::Failed
                }
            };
            // Fails if the mount is ending anyway.
            let _ = ended.send(event);
        };
        threads::start("vm0fs-session", serve).map_err(Error::no_thread)?;
        self.serves = true;
        Ok(())
    }

    /// What is mounted.
    pub(super) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Says that the mount can be used.
    pub(super) fn announce(&self) {
        if let Some(voice) = &self.voice {
            voice.serving(self.warnings.clone());
        }
    }

    /// Waits for a signal, an unmount or the supervisor, and ends in order.
    pub(super) fn serve(mut self, signals: Signals) -> End {
        let signalled = self.events.clone();
        let listen = move || {
            while let Ok(signal) = signals.wait() {
                if signalled.send(Event::Signal(signal)).is_err() {
                    break;
                }
            }
        };
        if let Err(error) = threads::start("vm0fs-signals", listen) {
            tracing::error!("signals are not heard, only `vm0fs unmount` ends this: {error}");
        }
        let mut end = End::Used;
        memory::watch(&self.tree);
        loop {
            match self.next_event() {
                Ok(Event::Signal(why)) => self.end(why),
                Ok(Event::Told(Told::End { why, is_unused })) => {
                    if is_unused {
                        end = End::Unused;
                    }
                    self.end(&why);
                }
                Ok(Event::Told(told)) => {
                    self.told(told);
                    continue;
                }
                // Another worker can go on.
                Ok(Event::Failed) if self.voice.is_some() => std::process::exit(1),
                Ok(Event::Failed) => self.unmount(),
                Ok(Event::Ended) | Err(_) => {}
            }
            break;
        }
        self.is_over = true;
        self.tree.flush_shared(SHARING_END);
        tracing::info!("unmounted");
        if let Some(voice) = &self.voice {
            voice.ended();
        }
        self.manager.unmounted();
        end
    }

    /// Since when the API does not answer, which the manager is told.
    pub(super) fn look_at_api(&mut self) -> Option<Timestamp> {
        self.told_away = (self.away)();
        self.told_away
    }

    /// Waits for what happens next, and shows a service manager that it does.
    fn next_event(&mut self) -> std::result::Result<Event, RecvTimeoutError> {
        loop {
            self.manager.lives();
            let told = self.told_away;
            let away = self.look_at_api();
            if away != told {
                if away.is_none() {
                    without_api_warnings(&mut self.warnings);
                }
                let remark = self.warnings.first().map(String::as_str);
                let status = Seen::default().told(&self.mountpoint, away, remark);
                self.manager.status(&status);
            }
            match self.happens.recv_timeout(self.manager.patience()) {
                Err(RecvTimeoutError::Timeout) => {}
                happened => return happened,
            }
        }
    }

    fn end(&self, why: &str) {
        self.manager.stopping(why);
        tracing::info!("{why}: unmounting {}", self.mountpoint.display());
        // Requests that wait for the network would keep it busy.
        self.pending.stop();
        self.unmount();
        // What is not over by then ends with the process.
        let _ = self.happens.recv_timeout(SESSION_END);
    }

    /// Notes what the supervisor says.
    fn told(&self, told: Told) {
        match told {
            Told::Replaced(by) => {
                let line = format!("{}; another serves after {:.0} ms", by.why, by.gap_ms);
                match by.cause {
                    Cause::Death | Cause::Hang => tracing::warn!("{line}"),
                    Cause::Upgrade | Cause::Reload => tracing::info!("{line}: {}", by.version),
                }
                self.tree.note_supervision(|seen| seen.add(by));
            }
            Told::NotReplaced(why) => {
                tracing::warn!("this worker serves on: {why}");
                self.tree.note_supervision(|seen| {
                    seen.refused += 1;
                    seen.last_refusal = Some(why);
                });
            }
            Told::Drain => self.drain(),
            Told::Unguarded => {
                let why = "the supervisor has ended; if this process ends, so does the mount";
                tracing::warn!("{why}");
                self.tree.note_supervision(|seen| {
                    seen.supervisor = None;
                    seen.unguarded = Some(why.into());
                });
            }
            Told::End { .. } => {}
        }
    }

    /// Finishes what has begun, for another worker to go on, and ends. What has been
    /// taken and not answered by then the kernel sends to that one.
    fn drain(&self) {
        let wait = |limit, is_done: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !is_done() && began.elapsed() < limit {
                thread::sleep(Duration::from_millis(1));
            }
        };
        let began = Instant::now();
        wait(UNDER_WAY, &|| {
            let goes_on = began.elapsed() >= DOWNLOADS && !self.tree.begins_anew();
            !self.pending.is_ordering() && (goes_on || !self.pending.is_downloading())
        });
        self.gate.close();
        wait(ANSWERS, &|| self.pending.count() == 0);
        logging::clear_bars();
        self.origin.handover.close();
        // Nothing that ends in order may run: it would end the mount, or answer what
        // another worker is to answer.
        let _ = raise(Signal::SIGKILL);
    }

    fn unmount(&self) {
        let path = self.mountpoint.as_path();
        match proc::mount_at(path) {
            Ok(Some(found)) if self.entry.as_ref() == Some(&found) => {}
            // It was detached before: a mount there now belongs to another process.
            Ok(_) => return,
            Err(error) => return tracing::error!("{error}"),
        }
        let Err(error) = unmount::unmount(path, false, |_| ()) else {
            return;
        };
        tracing::warn!("{error}");
        // The user asked for the end: programs that use it get an error, no hang.
        if let Err(error) = unmount::unmount(path, true, |_| ()) {
            tracing::error!("{error}");
        }
    }
}

impl Drop for Mounted {
    /// An error or a panic of this thread that ends the process must not leave a dead
    /// mount behind.
    fn drop(&mut self) {
        self.pending.stop();
        // Another worker can go on with it.
        let goes_on = self.serves && self.voice.is_some();
        if !self.is_over && !goes_on {
            self.unmount();
        }
    }
}
