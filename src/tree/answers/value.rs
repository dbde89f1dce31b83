//! What an answer can be: one row, some rows, or a listing of named objects; and how
//! it is written to disk, as the service sent it.

use super::listing::{Listing, Named};
use crate::{api::types::Row, json};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Instant;

/// An answer.
pub(crate) trait Value: Sized {
    /// Bytes in memory, roughly.
    fn weight(&self) -> usize;
    /// The answer as it is written to disk.
    fn encode(&self) -> Option<Vec<u8>>;
    /// The answer that was written to disk; it counts as asked for at `asked`.
    fn decode(content: &[u8], asked: Instant) -> Option<Self>;
}

impl<T: DeserializeOwned> Value for Row<T> {
    fn weight(&self) -> usize {
        // The parsed half is about as large as the text.
        2 * self.raw.get().len() + 128
    }

    fn encode(&self) -> Option<Vec<u8>> {
        Some(self.raw.get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        parsed(serde_json::from_slice(content).ok()?)
    }
}

impl Value for Vec<Box<RawValue>> {
    fn weight(&self) -> usize {
        self.iter().map(|row| row.get().len()).sum()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.iter().map(AsRef::as_ref))
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        serde_json::from_slice(content).ok()
    }
}

impl<T: Named + DeserializeOwned> Value for Listing<T> {
    fn weight(&self) -> usize {
        // As that of rows; names and maps come on top.
        self.raw().map(|raw| 2 * raw.get().len() + 256).sum()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.raw())
    }

    fn decode(content: &[u8], asked: Instant) -> Option<Self> {
        Some(Self::new(rows(content)?, asked))
    }
}

/// A JSON array of rows as they were sent.
pub(super) fn array<'a>(raw: impl Iterator<Item = &'a RawValue>) -> Option<Vec<u8>> {
    serde_json::to_vec(&raw.collect::<Vec<_>>()).ok()
}

/// The rows of a JSON array.
pub(super) fn rows<T: DeserializeOwned>(content: &[u8]) -> Option<Vec<Row<T>>> {
    let raw: Vec<Box<RawValue>> = serde_json::from_slice(content).ok()?;
    raw.into_iter().map(parsed).collect()
}

fn parsed<T: DeserializeOwned>(raw: Box<RawValue>) -> Option<Row<T>> {
    let value = json::parse(raw.get()).ok()?;
    Some(Row { value, raw })
}
