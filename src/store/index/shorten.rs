//! Names that are longer than a directory can hold (`NAME_MAX`), cut so that they
//! stay readable, keep their extension and differ from one another.
//!
//! macOS and Windows count a name's UTF-16 units: 255 Chinese characters are one
//! name there, and 765 bytes here.

use super::{format, records::Records};
use crate::text::push_hex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Bytes of an extension, its point included, that is kept: `.markdown`, `.parquet`.
const EXTENSION: usize = 20;
/// Bytes of the hash in hexadecimal, and the `~` before it.
const HASH: usize = 17;

/// `name` in at most `most` bytes (at least 40): its beginning, `~`, 16 digits of
/// its SHA-256, and its extension. UTF-8 is cut between characters.
pub(in crate::store) fn shorten(name: &[u8], most: usize) -> Vec<u8> {
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        Some(point) if point > 0 && name.len() - point <= EXTENSION => &name[point..],
        _ => &[],
    };
    let mut cut = most.saturating_sub(HASH + extension.len()).min(name.len());
    // No cut within a character.
    let goes_on = |at: usize| name.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    if std::str::from_utf8(name).is_ok() {
        while cut > 0 && goes_on(cut) {
            cut -= 1;
        }
    }
    let digest = Sha256::digest(name);
    let mut short = name[..cut].to_vec();
    short.push(b'~');
    push_hex(&digest[..8], &mut short);
    short.extend_from_slice(extension);
    short
}

/// Replaces long names in the targets of symlinks by the shortened names that are shown:
/// the kernel refuses the long ones. A target that names nothing in the version stays as
/// it is, since programs keep texts in such links. `most` is what names were shortened to.
pub(in crate::store) fn redirect(records: &mut Records, most: usize) {
    let shown = |at: u32| records.dirents.get(at as usize).map(|it| records.name(it));
    let shown = records.longs.iter().filter_map(|(at, _, _)| shown(*at));
    let shown: HashSet<Vec<u8>> = shown.map(<[u8]>::to_vec).collect();
    if shown.is_empty() {
        return;
    }
    for node in 0..records.nodes.len() {
        let record = &records.nodes[node];
        if record.kind != format::SYMLINK || record.size <= most as u64 {
            continue;
        }
        let own = records.target(record);
        // The link leads out of the version.
        if own.starts_with(b"/") {
            continue;
        }
        let names = own.split(|&byte| byte == b'/').map(|name| {
            let short = (name.len() > most).then(|| shorten(name, most));
            short
                .filter(|short| shown.contains(short))
                .unwrap_or_else(|| name.to_vec())
        });
        let target = names.collect::<Vec<_>>().join(&b'/');
        // It is shorter, so it fits in the place of the old one.
        let start = record.location as usize;
        if let Some(place) = records.arena.get_mut(start..start + target.len()) {
            place.copy_from_slice(&target);
            records.nodes[node].size = target.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_and_whole_characters_are_kept() {
        for (name, ends) in [
            ("设".repeat(120) + ".md", ".md"),
            ("n".repeat(256), ""),
            ("n".repeat(300) + ".tar.gz", ".gz"),
            (".".to_owned() + &"n".repeat(300), ""),
            ("n".repeat(300) + "." + &"e".repeat(20), ""),
            (
                "n".repeat(300) + "." + &"e".repeat(19),
                ".eeeeeeeeeeeeeeeeeee",
            ),
            ("n".repeat(300) + ".", "."),
        ] {
            for most in [40, 255] {
                let short = String::from_utf8(shorten(name.as_bytes(), most)).unwrap();
                assert!(short.len() <= most && short.len() + 3 >= most, "{short}");
                assert!(short.ends_with(ends), "{short}");
                let (stem, rest) = short.split_once('~').unwrap();
                assert!(name.starts_with(stem), "{short}");
                assert_eq!(rest.len(), 16 + ends.len(), "{short}");
            }
        }
    }

    #[test]
    fn names_that_differ_stay_different() {
        let name = |last: char| "n".repeat(299) + &last.to_string();
        assert_ne!(
            shorten(name('a').as_bytes(), 255),
            shorten(name('b').as_bytes(), 255)
        );
        // Bytes that are no UTF-8 are cut anywhere.
        assert_eq!(shorten(&[0x80; 300], 255).len(), 255);
    }
}
