//! What the supervisor waits for.

use super::{message::Report, worker::Worker};
use crate::error::{Error, Result};
use nix::sys::{signal::Signal, signalfd::SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{os::fd::OwnedFd, time::Duration};

/// Which worker something comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Current,
    Next,
}

pub(super) enum Happening {
    Signal(Signal),
    Report(Place, Report, Vec<OwnedFd>),
    Closed(Place),
    /// Nothing for a while.
    Tick,
}

/// Waits for what happens next, for so long.
pub(super) fn wait(
    signals: &SignalFd,
    current: Option<&Worker>,
    next: Option<&Worker>,
    limit: Duration,
) -> Result<Happening> {
    let workers = [(Place::Current, current), (Place::Next, next)];
    let workers: Vec<_> = workers
        .into_iter()
        .filter_map(|(place, worker)| Some((place, worker?)))
        .collect();
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    let ends = workers
        .iter()
        .map(|(_, worker)| PollFd::new(*worker, PollFlags::IN));
    fds.extend(ends);
    let limit = Timespec::try_from(limit).unwrap_or_default();
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(Error::io("waiting for workers", errno.into())),
    }
    if let Ok(Some(info)) = signals.read_signal()
        && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
    {
        return Ok(Happening::Signal(signal));
    }
    for ((place, worker), fd) in workers.iter().zip(&fds[1..]) {
        if !fd.revents().is_empty() {
            return Ok(match worker.hear() {
                Some((report, fds)) => Happening::Report(*place, report, fds),
                None => Happening::Closed(*place),
            });
        }
    }
    Ok(Happening::Tick)
}
