//! The supervisor: holds the device of a mount, and sees to it that a worker serves it.
//!
//! It has one thread and no network, knows no token, and never touches a path below the
//! mount: a process that waits for the mount could not replace its worker.

use super::{
    deaths::Deaths,
    gap::Gap,
    happening::{self, Happening, Place},
    held::Held,
    launch::{self, Launched},
    log,
    message::{Order, Report},
    program::Program,
    worker::Worker,
};
use crate::{
    error::Result,
    malloc,
    notify::Notifier,
    signals::{RELOAD, Signals, UPGRADE},
    supervision::{Cause, Seen},
    unmount,
};
use jiff::Timestamp;
use nix::sys::{signal::Signal, signalfd::SignalFd};
use std::{
    fs::File,
    os::fd::OwnedFd,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long requests may wait without one being taken, and a worker take to begin.
const HANG: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(10);

/// How long the next worker of an upgrade may take until it can take over, and the one
/// before to finish what it has begun.
const PREPARATION: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(40);

/// How long a mount may take to end in order.
const END: Duration = Duration::from_secs(25);

/// How often the supervisor looks at the device, and at processes that are to end.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AT_ENDING: Duration = Duration::from_millis(10);

struct Supervisor {
    signals: SignalFd,
    /// What it was started with: arguments, secrets, and where the command waits.
    launched: Launched,
    is_foreground: bool,
    /// The service manager, which may have started it.
    manager: Notifier,
    /// Whether a terminal goes away with SIGHUP.
    has_terminal: bool,
    program: Program,
    held: Option<Held>,
    current: Option<Worker>,
    /// The worker that is to replace the current one, and why.
    next: Option<(Worker, Cause)>,
    /// Whether any worker has served yet.
    has_served: bool,
    gap: Option<Gap>,
    /// Since when requests wait that no worker takes.
    stuck: Option<Instant>,
    deaths: Deaths,
    /// The workers that were replaced.
    seen: Seen,
    /// Since when the mount is to end.
    ending: Option<Instant>,
    /// How the supervisor ends, once it does.
    over: Option<Result<ExitCode>>,
}

/// Supervises a mount to its end, where this process was started for that.
///
/// # Errors
/// Where it cannot begin.
pub fn supervise() -> Result<Option<ExitCode>> {
    let Some(launched) = Launched::of_process()? else {
        return Ok(None);
    };
    let mut supervisor = Supervisor::new(launched)?;
    let first = supervisor.start(&supervisor.program.present())?;
    supervisor.current = Some(first);
    loop {
        let happening = supervisor.wait()?;
        supervisor.manager.lives();
        supervisor.handle(happening);
        if let Some(end) = supervisor.over {
            return end.map(Some);
        }
    }
}

impl Supervisor {
    fn new(launched: Launched) -> Result<Self> {
        let is_foreground = launched.ready.is_none();
        Ok(Self {
            signals: Signals::of_supervisor()?,
            launched,
            is_foreground,
            manager: Notifier::of_process(is_foreground),
            has_terminal: is_foreground && File::open("/dev/tty").is_ok(),
            program: Program::of_process()?,
            held: None,
            current: None,
            next: None,
            has_served: false,
            gap: None,
            stuck: None,
            deaths: Deaths::default(),
            seen: Seen::default(),
            ending: None,
            over: None,
        })
    }

    /// Starts a worker.
    fn start(&self, program: &Path) -> Result<Worker> {
        launch::start(&self.launched, program, self.held.as_ref(), &self.seen)
    }

    /// Waits for what happens next.
    fn wait(&self) -> Result<Happening> {
        let limit = match self.deaths.are_ending() {
            true => LOOK_AT_ENDING,
            false => LOOK,
        };
        let next = self.next.as_ref().map(|(worker, _)| worker);
        happening::wait(&self.signals, self.current.as_ref(), next, limit)
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Signal(signal) => self.signalled(signal),
            Happening::Report(Place::Current, report, fds) => self.reported(report, fds),
            Happening::Report(Place::Next, report, _) => self.next_reported(report),
            Happening::Closed(Place::Current) => self.closed(),
            Happening::Closed(Place::Next) => {
                self.refuse("it ended before it could take over");
            }
            Happening::Tick => self.look(),
        }
    }

    fn signalled(&mut self, signal: Signal) {
        match signal {
            UPGRADE => self.begin_replacing(Cause::Upgrade),
            // A terminal sends it to the processes in its foreground as it goes away.
            RELOAD if !self.has_terminal => self.begin_replacing(Cause::Reload),
            other => self.end(other.as_str(), false),
        }
    }

    /// What the worker that serves says, or the one that is about to.
    fn reported(&mut self, report: Report, fds: Vec<OwnedFd>) {
        if let Some(worker) = &mut self.current {
            worker.has_spoken();
        }
        match report {
            Report::Mounted(connection) => self.held = Held::new(connection, fds),
            Report::Serving(warnings) => {
                self.serves(&warnings);
                // Most of the code that brought it to this point is not needed again.
                malloc::forget_code();
            }
            Report::Failed(why) => {
                self.manager.status(&why);
                self.deaths.explain(why);
            }
            Report::Ended => self.finish(),
            Report::Hung(operation) => self.kill_hung(&operation),
            Report::Away(since) => self.heard_of_api(since),
            Report::Pong(taken) => {
                let worker = self.current.as_mut();
                if worker.is_some_and(|worker| worker.has_moved(taken)) {
                    self.stuck = None;
                }
                // Now it waits for a second, as a rule. The kernel maps up to hundreds of
                // KiB around each page of code that runs, so even the little that asks
                // and listens would hold some MB meanwhile.
                malloc::forget_code();
            }
            Report::Prepared { version } => {
                if let Some(worker) = &mut self.current {
                    worker.version = version;
                }
            }
        }
    }

    /// The worker has begun to serve.
    fn serves(&mut self, warnings: &[String]) {
        self.has_served = true;
        self.stuck = None;
        if let Some(worker) = &mut self.current {
            worker.begins(warnings);
        }
        if let Some(ready) = self.launched.ready.take()
            && ready.report(&warnings.join("\n")).is_err()
        {
            return self.end("the command was interrupted", true);
        }
        let Some(gap) = self.gap.take() else {
            return self.tell_manager(None);
        };
        // What the threads of the one before took as they ended is sent once more.
        self.resend();
        let Some(worker) = &self.current else { return };
        if gap.cause == Cause::Upgrade {
            self.program.upgraded_to(worker);
        }
        let replacement = gap.end(worker.version.clone(), || self.deaths.last());
        worker.tell(&Order::Replaced(replacement.clone()));
        self.seen.add(replacement);
        self.tell_manager(None);
    }

    /// What the mount does, in a line.
    fn told(&self, remark: Option<&str>) -> Option<String> {
        let place = &self.held.as_ref()?.connection.mountpoint;
        let troubles = self.current.as_ref().map(Worker::troubles);
        let (away, warning) = troubles.unwrap_or_default();
        Some(self.seen.told(place, away, remark.or(warning)))
    }

    fn tell_manager(&self, remark: Option<&str>) {
        if let Some(told) = self.told(remark) {
            self.manager.ready(&told);
        }
    }

    /// The API does not answer since then, or does again.
    fn heard_of_api(&mut self, away: Option<Timestamp>) {
        let Some(worker) = &mut self.current else {
            return;
        };
        worker.heard_of_api(away);
        // Otherwise there is something else to say, and this comes with what is said next.
        let is_news = worker.is_free() && self.next.is_none() && self.ending.is_none();
        if let Some(told) = self.told(None).filter(|_| is_news) {
            self.manager.status(&told);
        }
    }

    /// The worker that serves, or was about to, has gone.
    fn closed(&mut self) {
        let Some(worker) = self.current.take() else {
            return;
        };
        let is_stopped = worker.stopped_because.clone();
        // The next one may have died since this one was told to drain.
        let is_relieved = worker.is_draining && self.next.is_some();
        let held = self.held.as_ref().filter(|_| self.has_served);
        let Some(held) = held else {
            // It has said why itself, and taken its mount away unless it was killed.
            let code = worker.exit_code();
            self.unmount();
            self.over = Some(code);
            return;
        };
        let is_gone = held.is_gone();
        match is_relieved {
            // It was told to end: four upgrades and a death are no five deaths.
            true => self.deaths.watch(worker),
            false => self.deaths.add(worker),
        }
        if is_gone {
            self.finish();
        } else if self.ending.is_some() {
            self.unmount();
        } else if is_relieved {
            self.promote();
        } else {
            match is_stopped {
                Some(why) => self.replace(Cause::Hang, why),
                None => self.replace(Cause::Death, String::new()),
            }
        }
    }

    /// Has another worker go on after one that died.
    fn replace(&mut self, cause: Cause, why: String) {
        let held = self.held.as_ref();
        if !held.is_some_and(|held| held.connection.can_resend) {
            return self.give_up("this kernel cannot send requests again (before 6.9)");
        }
        if self.deaths.are_too_many(Instant::now()) {
            return self.give_up("too many workers died in a short time");
        }
        self.manager.status("a worker ended; the next one begins");
        self.gap.get_or_insert_with(|| Gap::begins(cause, why));
        self.resend();
        if self.next.is_some() {
            return self.promote();
        }
        match self.start(&self.program.present()) {
            Ok(worker) => {
                worker.tell(&Order::Go);
                self.current = Some(worker);
            }
            Err(error) => self.give_up(&format!("no other worker can be started: {error}")),
        }
    }

    /// Starts the worker that is to replace the one that serves.
    fn begin_replacing(&mut self, cause: Cause) {
        let is_ready = self.current.as_ref().is_some_and(Worker::is_free);
        if !is_ready || self.next.is_some() || self.ending.is_some() {
            return self.say_refused("another worker is about to begin; try again in a moment");
        }
        let program = match cause {
            Cause::Upgrade => self.program.on_disk(),
            _ => self.program.present(),
        };
        match self.start(&program) {
            Ok(worker) => {
                self.next = Some((worker, cause));
                self.manager.reloading();
            }
            Err(error) => self.say_refused(&error.to_string()),
        }
    }

    fn next_reported(&mut self, report: Report) {
        match report {
            Report::Prepared { version } => {
                if let Some((next, _)) = &mut self.next {
                    next.version = version;
                }
                match &mut self.current {
                    Some(current) => current.drain(),
                    None => self.promote(),
                }
            }
            Report::Failed(why) => self.refuse(&why),
            _ => {}
        }
    }

    /// Makes the next worker the one that serves.
    fn promote(&mut self) {
        let Some((worker, cause)) = self.next.take() else {
            return;
        };
        let what = match cause {
            Cause::Reload => "the settings were read again",
            _ => "the program on disk took over",
        };
        self.gap
            .get_or_insert_with(|| Gap::begins(cause, what.into()));
        self.resend();
        worker.tell(&Order::Go);
        self.current = Some(worker);
    }

    /// The next worker cannot take over: the one that serves goes on.
    fn refuse(&mut self, why: &str) {
        if let Some((mut worker, _)) = self.next.take() {
            worker.stop("it is not needed");
            self.deaths.watch(worker);
        }
        self.say_refused(why);
    }

    fn say_refused(&self, why: &str) {
        if let Some(worker) = &self.current {
            worker.tell(&Order::NotReplaced(why.into()));
        }
        self.tell_manager(Some(why));
    }

    fn resend(&self) {
        if let Some(held) = &self.held {
            held.resend();
        }
    }

    /// Looks for workers that hang, and for processes that have ended at last.
    fn look(&mut self) {
        if self.deaths.take_gone() {
            self.resend();
        }
        if let Some(began) = self.ending
            && began.elapsed() > END
        {
            return self.unmount();
        }
        let overdue = |limit| move |worker: &Worker| worker.began.elapsed() > limit;
        let is_draining = self
            .current
            .as_ref()
            .is_some_and(|worker| worker.is_draining);
        let next = self.next.as_ref().filter(|_| !is_draining);
        if next.is_some_and(|(next, _)| overdue(PREPARATION)(next)) {
            self.refuse("it was not ready to take over in time");
        }
        let Some(current) = &mut self.current else {
            return;
        };
        if current
            .drains_since()
            .is_some_and(|since| since.elapsed() > DRAIN)
        {
            return current.stop("it did not finish in time");
        }
        if !current.serves {
            if self.has_served && overdue(START)(current) {
                current.stop("it hung: it did not begin to serve");
            }
            return;
        }
        // One that has taken the only request leaves none that waits.
        if current.is_silent() {
            return self.kill_hung("it did not answer the supervisor");
        }
        let Some(held) = &self.held else { return };
        if !held.is_waiting() {
            self.stuck = None;
            return;
        }
        let stuck = *self.stuck.get_or_insert_with(Instant::now);
        if stuck.elapsed() > HANG {
            self.kill_hung("requests were waiting, and it took none");
        }
    }

    fn kill_hung(&mut self, what: &str) {
        self.stuck = None;
        if let Some(current) = &mut self.current {
            current.stop(&format!("the worker hung: {what}"));
        }
    }

    /// Ends the mount in order, by the worker where there is one.
    fn end(&mut self, why: &str, is_unused: bool) {
        self.ending.get_or_insert_with(Instant::now);
        if let Some((mut next, _)) = self.next.take() {
            next.stop("the mount ends");
        }
        self.manager.stopping(why);
        let why = why.into();
        match &self.current {
            Some(worker) => worker.tell(&Order::End { why, is_unused }),
            None => self.unmount(),
        }
    }

    /// The mount has ended, and the worker is to: a service manager kills what outlives this.
    fn finish(&mut self) {
        if self.has_served {
            self.manager.unmounted();
        }
        if let Some(worker) = self.current.take() {
            let _ = worker.exit_code();
        }
        self.over = Some(Ok(ExitCode::SUCCESS));
    }

    /// Ends the mount without a worker.
    fn unmount(&mut self) {
        if let Some(worker) = &mut self.current {
            worker.stop("the mount ends");
        }
        let held = self.held.take().filter(|held| !held.is_gone());
        // With the device goes the connection: programs that wait for an answer get an
        // error.
        let path = held.map(|held| held.connection.mountpoint);
        let gone = path.map_or(Ok(()), |path| unmount::unmount(&path, true, |_| ()));
        self.finish();
        if let Err(error) = gone {
            log::error(&error.to_string(), self.is_foreground);
            self.over = Some(Ok(ExitCode::FAILURE));
        }
    }

    /// Ends the mount, since no worker can serve it.
    fn give_up(&mut self, why: &str) {
        let held = self.held.as_ref();
        let path = held.map(|held| held.connection.mountpoint.clone());
        let path = path.unwrap_or_default();
        let line = format!("{}: the mount ends: {why}", path.display());
        log::error(&line, self.is_foreground);
        // First: callers wait for an error.
        self.unmount();
        self.manager.status(&format!("unmounted: {why}"));
        for death in self.deaths.told() {
            log::error(&death, self.is_foreground);
        }
        self.over = Some(Ok(ExitCode::FAILURE));
    }
}
