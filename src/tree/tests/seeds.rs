//! The seeds of the fuzz targets and what fuzzing has found (`tests/fuzz/corpus`)
//! run once each, so that the targets are of today's code.

use crate::{
    api::fuzzing::sse,
    store::fuzzing::{Sealed, Seeks, Unpacker},
    tree::fuzzing::answer,
};
use std::{fs, path::Path};

/// Runs them; gives how many the door says of that they were good.
fn run(target: &str, door: impl Fn(&[u8]) -> bool) -> usize {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let seeds = fs::read_dir(corpus.join(target)).unwrap();
    let ran = seeds.filter(|seed| door(&fs::read(seed.as_ref().unwrap().path()).unwrap()));
    ran.count()
}

#[test]
fn archives_that_are_seeds() {
    let unpacker = Unpacker::new();
    let good = run("unpack", |data| unpacker.run(data));
    assert!(good >= 7, "{good} archives are taken in");
}

#[test]
fn files_of_a_version_that_are_seeds() {
    let sealed = Sealed::new();
    let good = run("index", |data| sealed.run(data));
    assert!(good >= 7, "{good} versions are opened");
}

#[test]
fn seek_indexes_that_are_seeds() {
    let seeks = Seeks::new();
    let good = run("seek", |data| seeks.run(data));
    assert!(good >= 3, "{good} seek indexes are read");
}

#[test]
fn streams_and_answers_that_are_seeds() {
    let good = run("sse", |data| !sse(data).is_empty());
    assert!(good >= 2, "{good} streams have events");
    let good = run("answer", answer);
    assert!(good >= 11, "{good} answers are understood");
}
