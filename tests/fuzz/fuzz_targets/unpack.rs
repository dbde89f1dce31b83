//! Archives, through the store's unpacker.
#![no_main]

use std::sync::OnceLock;
use vm0fs::store::fuzzing::Unpacker;

static UNPACKER: OnceLock<Unpacker> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    UNPACKER.get_or_init(Unpacker::new).run(data);
});
