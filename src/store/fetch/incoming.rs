//! An archive on its way in.

use std::io::{self, Read};

/// An archive on its way in, and what the object store told of it.
pub(in crate::store) struct Incoming<R> {
    pub(in crate::store) source: R,
    pub(in crate::store) length: Option<u64>,
    pub(in crate::store) etag: Option<String>,
}

/// Counts the bytes of an archive that are read, and those before them.
pub(super) struct Counted<R> {
    pub(super) source: R,
    pub(super) bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }
}
