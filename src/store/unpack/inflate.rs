//! Inflating on a thread of its own, ahead of parsing, hashing and writing:
//! it takes more time than these together.

use super::gzip::Gunzip;
use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

/// Bytes in one block: few hand-overs, and blocks that fit in the CPU's cache.
const BLOCK: usize = 256 << 10;
/// Blocks on their way: what inflating may be ahead.
const AHEAD: usize = 4;

/// Where inflated blocks go.
pub(super) type Blocks = SyncSender<io::Result<Vec<u8>>>;

/// Inflates `source` and sends the blocks, until its end, an error, or nobody
/// wants more. Used blocks come back through `used`.
pub(super) fn inflate(source: impl Read, blocks: Blocks, used: Receiver<Vec<u8>>) {
    let mut gunzip = Gunzip::new(source);
    loop {
        let mut block = used.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let mut filled = 0;
        let result = loop {
            match gunzip.read(&mut block[filled..]) {
                Ok(n) => {
                    filled += n;
                    if n == 0 || filled == BLOCK {
                        break Ok(n);
                    }
                }
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

/// The blocks as a stream.
pub(super) struct Inflated {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    start: usize,
}

/// Both ends of the hand-over, and the way back of used blocks.
pub(super) fn pair() -> (Blocks, Receiver<Vec<u8>>, Inflated) {
    let (to, blocks) = sync_channel(AHEAD);
    let (used, back) = sync_channel(AHEAD);
    let inflated = Inflated {
        blocks,
        used,
        block: Vec::new(),
        start: 0,
    };
    (to, back, inflated)
}

impl Read for Inflated {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.block.len() {
            // A full way back only means that a block is freed instead.
            let _ = self.used.try_send(std::mem::take(&mut self.block));
            self.start = 0;
            match self.blocks.recv() {
                Ok(block) => self.block = block?,
                Err(_) => return Ok(0),
            }
        }
        let from = &self.block[self.start..];
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        self.start += n;
        Ok(n)
    }
}
