//! The signals that end a mount or a server. A thread waits for them, so that they
//! interrupt none; the other signals that the environment can send end nothing.

use crate::{
    error::{Error, Result},
    proc::Process,
};
use nix::sys::{
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    signalfd::{SfdFlags, SignalFd},
};
use std::sync::OnceLock;

/// The signals by which a user, a terminal or a service manager asks for the end.
const ENDS: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// The signal by which a user has a mount in the background read its settings again; in
/// the foreground, a terminal sends it as it goes away.
pub const RELOAD: Signal = Signal::SIGHUP;

/// The signal by which a user has a mount go on with the program as it is on disk.
pub const UPGRADE: Signal = Signal::SIGUSR2;

/// The signals of a fault in the process itself, which a mount does not outlast:
/// the kernel ends a process that blocks them all the same, or they come from
/// `abort`.
const FAULTS: [Signal; 7] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
];

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT, blocked.
#[derive(Clone, Copy, Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks them in this thread and in all that it starts from here on: to
    /// be called before the first thread. Programs that are run get them back.
    ///
    /// A signal that the process was started to ignore stays ignored, as `nohup` and a
    /// shell's `&` want it: if it were blocked, [`Signals::wait`] would receive it.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn block() -> Result<Self> {
        let ignored = Process::own().status().ignored_signals.unwrap_or(0);
        let heard = ENDS
            .into_iter()
            .filter(|signal| ignored & bit(*signal) == 0);
        let signals = SigSet::from_iter(heard);
        block(&signals)?;
        Ok(Self(signals))
    }

    /// The same for a process that others depend on: every other signal is blocked
    /// too, so that none ends it or stops it. A limit (SIGXFSZ, SIGXCPU), a timer
    /// that the process was started with (SIGALRM, SIGVTALRM, SIGPROF), a program
    /// that tells all processes to read their settings again (SIGUSR1, SIGUSR2,
    /// SIGPWR, SIGIO, the realtime ones) mean nothing here. A mount that a
    /// terminal stops (SIGTSTP, SIGTTIN, SIGTTOU) would stop each process that
    /// looks at it, the shell that could wake it among them.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn outlast_others() -> Result<Self> {
        let mut others = SigSet::all();
        for signal in FAULTS.into_iter().chain(ENDS) {
            others.remove(signal);
        }
        block(&others)?;
        Self::block()
    }

    /// The same for a worker, to which its supervisor says whether SIGHUP means the end.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn of_worker() -> Result<Self> {
        let Self(mut signals) = Self::outlast_others()?;
        signals.remove(Signal::SIGHUP);
        block(&SigSet::from(Signal::SIGHUP))?;
        Ok(Self(signals))
    }

    /// The same for a supervisor, which hears [`RELOAD`] and [`UPGRADE`] too, from a
    /// descriptor.
    ///
    /// # Errors
    /// Where there is no descriptor left.
    pub fn of_supervisor() -> Result<SignalFd> {
        let Self(mut signals) = Self::outlast_others()?;
        for signal in [RELOAD, UPGRADE] {
            signals.add(signal);
        }
        block(&signals)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&signals, flags)
            .map_err(|errno| Error::io("listening for signals", errno.into()))
    }

    /// Waits for the next one, and returns its name.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn wait(&self) -> Result<&'static str> {
        let signal = self.0.wait();
        Ok(signal
            .map_err(|errno| Error::io("waiting for signals", errno.into()))?
            .as_str())
    }
}

/// What every command needs, since the process that has started it may have changed
/// what signals do. To be called before the first thread.
///
/// A write past a limit of file sizes (`ulimit -f`) fails with EFBIG, which can be
/// told, instead of ending the process by SIGXFSZ. And a process can wait for the
/// programs that it starts (`fusermount3`): where SIGCHLD is ignored, the kernel
/// takes them away unasked.
pub fn settle() {
    // Neither can fail for a signal that exists.
    let _ = block(&SigSet::from(Signal::SIGXFSZ));
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed that could interrupt anything.
    #[expect(unsafe_code, reason = "nix has no safe form for the default action")]
    let _ = unsafe { sigaction(Signal::SIGCHLD, &default) };
}

/// What a process does before it dies of a fault.
static LAST_WORDS: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Has a process that dies of a fault do something first, in the thread that has
/// faulted. Only what is async-signal-safe (signal-safety(7)) may be done: stores to
/// memory. The first call counts.
pub fn before_death(last_words: impl Fn() + Send + Sync + 'static) {
    if LAST_WORDS.set(Box::new(last_words)).is_err() {
        return;
    }
    // On the stack that the standard library gives each thread for this: the fault may
    // be an overflow of the usual one.
    let flags = SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::Handler(die), flags, SigSet::empty());
    for signal in FAULTS {
        // SAFETY: the handler does only what is async-signal-safe.
        #[expect(unsafe_code, reason = "nix has no safe form for a handler")]
        // Fails for no signal that exists.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn die(signal: libc::c_int) {
    if let Some(last_words) = LAST_WORDS.get() {
        last_words();
    }
    // SAFETY: both are async-signal-safe. The signal is blocked until this returns, and
    // ends the process then.
    #[expect(unsafe_code, reason = "a handler may call little else")]
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn block(signals: &SigSet) -> Result<()> {
    let blocked = signals.thread_block();
    blocked.map_err(|errno| Error::io("blocking signals", errno.into()))
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as u32 - 1)
}
