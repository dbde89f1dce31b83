//! Writes the content of one version: small files one after another into `pack`, large
//! ones each into a `blob-N`. Every byte is charged to the cache's quota before it is
//! written. Readers of the partial version can read it at once.

use super::{pack::Blob, partial::PartialVersion, staging::Staging};
use crate::store::cache::{Writings, Written};
use crate::store::checksums::{Checksums, Packed};
use crate::store::{crash::crash_point, files};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{io, sync::Arc};

/// Writes the content of one version.
pub(super) struct Packer<'a> {
    staging: &'a mut Staging,
    partial: &'a PartialVersion,
    progress: &'a Progress,
    /// The blob being written.
    blob: Option<Arc<Blob>>,
    checksums: Checksums,
    writings: Writings,
}

impl<'a> Packer<'a> {
    pub(super) fn new(
        staging: &'a mut Staging,
        partial: &'a PartialVersion,
        progress: &'a Progress,
    ) -> Self {
        Self {
            staging,
            partial,
            progress,
            blob: None,
            checksums: Checksums::new(),
            writings: Writings::default(),
        }
    }

    /// Refuses content that can never fit, before other versions are evicted for it.
    pub(super) fn check(&self, content: u64) -> Result<()> {
        self.staging.check(content)
    }

    /// Begins a file of which so many bytes are stored; returns its location and whether
    /// that is a blob's number.
    pub(super) fn begin(&mut self, size: u64) -> Result<(u64, bool)> {
        if size < files::BLOB_SIZE {
            return Ok((self.checksums.pack_length(), false));
        }
        let number = self.checksums.begin_blob();
        let (file, kept) = self.staging.create_blob(number)?;
        let blob = Arc::new(Blob::new(number, file, kept));
        crash_point("blob-made");
        self.blob = Some(Arc::clone(&blob));
        self.partial.set_blob(Some(blob));
        Ok((u64::from(number), true))
    }

    pub(super) fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.staging.charge(data.len() as u64, self.progress)?;
        self.checksums.add(data);
        if let Some(blob) = &self.blob {
            return self.put(|| blob.write(data));
        }
        let pack = self.partial.pack();
        loop {
            let n = pack.append(data);
            data = &data[n..];
            if data.is_empty() {
                return Ok(());
            }
            self.put(|| pack.flush())?;
        }
    }

    /// Writes; if the disk is full below the cache's maximum size, evicts and tries again.
    fn put(&self, write: impl Fn() -> io::Result<()>) -> Result<()> {
        self.progress.advance(0);
        let quota = self.staging.quota();
        quota.with_room(|| write().map_err(failed))
    }

    /// Ends the file that [`Self::begin`] started.
    pub(super) fn end(&mut self) {
        self.checksums.end();
        if let Some(blob) = self.blob.take() {
            self.writings.add_blob(blob.file());
            crash_point("blob-written");
            self.partial.set_blob(None);
        }
    }

    /// Writes the rest of the `pack`.
    pub(super) fn finish(self) -> Result<(Packed, Option<Written>)> {
        let pack = self.partial.pack();
        self.put(|| pack.flush())?;
        crash_point("pack-written");
        let written = self.writings.finish(pack.file());
        Ok((self.checksums.finish(), written))
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("writing to the cache", error)
}
