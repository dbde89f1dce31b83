//! A tar stream as entries with raw names: ustar, GNU long names and links,
//! old GNU sparse files, pax headers for one entry and for all that follow.
//! Nothing here is kept that the archive could make large.

use super::{
    Fault,
    inflate::Inflated,
    pax::{Pax, number},
};
use std::{collections::VecDeque, sync::Arc};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// The unit of tar.
const BLOCK: usize = 512;
/// A header that is kept in memory: longer than any path that Linux takes,
/// with room for other pax records (comments, extended attributes).
const HEADER_BYTES: u64 = 1 << 20;
/// Extension headers before one entry: one of each kind is usual.
const EXTENSIONS: u32 = 16;
/// Pieces of a sparse file, those that say nothing included: 16 bytes of
/// memory each, and a map that must end.
const PIECES: usize = 100_000;

/// One entry, its names as the archive gives them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryType,
    pub(super) path: Arc<[u8]>,
    pub(super) link: Arc<[u8]>,
    /// Bytes of content, holes included.
    pub(super) size: u64,
    pub(super) mtime: (i64, u32),
    pub(super) mode: u32,
}

/// What comes next of a body.
pub(super) enum Piece<'a> {
    Data(&'a [u8]),
    /// That many zeros.
    Hole(u64),
    End,
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
    /// Offset and length of a sparse file's data, not taken yet.
    sparse: Option<VecDeque<(u64, u64)>>,
    /// Bytes of the current content given out, and in all.
    given: u64,
    size: u64,
    global: Pax,
}

impl<'a> Entries<'a> {
    pub(super) fn new(inner: Inflated<'a>) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            body: 0,
            padding: 0,
            sparse: None,
            given: 0,
            size: 0,
            global: Pax::default(),
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
            let stored = number(&header.as_old().size)
                .and_then(|size| u64::try_from(size).ok())
                .ok_or_else(|| Fault::Bad(format!("byte {at}: malformed size")))?;
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
                EntryType::XGlobalHeader => self.global.parse(&content).map_err(placed)?,
                _ => local.parse(&content).map_err(placed)?,
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
        if pax.sparse {
            return Err(Fault::Bad(format!(
                "byte {at}: a sparse file in pax form, which vm0fs cannot read"
            )));
        }
        // As GNU tar does: a link has no body, whatever its size says.
        let stored = match kind {
            EntryType::Link => 0,
            _ => pax.size.unwrap_or(stored),
        };
        self.body = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        self.given = 0;
        self.size = stored;
        self.sparse = None;
        if kind.is_gnu_sparse() {
            self.sparse_map(header, at)?;
        }
        let mode = number(&old.mode).unwrap_or(0);
        Ok(Entry {
            kind,
            path: pax
                .path
                .or(long_path)
                .unwrap_or_else(|| path(header).into()),
            link: pax
                .link
                .or(long_link)
                .unwrap_or_else(|| until_nul(&old.linkname).into()),
            size: self.size,
            mtime: pax
                .mtime
                .unwrap_or_else(|| (number(&old.mtime).unwrap_or(0), 0)),
            mode: (mode & 0o7777) as u32,
        })
    }

    /// The next piece of the current entry's content.
    pub(super) fn body(&mut self) -> Result<Piece<'_>, Fault> {
        if let Some(pieces) = &mut self.sparse {
            let next = pieces.front().map_or(self.size, |&(offset, _)| offset);
            if self.given < next {
                let hole = next - self.given;
                self.given = next;
                return Ok(Piece::Hole(hole));
            }
            let Some(&(_, most)) = pieces.front() else {
                return Ok(Piece::End);
            };
            let n = self.fill("a file's content")?.len() as u64;
            let n = n.min(most);
            if let Some(pieces) = &mut self.sparse {
                match pieces.front_mut() {
                    Some(piece) if piece.1 > n => *piece = (piece.0 + n, piece.1 - n),
                    _ => drop(pieces.pop_front()),
                }
            }
            return Ok(Piece::Data(self.give(n)));
        }
        if self.body == 0 {
            return Ok(Piece::End);
        }
        let n = self.fill("a file's content")?.len() as u64;
        let n = n.min(self.body);
        Ok(Piece::Data(self.give(n)))
    }

    fn give(&mut self, n: u64) -> &[u8] {
        self.body -= n;
        self.given += n;
        let from = self.start;
        self.take(n as usize);
        &self.buffer[from..self.start]
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
        (self.body, self.padding, self.sparse) = (0, 0, None);
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
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let field = 148..156;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if field.contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        // Some old tars summed signed characters.
        match number(&block[field]) {
            Some(sum) if sum == unsigned || sum == signed => Ok(Some(header)),
            _ if at == 0 => Err(Fault::Bad("it is not a tar archive".into())),
            _ => Err(Fault::Bad(format!(
                "byte {at}: the header's checksum is wrong"
            ))),
        }
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

    /// Reads the map of an old GNU sparse entry, which may go on in blocks of its own.
    fn sparse_map(&mut self, header: &Header, at: u64) -> Result<(), Fault> {
        let bad = || Fault::Bad(format!("byte {at}: malformed sparse file"));
        let gnu = header.as_gnu().ok_or_else(bad)?;
        let field = |bytes: &[u8]| number(bytes).and_then(|n| u64::try_from(n).ok());
        let size = field(&gnu.realsize).ok_or_else(bad)?;
        let (mut pieces, mut end, mut stored) = (VecDeque::new(), 0_u64, 0_u64);
        let mut seen = 0;
        let mut add = |piece: &GnuSparseHeader| -> Result<(), Fault> {
            seen += 1;
            if seen > PIECES {
                return Err(Fault::Limit(format!(
                    "byte {at}: a sparse file of more than {PIECES} pieces"
                )));
            }
            if piece.offset[0] == 0 || piece.numbytes[0] == 0 {
                return Ok(());
            }
            let offset = field(&piece.offset).ok_or_else(bad)?;
            let length = field(&piece.numbytes).ok_or_else(bad)?;
            let next = offset.checked_add(length).ok_or_else(bad)?;
            if offset < end || next > size {
                return Err(bad());
            }
            (end, stored) = (next, stored + length);
            // Some writers close the map with an empty piece.
            if length > 0 {
                pieces.push_back((offset, length));
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut goes_on = gnu.isextended[0] == 1;
        while goes_on {
            let block = self.block("a sparse file's map")?;
            for piece in block[..BLOCK - 8].chunks_exact(size_of::<GnuSparseHeader>()) {
                let mut header = GnuSparseHeader {
                    offset: [0; 12],
                    numbytes: [0; 12],
                };
                header.offset.copy_from_slice(&piece[..12]);
                header.numbytes.copy_from_slice(&piece[12..]);
                add(&header)?;
            }
            goes_on = block[std::mem::offset_of!(GnuExtSparseHeader, isextended)] == 1;
        }
        if stored != self.body {
            return Err(bad());
        }
        self.size = size;
        self.sparse = Some(pieces);
        Ok(())
    }

    fn block(&mut self, what: &str) -> Result<[u8; BLOCK], Fault> {
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

/// A header's own name: in ustar, two fields.
fn path(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}
