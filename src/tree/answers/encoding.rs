//! Answers as they are written to disk: as the service sent them.

use crate::{api::types::Row, json};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A JSON array of answers.
pub(super) fn array<'a>(raw: impl Iterator<Item = &'a RawValue>) -> Option<Vec<u8>> {
    serde_json::to_vec(&raw.collect::<Vec<_>>()).ok()
}

/// The elements of a JSON array.
pub(super) fn elements(content: &[u8]) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_slice(content).ok()
}

/// One answer.
pub(super) fn one(content: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(content).ok()
}

/// The rows of a JSON array.
pub(super) fn rows<T: DeserializeOwned>(content: &[u8]) -> Option<Vec<Row<T>>> {
    elements(content)?.into_iter().map(parsed).collect()
}

/// One row.
pub(super) fn row<T: DeserializeOwned>(content: &[u8]) -> Option<Row<T>> {
    one(content).and_then(parsed)
}

fn parsed<T: DeserializeOwned>(raw: Box<RawValue>) -> Option<Row<T>> {
    let value = json::parse(raw.get()).ok()?;
    Some(Row { value, raw })
}

/// Bytes of a row in memory: its parsed half is about as large as its text.
pub(super) fn weight<T>(row: &Row<T>) -> usize {
    2 * row.raw.get().len() + 128
}
