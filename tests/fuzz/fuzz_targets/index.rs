//! The files of a sealed version, through all that reads them.
#![no_main]

use std::sync::OnceLock;
use vm0fs::store::fuzzing::Sealed;

static SEALED: OnceLock<Sealed> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SEALED.get_or_init(Sealed::new).run(data);
});
