//! Inflates on a thread of its own, ahead of parsing, hashing and writing: it takes
//! more time than these together.

use super::super::{
    journal::{Journal, Kind},
    replay::Replay,
};
use super::gzip::Gunzip;
use crate::store::seek::{Recorded, Recorder, Start};
use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    time::{Duration, Instant},
};

/// Bytes in one block: large enough for few hand-overs, small enough for the CPU's cache.
const BLOCK: usize = 256 << 10;
/// How many blocks inflating may be ahead.
const AHEAD: usize = 4;
/// Readers are notified at most this often: each notification runs all waiting
/// operations again, and a user does not notice the difference.
const TELL: Duration = Duration::from_millis(4);

/// The next bytes of the tar stream, and their checksum.
pub(super) struct Block {
    bytes: Vec<u8>,
    sum: u32,
}

/// Where inflated blocks go.
pub(super) type Blocks = SyncSender<io::Result<Block>>;

/// Sends the tar stream of an earlier fetch, and passes over those bytes that are inflated
/// again: the archive is entered at a point before what is unpacked ends.
///
/// # Errors
/// Where the stream cannot be made again, and those of inflating.
fn send_again(
    mut replay: Replay,
    start: &Start,
    gunzip: &mut Gunzip<impl Read>,
    blocks: &Blocks,
) -> io::Result<()> {
    while let Some(bytes) = replay.next()? {
        // The journal has its checksum already.
        let block = Block { bytes, sum: 0 };
        if blocks.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
    let again = replay.end().saturating_sub(start.output());
    let passed = io::copy(&mut gunzip.by_ref().take(again), &mut io::sink())?;
    gunzip.take_sum();
    match passed == again {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Inflates `source` and sends the blocks, until it ends or fails, or the receiver is
/// gone. Used blocks come back through `used`. A block is sent before it is full if the
/// source would have to wait, so that bytes that have come do not wait for others.
/// Returns what `recorder` has seen.
pub(super) fn inflate(
    source: impl Read,
    recorder: Recorder,
    (start, replay): (Start, Option<Replay>),
    mut journal: Option<&Journal>,
    (blocks, used): (Blocks, Receiver<Vec<u8>>),
) -> Recorded {
    let mut gunzip = Gunzip::new(source, recorder, &start);
    if let Some(replay) = replay
        && let Err(error) = send_again(replay, &start, &mut gunzip, &blocks)
    {
        let _ = blocks.send(Err(error));
        return gunzip.finish();
    }
    loop {
        // Memory that is fresh from the kernel has zeros already, and takes a page only where
        // it is touched.
        let mut bytes = used.try_recv().unwrap_or_else(|_| vec![0; BLOCK]);
        bytes.resize(BLOCK, 0);
        let mut filled = 0;
        let result = loop {
            gunzip.set_hasty(filled > 0);
            match gunzip.read(&mut bytes[filled..]) {
                Ok(n) => {
                    filled += n;
                    if n == 0 || filled == BLOCK {
                        break Ok(n);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(filled),
                Err(error) => break Err(error),
            }
        };
        bytes.truncate(filled);
        let sum = gunzip.take_sum();
        if gunzip.is_stored()
            && let Some(journal) = journal.take()
        {
            journal.note(Kind::Stored, &[]);
        }
        // The bytes before an error are sent before it.
        if filled > 0 && blocks.send(Ok(Block { bytes, sum })).is_err() {
            break;
        }
        match result {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                // The receiver may be gone.
                let _ = blocks.send(Err(error));
                break;
            }
        }
    }
    gunzip.finish()
}

/// Receives the blocks, and notifies readers when they have been unpacked.
pub(super) struct Inflated<'a> {
    blocks: Receiver<io::Result<Block>>,
    used: SyncSender<Vec<u8>>,
    on_partial: &'a (dyn Fn() + Sync),
    /// Whether blocks have been unpacked since the last notification.
    news: bool,
    told: Option<Instant>,
}

/// Both ends of the hand-over, and the way back for used blocks. `on_partial` is
/// called when blocks have been unpacked.
pub(super) fn pair(on_partial: &(dyn Fn() + Sync)) -> (Blocks, Receiver<Vec<u8>>, Inflated<'_>) {
    let (to, blocks) = sync_channel(AHEAD);
    let (used, back) = sync_channel(AHEAD);
    let inflated = Inflated {
        blocks,
        used,
        on_partial,
        news: false,
        told: None,
    };
    (to, back, inflated)
}

impl Inflated<'_> {
    /// Replaces bytes that have been unpacked by the next ones, and gives their checksum;
    /// `None` at the end.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u32>> {
        let used = std::mem::take(bytes);
        if used.capacity() > 0 {
            self.news = true;
            // If the way back is full, the block is freed instead.
            let _ = self.used.try_send(used);
        }
        match self.receive() {
            Some(next) => {
                let next = next?;
                *bytes = next.bytes;
                Ok(Some(next.sum))
            }
            None => Ok(None),
        }
    }

    /// The next block. Notifies readers before it waits, and now and then while it does.
    fn receive(&mut self) -> Option<io::Result<Block>> {
        let due = self
            .told
            .map_or(Duration::ZERO, |told| TELL.saturating_sub(told.elapsed()));
        if self.news && due.is_zero() {
            self.tell();
        }
        match self.blocks.try_recv() {
            Ok(block) => return Some(block),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        if self.news {
            match self.blocks.recv_timeout(due) {
                Ok(block) => return Some(block),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.tell(),
            }
        }
        self.blocks.recv().ok()
    }

    fn tell(&mut self) {
        self.news = false;
        self.told = Some(Instant::now());
        (self.on_partial)();
    }
}
