//! An agent's events, understood: who said what, which tool was called with what and
//! with which result, how the work ended. [`claude`] and [`codex`] read the events of
//! both programs into the same [`event`]s; [`lines`] draws them for a log,
//! [`transcript`] as Markdown, [`report`] as a page, and [`usage`] adds up their cost.
//!
//! An event is read by itself, without those before it, so its line is the same
//! whether the event came by the stream or in a row, and in any order. The formats are
//! the two programs' public ones (`claude -p --output-format stream-json`, `codex exec
//! --json`). All fields are optional, and an unknown event is shown by its type and the
//! beginning of its JSON.

mod claude;
mod codex;
mod content;
mod event;
mod fields;
pub(crate) mod lines;
mod markdown;
mod media;
mod read;
pub(crate) mod report;
mod tools;
pub(crate) mod transcript;
pub(crate) mod usage;

pub(crate) use event::{Event, Place};

#[cfg(test)]
mod tests;
