//! Where fetches for single reads have ended inside a span: the next one goes on from there
//! rather than from the start of the span.

use crate::store::key::VersionKey;
use crate::store::seek::{Paused, SeekIndex, SpanReader};
use crate::sync::Mutex;
use std::{
    collections::VecDeque,
    io::Read,
    ops::Range,
    sync::{Arc, Weak},
};

/// Most of them; each has a window of 32 KiB and the tables of an inflater.
const MOST: usize = 16;

/// The newest ones of all versions.
#[derive(Default)]
pub(super) struct PausedReaders(Mutex<VecDeque<Kept>>);

struct Kept {
    key: VersionKey,
    /// Of what its positions tell.
    seek: Weak<SeekIndex>,
    resumed: Resumed,
}

/// A reader to go on with. All of its span before it has been written.
pub(super) struct Resumed {
    pub(super) reader: Paused,
    /// Bytes of the archive before what it is to be given, and of the tar stream before
    /// what it gives.
    pub(super) input: u64,
    pub(super) output: u64,
}

impl PausedReaders {
    /// Keeps a reader that has read up to `output` what all bytes of the archive up to
    /// `input` give.
    pub(super) fn keep(
        &self,
        key: &VersionKey,
        seek: &Arc<SeekIndex>,
        reader: SpanReader<impl Read>,
        output: u64,
        input: u64,
    ) {
        let Some(reader) = reader.pause() else {
            return;
        };
        let mut all = self.0.lock();
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Kept {
            key: key.clone(),
            seek: Arc::downgrade(seek),
            resumed: Resumed {
                reader,
                input,
                output,
            },
        });
    }

    /// Drops those of a version: what they have written is removed.
    pub(super) fn forget(&self, key: &VersionKey) {
        self.0.lock().retain(|one| one.key != *key);
    }

    /// The one that is furthest in bytes of the tar stream that begin a span, none of which
    /// are of the next one; it is kept no longer.
    pub(super) fn take(
        &self,
        key: &VersionKey,
        seek: &Arc<SeekIndex>,
        within: Range<u64>,
    ) -> Option<Resumed> {
        let mut all = self.0.lock();
        let seek = Arc::downgrade(seek);
        let found = all
            .iter()
            .enumerate()
            .filter(|(_, one)| one.key == *key && one.seek.ptr_eq(&seek))
            .filter(|(_, one)| within.contains(&one.resumed.output))
            .max_by_key(|(_, one)| one.resumed.output)?
            .0;
        all.remove(found).map(|one| one.resumed)
    }
}
