//! The body of a success, read within bounds.

use super::{
    failure::{Failure, broke_off},
    headers::is_marked,
};
use crate::{error::Error, http::Silence, progress::Progress, text::unmarked};
use reqwest::blocking::Response;
use std::io::Read;

/// The largest body read into memory. A page has 100 rows; the largest seen
/// are log pages of some MB. A larger page is asked for again with fewer rows; a
/// larger answer of another kind is an attack or a mistake.
pub(super) const MAX_BODY: usize = 64 << 20;

/// What came of reading a body.
pub(super) enum Within {
    /// It is within the bound.
    Body(Body),
    /// It is larger; by how many bytes it says that it has, where it does.
    Larger(Option<u64>),
}

/// A body, and whether its headers say that it is v1's.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) is_marked: bool,
}

/// Reads the whole body, if it is within the bound.
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
                // JSON has no byte order mark; a reader may let one pass
                // (RFC 8259, 8.1).
                let mark = bytes.len() - unmarked(&bytes).len();
                bytes.drain(..mark);
                return Ok(Within::Body(Body { bytes, is_marked }));
            }
            Ok(read) => {
                progress.advance(read as u64);
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
    Error::BadAnswer {
        what: label.to_owned(),
        detail: format!("more than {} MiB in one answer", MAX_BODY >> 20),
    }
}
