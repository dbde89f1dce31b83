//! The tar stream of a fetch that was left, made again of its journal and its content.

use super::{
    journal::{Kind, Records},
    skeleton::{self, HEADER, Part},
};
use crate::store::{checksums::checksum, files};
use std::{
    fs::File,
    io::{self, Read},
};

/// Reads it record by record. What it gives has been held against the journal's checksums.
pub(super) struct Replay {
    directory: File,
    records: Records,
    /// Bytes so far, and in all.
    at: u64,
    end: u64,
    pack: Option<File>,
    /// The current blob.
    blob: Option<(u32, File)>,
}

impl Replay {
    /// So many bytes of the stream of a fetch in this directory.
    pub(super) fn new(directory: File, records: Records, end: u64) -> Self {
        Self {
            directory,
            records,
            at: 0,
            end,
            pack: None,
            blob: None,
        }
    }

    /// Bytes in all.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next bytes, some MiB at most; `None` at the end.
    ///
    /// # Errors
    /// `InvalidData` if they are not those that were unpacked, else what the kernel says.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.at < self.end {
            let next = self.records.next();
            let (kind, record) = next.ok_or(io::ErrorKind::InvalidData)?;
            if kind == Kind::Skeleton {
                let bytes = self.stream(&record)?;
                self.at += bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn stream(&mut self, record: &[u8]) -> io::Result<Vec<u8>> {
        let malformed = io::ErrorKind::InvalidData;
        let (sum, parts) = skeleton::read(record).ok_or(malformed)?;
        let mut bytes = Vec::new();
        let mut header = [0; HEADER];
        for part in parts {
            let from = bytes.len();
            match part.ok_or(malformed)? {
                Part::Zeros(length) => bytes.resize(from + length as usize, 0),
                Part::Bytes(data) => bytes.extend_from_slice(data),
                Part::Header(differing) => {
                    differing.apply(&mut header);
                    bytes.extend_from_slice(&header);
                }
                Part::Content(blob, length) => {
                    bytes.resize(from + length as usize, 0);
                    self.file(blob)?.read_exact(&mut bytes[from..])?;
                }
            }
        }
        match checksum(&bytes) == sum {
            true => Ok(bytes),
            false => Err(malformed.into()),
        }
    }

    /// The file of a part's content, at its next byte.
    fn file(&mut self, blob: Option<u32>) -> io::Result<&mut File> {
        let open = |name: &str| files::open(&self.directory, name);
        let Some(number) = blob else {
            if self.pack.is_none() {
                self.pack = Some(open(files::PACK)?);
            }
            return self.pack.as_mut().ok_or(io::ErrorKind::NotFound.into());
        };
        if self.blob.as_ref().is_none_or(|(known, _)| *known != number) {
            self.blob = Some((number, open(&files::blob(number))?));
        }
        let file = self.blob.as_mut().map(|(_, file)| file);
        file.ok_or(io::ErrorKind::NotFound.into())
    }
}
