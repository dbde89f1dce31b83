//! The seek index of a version, through all that reads it.
#![no_main]

use std::sync::OnceLock;
use vm0fs::store::fuzzing::Seeks;

static SEEKS: OnceLock<Seeks> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SEEKS.get_or_init(Seeks::new).run(data);
});
