//! Content as git writes it into a patch where lines cannot tell it: "GIT binary patch" (git's
//! `diff.c` and `apply.c` are what describes it). `git apply` wants the ids of both contents,
//! which are SHA-1, and holds what it reads and makes against them.

use super::paint::{Ink, Page};
use crate::{
    error::{Error, Result},
    text::hex,
};
use flate2::{Compression, write::ZlibEncoder};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use std::io::Write;

/// The id of no content.
pub(super) const NONE: &str = "0000000000000000000000000000000000000000";

/// Bytes of a line before they are encoded: its first letter says how many.
const LINE: usize = 52;
const LETTERS: &[u8; LINE] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// The content of a file, packed, and its id.
pub(super) struct Blob {
    pub(super) id: String,
    size: usize,
    packed: Vec<u8>,
}

/// The id of content.
pub(super) fn id(content: &[u8]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("blob {}\0", content.len()).as_bytes());
    context.update(content);
    hex(context.finish().as_ref())
}

impl Blob {
    /// Packs content.
    ///
    /// # Errors
    /// Where it cannot be packed.
    pub(super) fn of(content: &[u8]) -> Result<Self> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        let packed = packer.write_all(content).and_then(|()| packer.finish());
        Ok(Self {
            id: id(content),
            size: content.len(),
            packed: packed.map_err(|error| Error::io("packing content", error))?,
        })
    }

    fn put(&self, page: &mut Page, ink: Ink) {
        page.line(Ink::Place, format!("literal {}", self.size).as_bytes());
        for bytes in self.packed.chunks(LINE) {
            let mut line = vec![LETTERS[bytes.len() - 1]];
            for four in bytes.chunks(4) {
                let mut word = [0; 4];
                word[..four.len()].copy_from_slice(four);
                let word = u32::from_be_bytes(word);
                let digit = |power: u32| DIGITS[(word / 85u32.pow(power) % 85) as usize];
                line.extend([4, 3, 2, 1, 0].map(digit));
            }
            page.line(ink, &line);
        }
        page.line(Ink::Plain, b"");
    }
}

/// Adds both contents to a page: `git apply -R` wants the old one.
pub(super) fn write(page: &mut Page, old: &Blob, new: &Blob) {
    page.line(Ink::Plain, b"GIT binary patch");
    new.put(page, Ink::New);
    old.put(page, Ink::Old);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        assert_eq!(id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn no_content_is_written_as_git_writes_it() {
        let mut page = Page::default();
        Blob::of(b"").unwrap().put(&mut page, Ink::New);
        assert_eq!(page.take(), b"literal 0\nHcmV?d00001\n\n");
    }
}
