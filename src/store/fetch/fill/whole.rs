//! Fills a whole version: several ranges of its archive at once, each by a thread of its own.

use super::super::runs::{RUN, Runs};
use super::state::{Fill, Filling, Work};
use super::{Filled, Filler};
use crate::store::cache::{PATIENCE, Partly};
use crate::store::seek::SeekIndex;
use crate::{
    error::{Error, Result},
    proc,
    sync::Mutex,
    threads,
};
use std::{sync::Arc, thread};

/// Threads that fetch and inflate one version, each with one request and 4 MiB of it in memory
/// at most: as many requests as a new download has in flight. While one waits for its first
/// bytes, others inflate.
const THREADS: usize = 6;
/// Memory that each takes, in bytes: what it may have of the archive, and its stack.
const OF_A_THREAD: u64 = RUN + (2 << 20);

impl Filler<'_> {
    /// Brings all content that has not come.
    ///
    /// # Errors
    /// What a download fails with, and [`Error::NoSpace`].
    pub(in crate::store::fetch) fn whole(&self) -> Result<Filled> {
        let fill = self.fills.of(&self.request.key);
        loop {
            // Before it is counted what is absent: no read makes room by it from now on.
            let Some(_filling) = Filling::start(&fill) else {
                self.wait(&fill, fill.state.lock());
                continue;
            };
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                return Ok(Filled::Cannot);
            };
            let absent = partly.absent(None);
            if absent == 0 {
                partly.finish()?;
                fill.state.lock().forget();
                return Ok(Filled::Yes);
            }
            let runs = Runs::of(&partly);
            let useful = runs.bytes.div_ceil(RUN).min(THREADS as u64);
            self.progress.expect(self.progress.bytes() + runs.bytes);
            partly.charge(absent, PATIENCE, self.progress)?;
            let seek = Arc::clone(partly.seek());
            let runs = Mutex::new(runs);
            let work = || {
                let filled = self.fill_runs(&fill, &seek, &runs);
                if !matches!(filled, Ok(Filled::Yes)) {
                    // The others end too.
                    runs.lock().stop();
                }
                filled
            };
            let mut all = thread::scope(|scope| {
                let is_room = |more: &u64| proc::shortage((more + 1) * OF_A_THREAD).is_none();
                let others: Vec<_> = (1..useful)
                    .take_while(is_room)
                    .map_while(|_| self.fills.spare.try_acquire().ok())
                    .map(|spare| {
                        threads::start_scoped(scope, "vm0fs-fill", move || {
                            let _spare = spare;
                            work()
                        })
                    })
                    .collect();
                let mut all = vec![work()];
                for thread in others.into_iter().flatten() {
                    let failed = |_| Err(Error::Internal("a thread that fills panicked".into()));
                    all.push(thread.join().unwrap_or_else(failed));
                }
                all
            });
            if let Some(at) = all.iter().position(|one| !matches!(one, Ok(Filled::Yes))) {
                return all.swap_remove(at);
            }
            let state = fill.state.lock();
            if state.has_work() {
                // Single reads have the rest at work.
                self.wait(&fill, state);
                continue;
            }
            drop(state);
            if runs.lock().left_out {
                // Single reads had them at work, and may have failed since.
                continue;
            }
            // Where it has been removed meanwhile, that is no fault of the index.
            if partly.is_current() && partly.absent(None) >= absent {
                self.drop_seek();
                return Ok(Filled::Cannot);
            }
        }
    }

    /// Brings one run after another until there are no more.
    fn fill_runs(&self, fill: &Fill, seek: &SeekIndex, runs: &Mutex<Runs>) -> Result<Filled> {
        let sizes = self.downloader.sizes.one_of_several();
        loop {
            let mut state = fill.state.lock();
            let is_taken = |span| state.is_taken(span);
            let next = runs.lock().next(seek, is_taken);
            let Some(spans) = next else {
                return Ok(Filled::Yes);
            };
            let out = seek.output(spans.start).start..seek.output(spans.end - 1).end;
            let _work = Work::start(fill, &mut state, spans);
            drop(state);
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                return Ok(Filled::Cannot);
            };
            if let Filled::Cannot = self.transfer(fill, &mut partly, out, None, &sizes)? {
                return Ok(Filled::Cannot);
            }
        }
    }
}
