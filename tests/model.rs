//! The model: a mount as a whole against a plain model of what it must show.
//!
//! A life is made from a seed: a world of storages with versions of random
//! trees, a cache that holds a few of them, one mount or two, which begin anew
//! now and then or are killed, and whose workers are killed beneath them. Some lives have
//! a version whose archive comes in many parts, some a shared cache. Its steps
//! look at all that it shows (names, attributes, content, alone and many at a time,
//! through files that stay open, in parts after an eviction), let the world go on (runs,
//! new versions), and put faults on the wire. After each step what was seen is what the
//! model has; under a fault a deed may fail with the error that is promised for it, and
//! once the fault is over all is right again soon.
//!
//! Which seeds, and for how long: [`Lives`]. The life of runs' logs has a model
//! of its own, in `living`.

mod caches;
mod directories;
mod files;
mod large;
mod life;
mod scene;
mod trees;
mod versions;
mod wire;
mod world;

use crate::support::seeds::Lives;
use life::Life;
use scene::Tally;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// For how long a fault that is over may be felt, and a change not be seen.
const SOON: Duration = Duration::from_secs(20);

const LIVES: Lives = Lives {
    kept: &[
        (
            1_795_822_505_623,
            "a directory that holds hard links only was of 1970",
        ),
        (
            1_795_824_271_558,
            "a file opened while its archive arrived showed damage of the disk later",
        ),
    ],
    usual: 5,
    at_once: 3,
};

#[test]
fn random_lives_of_a_mount_match_the_model() {
    let all = Tally::default();
    LIVES.live(|seed| all.add(&Life::new(seed).live()));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (deeds, failed, silent) = (count(&all.deeds), count(&all.failed), count(&all.silent));
    let in_parts = count(&all.in_parts);
    let (again, replaced) = (count(&all.fetched_again), count(&all.replaced));
    println!(
        "{deeds} deeds, {failed} failed as they may, {} tries waited, {silent} met a silence; \
         {again} versions were fetched again, {replaced} workers replaced; {} evictions, \
         {in_parts} reads in {} lives met content in parts, {} objects came from a shared cache",
        count(&all.waited),
        count(&all.evicted),
        count(&all.lives_in_parts),
        count(&all.shared)
    );
    assert!(silent <= 3 + deeds / 1_000, "{silent} of {deeds}");
    // One in which nothing is evicted and nothing fails shows little.
    let is_one_seed = std::env::var_os("VM0FS_MODEL_SEED").is_some();
    assert!(is_one_seed || failed > 0 && again > 0 && replaced > 0);
    // A life with a large version begins with such reads, and there always is one.
    assert!(is_one_seed || in_parts > 0);
}
