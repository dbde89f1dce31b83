//! A tar stream as entries with raw names: ustar, GNU long names and links,
//! files with holes, pax headers for one entry and for all that follow.
//! Nothing here is kept that the archive could make large.

use super::{
    Fault,
    inflate::Inflated,
    kinds,
    numbers::{BLOCK, is_header, number, path, size, until_nul},
    pax::Pax,
};
use crate::store::{
    Limits,
    index::holes::{Map, Pieces},
};
use std::sync::Arc;
use tar::{EntryType, Header};

/// A header that is kept in memory: longer than any path that Linux takes, with room
/// for the map of a file with holes and for records that mean nothing here
/// (comments, extended attributes).
const HEADER_BYTES: u64 = 8 << 20;
/// Extension headers before one entry: one of each kind is usual.
const EXTENSIONS: u32 = 16;

/// One entry, its names as the archive gives them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryType,
    pub(super) path: Arc<[u8]>,
    pub(super) link: Arc<[u8]>,
    /// Bytes of content, holes included.
    pub(super) size: u64,
    /// Bytes of content that are in the archive, one piece after another where it
    /// has holes.
    pub(super) stored: u64,
    /// Where they belong, of a file with holes.
    pub(super) holes: Option<Arc<Map>>,
    pub(super) mtime: (i64, u32),
    pub(super) mode: u32,
}

/// Reads a tar stream.
pub(super) struct Entries<'a> {
    inner: Inflated<'a>,
    /// The block at work, and where in it.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of tar taken so far, to say where something is wrong.
    position: u64,
    /// Bytes of the current body not taken yet, and the zeros after them.
    body: u64,
    padding: u64,
    global: Pax,
    /// Whether there was a pax header.
    pax: bool,
    /// Whether the end mark has come.
    ended: bool,
    /// Pieces that a file with holes may have.
    most_pieces: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(inner: Inflated<'a>, limits: &Limits) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            body: 0,
            padding: 0,
            global: Pax::default(),
            pax: false,
            ended: false,
            most_pieces: limits.pieces as usize,
        }
    }

    /// The next entry; `None` at the end mark or a clean end of the stream.
    /// What is left of the last body is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.pass()?;
        let (mut local, mut long_path, mut long_link) = (Pax::default(), None, None);
        let mut extensions = 0;
        loop {
            let at = self.position;
            let Some(header) = self.header()? else {
                return match extensions {
                    0 => Ok(None),
                    _ => Err(Fault::Bad(format!(
                        "byte {at}: the archive ends after an extension header"
                    ))),
                };
            };
            let kind = header.entry_type();
            let stored = size(&header.as_old().size).ok_or_else(|| {
                Fault::Bad(format!(
                    "byte {at}: malformed size, which programs take differently or not at all"
                ))
            })?;
            let is_extension = kind.is_gnu_longname()
                || kind.is_gnu_longlink()
                || kind.is_pax_local_extensions()
                || kind.is_pax_global_extensions()
                || kind.as_byte() == b'X';
            if !is_extension {
                return self
                    .entry(
                        &header,
                        local.or(&self.global),
                        long_path,
                        long_link,
                        stored,
                    )
                    .map(Some);
            }
            extensions += 1;
            if extensions > EXTENSIONS {
                return Err(Fault::Limit(format!(
                    "byte {at}: more than {EXTENSIONS} extension headers before one entry"
                )));
            }
            let content = self.extension(stored)?;
            let placed = |text: String| Fault::Bad(format!("byte {at}: {text}"));
            match kind {
                EntryType::GNULongName => long_path = Some(until_nul(&content).into()),
                EntryType::GNULongLink => long_link = Some(until_nul(&content).into()),
                EntryType::XGlobalHeader => {
                    let global = &mut self.global;
                    global.parse(&content, self.most_pieces).map_err(placed)?;
                    // GNU tar obeys it, bsdtar does not: they find other entries.
                    if global.size.is_some() || global.sparse.is_some() {
                        return Err(placed("a pax header with a size for all entries".into()));
                    }
                    self.pax = true;
                }
                _ => {
                    local.parse(&content, self.most_pieces).map_err(placed)?;
                    self.pax = true;
                }
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        pax: Pax,
        long_path: Option<Arc<[u8]>>,
        long_link: Option<Arc<[u8]>>,
        stored: u64,
    ) -> Result<Entry, Fault> {
        let kind = header.entry_type();
        let at = self.position - BLOCK as u64;
        let old = header.as_old();
        let sparse = pax.sparse.filter(|_| is_file(kind));
        let name = sparse.as_ref().and_then(|sparse| sparse.name.clone());
        let path = name
            .or(pax.path)
            .or(long_path)
            .unwrap_or_else(|| path(header).into());
        let body = self
            .body_of(kind, path.ends_with(b"/"), stored, pax.size)
            .ok_or_else(|| {
                Fault::Bad(format!(
                    "byte {at}: a body where none belongs, which programs take differently"
                ))
            })?;
        self.body = body;
        self.padding = body.wrapping_neg() % BLOCK as u64;
        let holes = match (kind.is_gnu_sparse(), &sparse) {
            (true, _) => Some(self.old_sparse(header, at)?),
            (false, Some(sparse)) => self.pax_sparse(sparse, at)?,
            (false, None) => None,
        };
        let mode = number(&old.mode).unwrap_or(0);
        Ok(Entry {
            kind,
            path,
            link: pax
                .link
                .or(long_link)
                .unwrap_or_else(|| until_nul(&old.linkname).into()),
            size: holes.as_ref().map_or(body, |holes| holes.size()),
            stored: self.body,
            holes,
            mtime: pax
                .mtime
                .unwrap_or_else(|| (number(&old.mtime).unwrap_or(0), 0)),
            mode: (mode & 0o7777) as u32,
        })
    }

    /// How many bytes follow a header; `None` where GNU tar and bsdtar differ. As
    /// they do it: the size in a header counts for files only, that of a pax header
    /// for all but directories.
    fn body_of(&self, kind: EntryType, slash: bool, stored: u64, pax: Option<u64>) -> Option<u64> {
        let none = |size: u64| (size == 0).then_some(0);
        match kind {
            EntryType::Directory => none(pax.unwrap_or(0)),
            // In archives with pax headers bsdtar reads a hard link's body.
            EntryType::Link if self.pax => pax.or_else(|| none(stored)),
            EntryType::Link => Some(0),
            EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => {
                pax.or_else(|| none(stored))
            }
            kind if kind.as_byte() == b'V' => none(pax.unwrap_or(stored)),
            // Old tars mark directories so.
            EntryType::Regular if slash => none(pax.unwrap_or(stored)),
            _ => Some(pax.unwrap_or(stored)),
        }
    }

    /// The next bytes of the current entry's content; none at its end.
    pub(super) fn next_of_body(&mut self) -> Result<&[u8], Fault> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let n = self.fill("a file's content")?.len() as u64;
        let n = n.min(self.body);
        self.body -= n;
        let from = self.start;
        self.take(n as usize);
        Ok(&self.buffer[from..self.start])
    }

    /// Bytes of the current body that have not been taken.
    pub(super) fn body(&self) -> u64 {
        self.body
    }

    /// Counts bytes that are about to be taken as those of the body; false where it
    /// has not as many.
    pub(super) fn takes_from_body(&mut self, bytes: u64) -> bool {
        let left = self.body.checked_sub(bytes);
        self.body = left.unwrap_or(self.body);
        left.is_some()
    }

    pub(super) fn most_pieces(&self) -> usize {
        self.most_pieces
    }

    /// Whether the archive had its end mark.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of tar so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// After the end mark: reads what is left, so that the compression is
    /// checked to its end. More than `most` is refused.
    pub(super) fn drain(&mut self, most: u64) -> Result<(), Fault> {
        let mut rest = 0;
        loop {
            let n = self.buffer.len() - self.start;
            rest += n as u64;
            self.take(n);
            if rest > most {
                return Err(Fault::Limit(format!(
                    "more than {most} bytes after the end of the archive"
                )));
            }
            if !self.refill()? {
                return Ok(());
            }
        }
    }

    /// Passes over what is left of the current body.
    fn pass(&mut self) -> Result<(), Fault> {
        let mut left = self.body.saturating_add(self.padding);
        while left > 0 {
            let n = self.fill("an entry")?.len();
            let n = n.min(usize::try_from(left).unwrap_or(n));
            self.take(n);
            left -= n as u64;
        }
        (self.body, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; `None` at a block of zeros or the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let at = self.position;
        if self.start == self.buffer.len() && !self.refill()? {
            // Nothing at all is not an archive.
            return match at {
                0 => Err(Fault::Bad("it is empty".into())),
                _ => Ok(None),
            };
        }
        let block = self.block("a header")?;
        if block == [0; BLOCK] {
            self.ended = true;
            return Ok(None);
        }
        if is_header(&block) {
            return Ok(Some(Header::from_byte_slice(&block).clone()));
        }
        Err(Fault::Bad(match (at, kinds::kind(&block)) {
            (0, Some(kind)) => format!("it is not a tar archive but, compressed, {kind}"),
            (0, None) => "it is not a tar archive".into(),
            _ => format!("byte {at}: the header's checksum is wrong"),
        }))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > HEADER_BYTES {
            return Err(Fault::Limit(format!(
                "byte {}: an extension header of {size} bytes; {HEADER_BYTES} are allowed",
                self.position
            )));
        }
        let mut content = Vec::with_capacity(size as usize);
        let mut left = size as usize;
        while left > 0 {
            let from = self.fill("an extension header")?;
            let n = from.len().min(left);
            content.extend_from_slice(&from[..n]);
            self.take(n);
            left -= n;
        }
        self.padding = size.wrapping_neg() % BLOCK as u64;
        self.pass()?;
        Ok(content)
    }

    pub(super) fn block(&mut self, what: &str) -> Result<[u8; BLOCK], Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let from = self.fill(what)?;
            let n = from.len().min(BLOCK - filled);
            block[filled..filled + n].copy_from_slice(&from[..n]);
            self.take(n);
            filled += n;
        }
        Ok(block)
    }

    /// What is buffered, at least one byte; the end of the stream is an error.
    fn fill(&mut self, inside: &str) -> Result<&[u8], Fault> {
        if self.start == self.buffer.len() && !self.refill()? {
            return Err(Fault::Bad(format!(
                "byte {}: the archive ends inside {inside}",
                self.position
            )));
        }
        Ok(&self.buffer[self.start..])
    }

    fn take(&mut self, n: usize) {
        self.start += n;
        self.position += n as u64;
    }

    /// Reads on; false at the end of the stream.
    fn refill(&mut self) -> Result<bool, Fault> {
        self.start = 0;
        self.inner
            .next(&mut self.buffer)
            .map_err(|error| Fault::read(error, self.position))
    }
}

/// Whether pax records of holes can be about an entry of that kind.
fn is_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous)
}
