//! The `pack` and the `blob-N` of a partial version. One thread writes them, and any
//! thread may read the bytes that have come.

use crate::store::content_lock::ContentLock;
use crate::sync::Mutex;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes buffered for one write: small files have a few kilobytes each.
const BUFFER: usize = 512 << 10;

/// The `pack` being written, its newest bytes still in memory.
pub(super) struct Pack {
    /// Keeps the version from being evicted once it is sealed: readers of the partial
    /// version go on reading.
    lock: ContentLock,
    /// Bytes that an earlier fetch has left: they are not written again.
    kept: u64,
    buffers: Mutex<Buffers>,
}

#[derive(Default)]
struct Buffers {
    /// Bytes that have come, and are in the file.
    written: u64,
    /// The bytes after those, which are being written.
    writing: Option<Arc<Vec<u8>>>,
    /// The bytes after those.
    filling: Vec<u8>,
}

impl Pack {
    /// One of which so many bytes are there already.
    pub(super) fn new(lock: ContentLock, kept: u64) -> Self {
        Self {
            lock,
            kept,
            buffers: Mutex::default(),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        self.lock.pack()
    }

    /// Buffers bytes; returns how many. If not all fit, call [`Self::flush`].
    pub(super) fn append(&self, data: &[u8]) -> usize {
        let mut buffers = self.buffers.lock();
        if buffers.filling.capacity() == 0 {
            buffers.filling.reserve_exact(BUFFER);
        }
        let n = data.len().min(BUFFER - buffers.filling.len());
        buffers.filling.extend_from_slice(&data[..n]);
        n
    }

    /// Writes the buffer. After an error the caller may try again.
    pub(super) fn flush(&self) -> io::Result<()> {
        let (full, at) = {
            let mut buffers = self.buffers.lock();
            if buffers.writing.is_none() {
                if buffers.filling.is_empty() {
                    return Ok(());
                }
                let full = Arc::new(std::mem::take(&mut buffers.filling));
                buffers.writing = Some(full);
            }
            (buffers.writing.clone().unwrap_or_default(), buffers.written)
        };
        write_behind(self.lock.pack(), &full, at, self.kept)?;
        let mut buffers = self.buffers.lock();
        buffers.written += full.len() as u64;
        buffers.writing = None;
        if let Ok(mut buffer) = Arc::try_unwrap(full)
            && buffers.filling.capacity() == 0
        {
            buffer.clear();
            buffers.filling = buffer;
        }
        Ok(())
    }

    /// Reads the bytes from `offset` on that have come; 0 if none have yet.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let written = {
            let buffers = self.buffers.lock();
            if offset >= buffers.written {
                let mut at = usize::try_from(offset - buffers.written).unwrap_or(usize::MAX);
                let mut n = 0;
                let writing = buffers.writing.as_deref().map_or(&[][..], Vec::as_slice);
                for part in [writing, &buffers.filling] {
                    let from = &part[at.min(part.len())..];
                    let m = from.len().min(buf.len() - n);
                    buf[n..n + m].copy_from_slice(&from[..m]);
                    n += m;
                    at = at.saturating_sub(part.len());
                }
                return Ok(n);
            }
            buffers.written
        };
        let most = usize::try_from(written - offset).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        self.lock
            .pack()
            .read_exact_at(&mut buf[..most], offset)
            .map(|()| most)
    }
}

/// A blob being written.
pub(super) struct Blob {
    pub(super) number: u32,
    file: File,
    kept: u64,
    /// Bytes that have come.
    written: AtomicU64,
}

/// Writes those bytes that lie behind the first `kept` ones of a file.
fn write_behind(file: &File, data: &[u8], at: u64, kept: u64) -> io::Result<()> {
    let there = kept.saturating_sub(at).min(data.len() as u64);
    match &data[there as usize..] {
        [] => Ok(()),
        rest => file.write_all_at(rest, at + there),
    }
}

impl Blob {
    /// One of which so many bytes are there already.
    pub(super) fn new(number: u32, file: File, kept: u64) -> Self {
        Self {
            number,
            file,
            kept,
            written: AtomicU64::new(0),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads the bytes from `offset` on that have come; 0 if none have yet.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.written.load(Ordering::Acquire).saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.file
            .read_exact_at(&mut buf[..most], offset)
            .map(|()| most)
    }

    pub(super) fn write(&self, data: &[u8]) -> io::Result<()> {
        let at = self.written.load(Ordering::Relaxed);
        write_behind(&self.file, data, at, self.kept)?;
        self.written
            .store(at + data.len() as u64, Ordering::Release);
        Ok(())
    }
}
