//! `vm0fs prefetch`: makes the content of versions present, through the mount
//! that shows them. A second process waits for it (`--worker`).

use super::{
    bars,
    complete::values::Values,
    mount_failure::last_error,
    mount_path::{MountPath, fetch_by},
    output::{print, tell},
    second, walk,
};
use crate::{
    error::{Error, Result},
    humanize,
    sync::Mutex,
    threads,
    tree::FETCH_ALL,
};
use clap::Args;
use indicatif::ProgressBar;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// Versions that are asked for at once: a few more than the mount downloads at once,
/// so that it is never without work.
const AT_ONCE: usize = 8;
/// How often the mount is asked for progress.
const TICK: Duration = Duration::from_millis(100);
/// A version without a download counts as failed after this many looks.
const LOOKS: u32 = 3;
/// `vm0fs prefetch`.
#[derive(Debug, Args)]
#[command(
    after_help = "A volume or an artifact means its latest version. The mount downloads what is
missing, and goes on doing so where you stop waiting with Ctrl-C.

Examples:
  vm0fs prefetch ~/vm0/artifacts/report/latest
  vm0fs prefetch ~/vm0/volumes/*                 the latest version of each
  vm0fs prefetch ~/vm0/runs/RUN-ID/artifact && cp -a ~/vm0/runs/RUN-ID/artifact/. out"
)]
pub struct PrefetchArgs {
    /// Paths of versions, or of volumes and artifacts, in a mount
    #[arg(required = true, value_name = "PATH")]
    #[arg(add = Values::InMounts.completer())]
    paths: Vec<PathBuf>,
    /// Wait in this very process.
    #[arg(long, hide = true)]
    worker: bool,
}

impl PrefetchArgs {
    /// Fetches, and waits for it.
    ///
    /// # Errors
    /// [`Error::Setup`] with what failed and why, for each path.
    pub fn run(self) -> Result<ExitCode> {
        if self.worker {
            return work(&self.paths).map(|()| ExitCode::SUCCESS);
        }
        wait_for(&self.paths)
    }
}

/// Has a second process fetch the versions, and returns its exit code; fails when a
/// signal comes first.
pub(super) fn wait_for(paths: &[PathBuf]) -> Result<ExitCode> {
    let (paths, failures) = walk::that_answer(paths)?;
    failures.iter().for_each(|failure| tell(failure));
    if paths.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let arguments = ["prefetch", "--worker", "--"].map(OsStr::new);
    let paths = paths.iter().map(|path| path.as_os_str());
    let fetched = second::wait_for(arguments.into_iter().chain(paths))?;
    Ok(if failures.is_empty() {
        fetched
    } else {
        ExitCode::FAILURE
    })
}

fn work(paths: &[PathBuf]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = one(path) {
                failures.lock().push(error.to_string());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(paths.len()) {
            // With fewer threads it takes longer.
            let _ = threads::start_scoped(scope, "vm0fs-prefetch", work);
        }
        work();
    });
    let failures = failures.into_inner();
    match failures.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::Setup(one.clone())),
        all => Err(Error::Setup(format!(
            "{} of {} could not be fetched:\n  {}",
            all.len(),
            paths.len(),
            all.join("\n  ")
        ))),
    }
}

fn one(path: &Path) -> Result<()> {
    let path = MountPath::find(path)?;
    let bar = bars::bar(&path.label);
    bar.set_prefix("waiting");
    let started = Instant::now();
    let fetched = bring(&path, &bar, started);
    let took = started.elapsed();
    bars::take_away(&bar);
    let shown = &path.shown;
    let time = humanize::took(took);
    let done = match fetched? {
        None => "already there".into(),
        Some(0) => format!("fetched in {time}"),
        Some(bytes) => {
            let (size, rate) = (humanize::size(bytes), humanize::rate(bytes, took));
            format!("{size} in {time}, {rate}")
        }
    };
    print(&format!("{shown}: {done}\n"))
}

/// Makes the mount fetch a version, and waits until all of it has come. The waits end
/// by the mount's own deadlines. Returns how many bytes came, as the mount says at the end or,
/// if it is of an older vm0fs, as far as this has seen; `None` where the cache had it already.
fn bring(path: &MountPath, bar: &ProgressBar, started: Instant) -> Result<Option<u64>> {
    let is_cached = || Ok::<_, Error>(path.attribute("cached")?.as_deref() == Some("yes"));
    if is_cached()? {
        return Ok(None);
    }
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel();
        // Fails if this has returned with a failure.
        let fetch = move || done.send(fetch_by(&path.root, FETCH_ALL)).ok();
        threads::start_scoped(scope, "vm0fs-fetch", fetch).map_err(Error::no_thread)?;
        let (mut ended, mut seen, mut told, mut patience) = (false, 0, None, LOOKS);
        loop {
            match wait.recv_timeout(TICK) {
                Ok(Err(error)) => return Err(path.failure(&error)),
                Ok(Ok(bytes)) => (ended, told) = (true, bytes.parse().ok()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
            }
            if let Some((bytes, all)) = path.transfer()? {
                seen = bytes;
                bars::set(bar, bytes, all, started.elapsed());
                continue;
            }
            match ended {
                false => {}
                true if is_cached()? => return Ok(Some(told.unwrap_or(seen))),
                // The mount reports a failure just after the download's end.
                true if patience > 0 => patience -= 1,
                true => return Err(lost(path)),
            }
        }
    })
}

/// Why a fetch that ended without an error has left no content.
fn lost(path: &MountPath) -> Error {
    let told = last_error(&path.root);
    let reason = told.unwrap_or_else(|| {
        "it was evicted as soon as it was there; mount with a larger --cache-size, or let pinned \
         versions go (vm0fs cache unpin)"
            .into()
    });
    Error::Setup(format!("{}: {reason}", path.shown))
}
