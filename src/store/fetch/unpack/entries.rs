//! A tar stream as entries with raw names: ustar, GNU long names and links,
//! files with holes, pax headers for one entry and for all that follow.
//! The archive cannot make what is kept here large.

use super::{
    fault::Fault,
    kinds,
    numbers::{BLOCK, is_header, number, path, size, until_nul},
    pax::Pax,
    sparse,
    stream::Stream,
};
use crate::store::index::holes::{Map, Pieces};
use crate::store::limits::Limits;
use std::sync::Arc;
use tar::{EntryType, Header};

/// Maximum number of extension headers before one entry; one of each kind is usual.
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
    /// The pieces of a file with holes.
    pub(super) holes: Option<Arc<Map>>,
    pub(super) mtime: (i64, u32),
    pub(super) mode: u32,
}

/// Reads a tar stream.
pub(super) struct Entries<'a> {
    pub(super) stream: Stream<'a>,
    global: Pax,
    /// Whether there was a pax header.
    pax: bool,
    /// Whether the end mark has come.
    ended: bool,
    /// Maximum number of pieces of a file with holes.
    most_pieces: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(stream: Stream<'a>, limits: &Limits) -> Self {
        Self {
            stream,
            global: Pax::default(),
            pax: false,
            ended: false,
            most_pieces: limits.pieces as usize,
        }
    }

    /// The next entry; `None` at the end mark or a clean end of the stream.
    /// Skips what is left of the last body.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.stream.pass()?;
        let (mut local, mut long_path, mut long_link) = (Pax::default(), None, None);
        let mut extensions = 0;
        loop {
            let at = self.stream.position();
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
            let content = self.stream.extension(stored)?;
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
        let at = self.stream.position() - BLOCK as u64;
        let old = header.as_old();
        let sparse = pax.sparse.filter(|_| is_file(kind));
        let name = sparse.as_ref().and_then(|sparse| sparse.name.clone());
        let path = name
            .or(pax.path)
            .or(long_path)
            .unwrap_or_else(|| path(header));
        let body = self
            .body_of(kind, path.ends_with(b"/"), stored, pax.size)
            .ok_or_else(|| {
                Fault::Bad(format!(
                    "byte {at}: a body where none belongs, which programs take differently"
                ))
            })?;
        self.stream.begin(body);
        let most = self.most_pieces;
        let holes = match (kind.is_gnu_sparse(), &sparse) {
            (true, _) => Some(sparse::old(&mut self.stream, header, at, most)?),
            (false, Some(records)) => sparse::pax(&mut self.stream, records, at, most)?,
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
            stored: self.stream.body(),
            holes,
            mtime: pax
                .mtime
                .unwrap_or_else(|| (number(&old.mtime).unwrap_or(0), 0)),
            mode: (mode & 0o7777) as u32,
        })
    }

    /// How many bytes follow a header; `None` if GNU tar and bsdtar differ. For both, the
    /// size in a header counts for files only, that in a pax header for all entries but
    /// directories.
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
            // Old tar programs mark directories so.
            EntryType::Regular if slash => none(pax.unwrap_or(stored)),
            _ => Some(pax.unwrap_or(stored)),
        }
    }

    /// Whether the archive had its end mark.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next header; `None` at a block of zeros or the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let at = self.stream.position();
        if self.stream.is_at_end()? {
            // An empty stream is no archive.
            return match at {
                0 => Err(Fault::Bad("it is empty".into())),
                _ => Ok(None),
            };
        }
        let block = self.stream.block("a header")?;
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
}

/// Whether pax records of holes can be about an entry of that kind.
fn is_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous)
}
