//! A run's stream of events, in any pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(vm0fs::api::fuzzing::sse(data)));
