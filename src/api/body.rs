//! The body of a success, read within bounds.

use super::{
    failure::{Failure, broke_off},
    headers::is_marked,
};
use crate::{
    error::{Error, no_memory},
    http::{Silence, bad_answer},
    malloc,
    progress::Progress,
    text::unmarked,
};
use reqwest::blocking::Response;
use std::io::Read;

/// Maximum bytes of a body in memory. The largest pages seen, of 100 log rows, have
/// some MB. The client asks for a larger page again with fewer rows; another answer
/// of that size is an attack or a mistake.
pub(super) const MAX_BODY: usize = 64 << 20;

/// A body, or that it is too large.
pub(super) enum Within {
    /// At most [`MAX_BODY`] bytes.
    Body(Body),
    /// More. Holds the length that the answer declares, if it does.
    Larger(Option<u64>),
}

/// A body, and whether the answer's headers name the API v1.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) is_marked: bool,
}

/// Reads a body of at most [`MAX_BODY`] bytes.
pub(super) fn read(
    mut response: Response,
    label: &str,
    silence: Silence,
    progress: &Progress,
) -> Result<Within, Failure> {
    let declared = response.content_length();
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Ok(Within::Larger(declared));
    }
    let is_marked = is_marked(response.headers());
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match response.read(&mut chunk) {
            Ok(0) => {
                // JSON has no byte order mark, but a reader may ignore one (RFC
                // 8259, 8.1).
                let mark = bytes.len() - unmarked(&bytes).len();
                bytes.drain(..mark);
                return Ok(Within::Body(Body { bytes, is_marked }));
            }
            Ok(read) => {
                progress.advance(read as u64);
                if malloc::ran_out_here() {
                    return Err(broke_off(label, &no_memory(), silence));
                }
                if bytes.len() + read > MAX_BODY {
                    return Ok(Within::Larger(declared));
                }
                bytes.extend_from_slice(&chunk[..read]);
            }
            Err(error) => {
                return Err(broke_off(label, &error, silence));
            }
        }
    }
}
/// The error for a body over [`MAX_BODY`].
pub(super) fn too_large(label: &str) -> Error {
    bad_answer(
        label,
        format!("more than {} MiB in one answer", MAX_BODY >> 20),
    )
}
