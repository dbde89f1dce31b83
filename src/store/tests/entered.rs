//! A version whose seek index is asked for everything.

use super::*;
use crate::store::seek::{Extent, Paused, SeekIndex, SpanReader};
use format::Header;
use std::{fs::File, ops::Range};

/// A sealed version and its seek index.
pub(super) struct Entered {
    pub(super) path: PathBuf,
    /// Where that is below it.
    _fixture: Option<Fixture>,
    pub(super) header: Header,
    pub(super) index: SeekIndex,
}

impl Entered {
    pub(super) fn new(archive: &[u8]) -> Self {
        let fixture = Fixture::with(|config| config.ceiling = 1 << 40);
        fixture.put("v", archive).unwrap();
        let entered = Self::of(fixture.folder.path(), "v", archive);
        let _fixture = Some(fixture);
        Self {
            _fixture,
            ..entered
        }
    }

    /// The version of that id in a cache.
    pub(super) fn of(folder: &Path, id: &str, archive: &[u8]) -> Self {
        let path = folder.join("v1/versions").join(key(id).directory());
        let header = Header::decode(&fs::read(path.join("tree")).unwrap()).unwrap();
        let file = File::open(path.join("seek")).unwrap();
        let store = Store::open(config(folder)).unwrap();
        let version = store.version(&key(id)).unwrap();
        assert_eq!(version.meta().seek_bytes, file.metadata().unwrap().len());
        let index = SeekIndex::read(&file, &header).unwrap();
        assert_eq!(index.archive().length, archive.len() as u64);
        Self {
            path,
            _fixture: None,
            header,
            index,
        }
    }

    /// Bytes of a span up to `to` of the tar stream, from what has to be fetched for them.
    pub(super) fn inflate(&self, archive: &[u8], span: usize, to: u64) -> Vec<u8> {
        let input = self.index.input(span, to);
        let source = &archive[input.start as usize..input.end as usize];
        let start = self.index.output(span).start;
        let mut bytes = vec![0; (to - start) as usize];
        let mut reader = self.index.inflate(span, to, source);
        reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Every span, in whole and in parts, gives what the stream has there.
    pub(super) fn spans_are(&self, archive: &[u8], tar: &[u8]) {
        let mut at = 0;
        for span in 0..self.index.spans() {
            let Range { start, end } = self.index.output(span);
            assert_eq!(start, at, "span {span} follows");
            assert_eq!(self.index.span_at(start), span);
            assert_eq!(self.index.span_at(end - 1), span);
            at = end;
            for to in [start + 1, start + (end - start) / 3, end] {
                let bytes = self.inflate(archive, span, to);
                let is_same = bytes == tar[start as usize..to as usize];
                assert!(is_same, "span {span} of {start}..{end} up to {to}");
            }
            self.pauses(archive, tar, span);
        }
        assert_eq!(at, tar.len() as u64);
    }

    /// A span that is read in steps, each of which goes on where the one before has paused,
    /// with no byte of the archive twice.
    fn pauses(&self, archive: &[u8], tar: &[u8], span: usize) {
        let Range { start, end } = self.index.output(span);
        let (mut at, mut given) = (start, self.index.input(span, end).start);
        let mut paused: Option<Paused> = None;
        while at < end {
            let to = self.index.reach(end.min(at + 1 + (end - start) / 3));
            let input = self.index.input(span, to);
            let source = &archive[given as usize..input.end as usize];
            let mut reader = match paused.take() {
                Some(paused) => SpanReader::resumed(paused, source, to - at),
                None => self.index.inflate(span, to, source),
            };
            let mut bytes = vec![0; (to - at) as usize];
            reader.read_exact(&mut bytes).unwrap();
            let expected = &tar[at as usize..to as usize];
            assert!(
                bytes == expected,
                "span {span} of {start}..{end}: {at}..{to}"
            );
            paused = reader.pause();
            if paused.is_some() {
                (at, given) = (to, input.end);
            } else {
                // One that is not inflated is entered anywhere.
                assert!(to == end || self.index.input(0, 1) == (0..1));
                at = end;
            }
        }
    }

    /// Every extent of the stream is what the part of the cache has there.
    pub(super) fn extents_are(&self, tar: &[u8]) {
        let all: Vec<Extent> = self.index.extents_of_output(0..u64::MAX).collect();
        let mut total = 0;
        for part in 0..=self.header.blobs as usize {
            let name = match part.checked_sub(1) {
                None => "pack".into(),
                Some(blob) => format!("blob-{blob}"),
            };
            let content = fs::read(self.path.join(name)).unwrap();
            let mut at = 0;
            for extent in self.index.extents_of_part(part, 0..u64::MAX) {
                assert_eq!(extent.at, at, "without a gap");
                at += extent.length;
                let Range { start, end } = extent.tar..extent.tar + extent.length;
                let expected = &tar[start as usize..end as usize];
                assert!(content[extent.at as usize..at as usize] == *expected);
                total += 1;
            }
            assert_eq!(at, content.len() as u64, "part {part}");
        }
        assert_eq!(total, all.len());
    }
}
