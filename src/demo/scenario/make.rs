//! Generates contents: tables, pictures, vectors, and the pages of a manual.

mod dice;
mod manual;
mod pictures;
mod tables;
mod vectors;

pub(super) use manual::{pages, sections};

use super::data::Words;
use crate::demo::archive::File;
use serde_json::{Value, json};

/// The file at `path` from the generator that `line` names, with its arguments.
///
/// # Panics
/// If there is no such generator. Lines are constants, and tests use them all.
pub(super) fn file(path: String, line: &str, words: &Words) -> File {
    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let number = || arguments.parse().unwrap_or(0);
    match (name, arguments.split_once(' ')) {
        ("prices", _) => File::new(path, tables::prices(number())),
        ("orders", Some((form, rows))) => File::new(
            path,
            tables::orders(rows.parse().unwrap_or(0), form == "raw"),
        ),
        ("texts", _) => File::new(path, tables::texts(number())),
        ("alerts", _) => File::new(path, tables::alerts()),
        ("bars", _) => File::new(path, pictures::bars(&numbers(arguments))),
        ("mark", _) => File::new(path, pictures::mark(number() as u32, AMBER)),
        ("figures", _) => File::new(path, figures(&numbers(arguments), words)),
        ("search-index", _) => File::new(path, pretty(&manual::search_index(number() as usize))),
        ("vectors", _) => vectors::file(path, number()),
        _ => panic!("the demo's {path}: nothing makes {name:?}"),
    }
}

/// The red component of the shop's amber.
const AMBER: u8 = 214;

fn numbers(text: &str) -> Vec<u32> {
    text.split(' ').flat_map(str::parse).collect()
}

/// The figures of a weekly report.
fn figures(index: &[u32], words: &Words) -> String {
    pretty(&json!({"week": words["week"], "index": index, "finding": words["finding"]}))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_known_hashes_of_the_vectors_are_true() {
        for dimensions in [64, 128] {
            let file = vectors::file("vectors.f32".into(), dimensions);
            let mut hasher = Sha256::new();
            file.parts().for_each(|part| hasher.update(part));
            let hash: [u8; 32] = hasher.finalize().into();
            assert_eq!(file.size(), dimensions << 20);
            let hex = crate::demo::digest::hex(&hash);
            assert_eq!(file.sha256(), hash, "{dimensions}: {hex}");
        }
    }
}
