//! Content on its way to disk: small files one after another in `pack`, large
//! ones each in a `blob-N`. Every byte is charged to the cache's ceiling
//! before it is written, and can be read by others as soon as it is taken in.

use super::{partial::Growing, staging::Staging};
use crate::store::{checksums::Sums, crash::crash_point};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use nix::{
    fcntl::{Flock, OFlag, openat},
    sys::stat::Mode,
};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Files from this size on get their own `blob-N`. Below it, a file of its own
/// costs more than it brings (an inode, half a block, a create); above it, the
/// create is nothing beside the writing, and the kernel can serve it directly
/// (FUSE passthrough).
pub(in crate::store) const BLOB: u64 = 1 << 20;

/// Bytes collected for one write: small files arrive by the kilobyte.
const BUFFER: usize = 512 << 10;

/// The `pack` being written, its newest bytes still in memory. One thread
/// appends, any may read.
pub(in crate::store) struct Pack {
    file: Flock<File>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes in the file.
    written: u64,
    /// The bytes after those, on their way into it.
    writing: Option<Arc<Vec<u8>>>,
    /// The bytes after those.
    filling: Vec<u8>,
}

impl Pack {
    pub(in crate::store) fn new(file: Flock<File>) -> Self {
        Self {
            file,
            state: Mutex::default(),
        }
    }

    /// Takes in bytes; gives how many. Fewer than all: [`Self::flush`] is due.
    fn append(&self, data: &[u8]) -> usize {
        let mut state = self.state();
        if state.filling.capacity() == 0 {
            state.filling.reserve_exact(BUFFER);
        }
        let n = data.len().min(BUFFER - state.filling.len());
        state.filling.extend_from_slice(&data[..n]);
        n
    }

    /// Writes what is in memory. After an error it may be tried again.
    fn flush(&self) -> io::Result<()> {
        let (full, at) = {
            let mut state = self.state();
            if state.writing.is_none() {
                if state.filling.is_empty() {
                    return Ok(());
                }
                let full = Arc::new(std::mem::take(&mut state.filling));
                state.writing = Some(full);
            }
            (state.writing.clone().unwrap_or_default(), state.written)
        };
        self.file.write_all_at(&full, at)?;
        let mut state = self.state();
        state.written += full.len() as u64;
        state.writing = None;
        if let Ok(mut buffer) = Arc::try_unwrap(full)
            && state.filling.capacity() == 0
        {
            buffer.clear();
            state.filling = buffer;
        }
        Ok(())
    }

    /// Reads what is there from `offset` on; 0 where nothing is yet.
    pub(in crate::store) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let written = {
            let state = self.state();
            if offset >= state.written {
                let mut at = usize::try_from(offset - state.written).unwrap_or(usize::MAX);
                let mut n = 0;
                let writing = state.writing.as_deref().map_or(&[][..], Vec::as_slice);
                for part in [writing, &state.filling] {
                    let from = &part[at.min(part.len())..];
                    let m = from.len().min(buf.len() - n);
                    buf[n..n + m].copy_from_slice(&from[..m]);
                    n += m;
                    at = at.saturating_sub(part.len());
                }
                return Ok(n);
            }
            state.written
        };
        let most = usize::try_from(written - offset).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        self.file
            .read_exact_at(&mut buf[..most], offset)
            .map(|()| most)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A blob being written.
pub(in crate::store) struct Large {
    pub(in crate::store) number: u32,
    file: File,
    /// Bytes that are in it.
    written: AtomicU64,
}

impl Large {
    /// Reads what is there from `offset` on; 0 where nothing is yet.
    pub(in crate::store) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.written.load(Ordering::Acquire).saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.file
            .read_exact_at(&mut buf[..most], offset)
            .map(|()| most)
    }

    fn write(&self, data: &[u8]) -> io::Result<()> {
        let at = self.written.load(Ordering::Relaxed);
        self.file.write_all_at(data, at)?;
        self.written
            .store(at + data.len() as u64, Ordering::Release);
        Ok(())
    }
}

/// Opens `blob-N` of a version's directory.
pub(in crate::store) fn open_blob(directory: &File, number: u32) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let name = format!("blob-{number}");
    Ok(openat(directory, name.as_str(), flags, Mode::empty())?.into())
}

/// Writes the content of one version.
pub(in crate::store) struct Packer<'a> {
    staging: &'a mut Staging,
    growing: &'a Growing,
    progress: &'a Progress,
    /// The large file being written.
    large: Option<Arc<Large>>,
    sums: Sums,
    pack_length: u64,
    blobs: u32,
    content: u64,
}

/// What a [`Packer`] has written.
pub(in crate::store) struct Packed {
    /// Length of `pack`.
    pub(in crate::store) pack: u64,
    /// For each `blob-N` the number of its first sum.
    pub(in crate::store) starts: Vec<u32>,
    /// Checksums of all blocks, those of `pack` first.
    pub(in crate::store) sums: Vec<u32>,
    /// Bytes of all of it.
    pub(in crate::store) content: u64,
}

impl<'a> Packer<'a> {
    pub(in crate::store) fn new(
        staging: &'a mut Staging,
        growing: &'a Growing,
        progress: &'a Progress,
    ) -> Self {
        Self {
            staging,
            growing,
            progress,
            large: None,
            sums: Sums::new(),
            pack_length: 0,
            blobs: 0,
            content: 0,
        }
    }

    /// Refuses content that can never fit, before it evicts others on its way.
    pub(in crate::store) fn check(&self, content: u64) -> Result<()> {
        self.staging.check(content)
    }

    /// Starts a file of which so many bytes are stored; gives its place and whether
    /// that is a blob's number.
    pub(in crate::store) fn begin(&mut self, size: u64) -> Result<(u64, bool)> {
        if size < BLOB {
            return Ok((self.pack_length, false));
        }
        let number = self.blobs;
        let large = Arc::new(Large {
            number,
            file: self.staging.create(&format!("blob-{number}"))?,
            written: AtomicU64::new(0),
        });
        crash_point("blob-made");
        self.large = Some(Arc::clone(&large));
        *self.growing.large() = Some(large);
        self.sums.begin_blob();
        self.blobs += 1;
        Ok((u64::from(number), true))
    }

    pub(in crate::store) fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.charge(data.len() as u64)?;
        self.sums.add(data);
        if let Some(large) = self.large.clone() {
            return self.put(|| large.write(data));
        }
        let pack = self.growing.pack();
        loop {
            let n = pack.append(data);
            data = &data[n..];
            if data.is_empty() {
                return Ok(());
            }
            self.put(|| pack.flush())?;
        }
    }

    fn charge(&mut self, bytes: u64) -> Result<()> {
        self.progress.advance(0);
        self.staging.charge(bytes, self.progress)?;
        self.content += bytes;
        if self.large.is_none() {
            self.pack_length += bytes;
        }
        Ok(())
    }

    /// Writes; where the disk is full although the ceiling is not reached,
    /// makes room as if it were.
    fn put(&self, write: impl Fn() -> io::Result<()>) -> Result<()> {
        loop {
            let Err(error) = write() else {
                return Ok(());
            };
            let error = failed(error);
            if !matches!(error, Error::NoSpace(_)) || !self.staging.relieve() {
                return Err(error);
            }
        }
    }

    /// Ends the file that [`Self::begin`] started.
    pub(in crate::store) fn end(&mut self) {
        self.sums.end();
        if self.large.take().is_some() {
            crash_point("blob-written");
            *self.growing.large() = None;
        }
    }

    /// Writes the rest.
    pub(in crate::store) fn finish(self) -> Result<Packed> {
        let pack = self.growing.pack();
        self.put(|| pack.flush())?;
        crash_point("pack-written");
        let (starts, sums) = self.sums.finish();
        Ok(Packed {
            pack: self.pack_length,
            starts,
            sums,
            content: self.content,
        })
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("writing to the cache", error)
}
