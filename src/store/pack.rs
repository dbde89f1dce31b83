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
    io::{BufWriter, Seek, SeekFrom, Write},
};

/// Files from this size on get their own `blob-N`. Below it, a file of its own
/// costs more than it brings (an inode, half a block, a create); above it, the
/// create is nothing beside the writing, and the kernel can serve it directly
/// (FUSE passthrough).
pub(super) const BLOB: u64 = 1 << 20;

/// Bytes collected for one write: small files arrive by the kilobyte.
const BUFFER: usize = 512 << 10;

/// Writes the content of one version.
pub(super) struct Packer<'a> {
    staging: &'a mut Staging,
    progress: &'a Progress,
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
        .map_err(|error| Error::io("writing to the cache", error))
    }

    /// Zeros: a real hole in a blob, written out in the pack, where they are few.
    pub(super) fn hole(&mut self, length: u64) -> Result<()> {
        self.charge(length)?;
        let failed = |error| Error::io("writing to the cache", error);
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
            sync(&blob, self.progress)?;
        }
        Ok(())
    }

    /// Brings everything to the disk; gives the length of `pack`, the number
    /// of blobs, and the bytes of both.
    pub(super) fn finish(self) -> Result<(u64, u32, u64)> {
        let pack = self
            .pack
            .into_inner()
            .map_err(|error| Error::io("writing to the cache", error.into_error()))?;
        sync(&pack, self.progress)?;
        Ok((self.pack_length, self.blobs, self.content))
    }
}

/// What a rename seals must be on the disk before it: after a crash of the
/// machine a sealed version with holes would be a lie.
fn sync(file: &File, progress: &Progress) -> Result<()> {
    file.sync_data()
        .map_err(|error| Error::io("writing to the cache", error))?;
    progress.advance(0);
    Ok(())
}
