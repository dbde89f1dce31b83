//! Answers of the API, and what the tree makes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vm0fs::tree::fuzzing::answer(data);
});
