//! Content on its way to disk: small files one after another in `pack`, large
//! ones each in a `blob-N`. Every byte is charged to the cache's ceiling
//! before it is written.

use super::staging::Staging;
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

/// Files from this size on get their own `blob-N`. Below it, a file of its own
/// costs more than it brings (an inode, half a block, a create); above it, the
/// create is nothing beside the writing, and the kernel can serve it directly
/// (FUSE passthrough).
pub(super) const BLOB: u64 = 1 << 20;

/// Bytes collected for one write: small files arrive by the kilobyte.
const BUFFER: usize = 512 << 10;

/// Bytes after which a file is sent to the disk while writing goes on, so that
/// the last wait for the disk is short.
const SYNC: u64 = 32 << 20;
/// Files that may wait for that: beyond, writing waits for the disk.
const QUEUE: usize = 4;

/// Writes the content of one version.
pub(super) struct Packer<'a> {
    staging: &'a mut Staging,
    progress: &'a Progress,
    syncer: Syncer,
    /// Bytes since the last sync.
    unsynced: u64,
    pack: BufWriter<File>,
    /// The large file being written.
    blob: Option<File>,
    pack_length: u64,
    blobs: u32,
    content: u64,
}

impl<'a> Packer<'a> {
    pub(super) fn new(staging: &'a mut Staging, progress: &'a Progress) -> Result<Self> {
        let pack = staging.create("pack")?;
        Ok(Self {
            staging,
            progress,
            syncer: Syncer::start(progress)?,
            unsynced: 0,
            pack: BufWriter::with_capacity(BUFFER, pack),
            blob: None,
            pack_length: 0,
            blobs: 0,
            content: 0,
        })
    }

    /// Refuses content that can never fit, before it evicts others on its way.
    pub(super) fn check(&self, content: u64) -> Result<()> {
        self.staging.check(content)
    }

    /// Starts a file; gives its place and whether that is a blob's number.
    pub(super) fn begin(&mut self, size: u64) -> Result<(u64, bool)> {
        if size < BLOB {
            return Ok((self.pack_length, false));
        }
        let number = self.blobs;
        self.blob = Some(self.staging.create(&format!("blob-{number}"))?);
        self.blobs += 1;
        Ok((u64::from(number), true))
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        self.charge(data.len() as u64)?;
        match &mut self.blob {
            Some(blob) => blob.write_all(data),
            None => self.pack.write_all(data),
        }
        .map_err(failed)?;
        self.unsynced += data.len() as u64;
        if self.unsynced >= SYNC {
            self.unsynced = 0;
            self.syncer.send(match &self.blob {
                Some(blob) => blob,
                None => self.pack.get_ref(),
            })?;
        }
        Ok(())
    }

    /// Zeros: a real hole in a blob, written out in the pack, where they are few.
    pub(super) fn hole(&mut self, length: u64) -> Result<()> {
        self.charge(length)?;
        if let Some(blob) = &mut self.blob {
            let end = blob.stream_position().map_err(failed)? + length;
            blob.set_len(end).map_err(failed)?;
            return blob.seek(SeekFrom::Start(end)).map(drop).map_err(failed);
        }
        let mut left = length;
        while left > 0 {
            let n = left.min(4096);
            self.pack
                .write_all(&[0; 4096][..n as usize])
                .map_err(failed)?;
            left -= n;
        }
        Ok(())
    }

    fn charge(&mut self, bytes: u64) -> Result<()> {
        self.progress.advance(0);
        self.staging.charge(bytes, self.progress)?;
        self.content += bytes;
        if self.blob.is_none() {
            self.pack_length += bytes;
        }
        Ok(())
    }

    /// Ends the file that [`Self::begin`] started.
    pub(super) fn end(&mut self) -> Result<()> {
        if let Some(blob) = self.blob.take() {
            self.syncer.send(&blob)?;
        }
        Ok(())
    }

    /// Brings everything to the disk; gives the length of `pack`, the number
    /// of blobs, and the bytes of both.
    pub(super) fn finish(self) -> Result<(u64, u32, u64)> {
        let pack = self
            .pack
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        self.syncer.send(&pack)?;
        self.syncer.finish()?;
        Ok((self.pack_length, self.blobs, self.content))
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("writing to the cache", error)
}

/// Brings files to the disk beside the writing. What a rename seals must be
/// there before it: after a crash of the machine a sealed version with holes
/// would be a lie.
struct Syncer {
    files: SyncSender<File>,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncer {
    fn start(progress: &Progress) -> Result<Self> {
        let (files, queue) = sync_channel::<File>(QUEUE);
        let progress = progress.clone();
        let thread = Builder::new()
            .name("vm0fs-sync".into())
            .spawn(move || {
                // After an error the queue is still emptied: nobody waits for ever.
                let mut result = Ok(());
                for file in queue {
                    result = result.and_then(|()| file.sync_data());
                    progress.advance(0);
                }
                result
            })
            .map_err(failed)?;
        Ok(Self { files, thread })
    }

    fn send(&self, file: &File) -> Result<()> {
        let file = file.try_clone().map_err(failed)?;
        self.files
            .send(file)
            .map_err(|_| Error::Internal("the sync thread ended early".into()))
    }

    fn finish(self) -> Result<()> {
        drop(self.files);
        self.thread
            .join()
            .map_err(|_| Error::Internal("the sync thread panicked".into()))?
            .map_err(failed)
    }
}
