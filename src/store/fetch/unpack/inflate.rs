//! Inflating on a thread of its own, ahead of parsing, hashing and writing:
//! it takes more time than these together.

use super::gzip::Gunzip;
use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    time::{Duration, Instant},
};

/// Bytes in one block: few hand-overs, and blocks that fit in the CPU's cache.
const BLOCK: usize = 256 << 10;
/// Blocks on their way: what inflating may be ahead.
const AHEAD: usize = 4;
/// News are told at most this often: nobody sees the difference, and each
/// telling runs again what waits.
const TELL: Duration = Duration::from_millis(4);

/// Where inflated blocks go.
pub(super) type Blocks = SyncSender<io::Result<Vec<u8>>>;

/// Inflates `source` and sends the blocks, until its end, an error, or nobody
/// wants more. Used blocks come back through `used`. A block is sent unfilled
/// where the source may not have more yet, so that nothing that came waits
/// for what did not.
pub(super) fn inflate(source: impl Read, blocks: Blocks, used: Receiver<Vec<u8>>) {
    let mut gunzip = Gunzip::new(source);
    loop {
        let mut block = used.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let mut filled = 0;
        let result = loop {
            gunzip.set_hasty(filled > 0);
            match gunzip.read(&mut block[filled..]) {
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
        block.truncate(filled);
        // What came before an error is sent before it.
        if filled > 0 && blocks.send(Ok(block)).is_err() {
            return;
        }
        match result {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                // Nobody may be there to hear it.
                let _ = blocks.send(Err(error));
                return;
            }
        }
    }
}

/// The blocks as they come, and the telling of others that they came.
pub(super) struct Inflated<'a> {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    arrived: &'a (dyn Fn() + Sync),
    /// Whether there is something to tell.
    news: bool,
    told: Option<Instant>,
}

/// Both ends of the hand-over, and the way back of used blocks. `arrived` is
/// called when what a block brought has been worked in.
pub(super) fn pair(arrived: &(dyn Fn() + Sync)) -> (Blocks, Receiver<Vec<u8>>, Inflated<'_>) {
    let (to, blocks) = sync_channel(AHEAD);
    let (used, back) = sync_channel(AHEAD);
    let inflated = Inflated {
        blocks,
        used,
        arrived,
        news: false,
        told: None,
    };
    (to, back, inflated)
}

impl Inflated<'_> {
    /// Puts the next block in the place of one that has been worked in; false
    /// at the end.
    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        let used = std::mem::take(block);
        if used.capacity() > 0 {
            self.news = true;
            // A full way back only means that the block is freed instead.
            let _ = self.used.try_send(used);
        }
        match self.receive() {
            Some(next) => {
                *block = next?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The next block. Before a wait, and now and then while there is none,
    /// what came is told.
    fn receive(&mut self) -> Option<io::Result<Vec<u8>>> {
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
        (self.arrived)();
    }
}
