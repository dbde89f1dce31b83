//! A version of some 20 MB, most of which no compression makes smaller: its archive comes
//! in several ranges at once, and reads of it are ahead of by many spans.

use super::trees::{Entry, Tree, join, packed};
use crate::support::{noise_of, seeds::Random};
use std::{collections::BTreeMap, sync::Arc};
use vm0fs::demo::VersionSpec;

/// Files of noise, in MB: their sum is more than two of the ranges that one thread fetches.
const NOISE: [u64; 3] = [8, 6, 4];

/// Text, which tells where it is from.
const TEXT: usize = 3_000_000;

const FOLDERS: u64 = 8;
const SMALL_FILES: u64 = 240;
const MIDDLE_FILES: u64 = 6;

type Entries = BTreeMap<Vec<u8>, Entry>;

fn put(entries: &mut Entries, folder: &[u8], name: String, entry: Entry) {
    let Some(Entry::Directory(names)) = entries.get_mut(folder) else {
        panic!("no directory")
    };
    let path = join(folder, name.as_bytes());
    names.push(name.into_bytes());
    entries.insert(path, entry);
}

fn file(content: Vec<u8>) -> Entry {
    Entry::File {
        content: Arc::new(content),
        executable: false,
        names: 1,
    }
}

/// Lines of text, none of them twice.
pub(super) fn text(seed: u64, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 40);
    while text.len() < size {
        text.extend_from_slice(format!("{seed:x} at {:x}\n", text.len()).as_bytes());
    }
    text.truncate(size);
    text
}

/// The tree, and what the service makes of it.
pub(super) fn random(random: &mut Random) -> (Tree, VersionSpec, bool) {
    let mut entries = Entries::from([(Vec::new(), Entry::Directory(Vec::new()))]);
    for number in 0..FOLDERS {
        let folder = Entry::Directory(Vec::new());
        put(&mut entries, b"", format!("folder-{number}"), folder);
    }
    for megabytes in NOISE {
        let size = megabytes * 1_000_000 + random.below(200_000);
        let noise = noise_of(random.next(), size as usize);
        put(&mut entries, b"", format!("noise-{megabytes}"), file(noise));
    }
    let lines = text(random.next(), TEXT);
    put(&mut entries, b"", "text".to_owned(), file(lines));
    for number in 0..SMALL_FILES + MIDDLE_FILES {
        let folder = format!("folder-{}", random.below(FOLDERS));
        let size = match number < SMALL_FILES {
            true => random.below(5_000),
            false => random.below(300_000),
        } as usize;
        let content = match random.one_in(2) {
            true => noise_of(random.next(), size),
            false => text(random.next(), size),
        };
        let name = format!("file-{number}");
        put(&mut entries, folder.as_bytes(), name, file(content));
    }
    packed(random, entries, &Default::default())
}
