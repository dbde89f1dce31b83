//! What an agent's events say: who said what, which tool was used on what, what
//! came of it, how it ended. Claude Code's events and Codex's become the same
//! [parts](event::Part) here; [`lines`] draws them for a log, [`transcript`] as Markdown,
//! [`report`] as a page, and [`usage`] adds up what they cost.
//!
//! An event is read by itself, without those before it: so a line is the same
//! whether its event came by the stream or in a row, and in which order. The
//! shapes are those of the two programs' public formats (`claude -p
//! --output-format stream-json`, `codex exec --json`); all fields are optional,
//! and what is not known is shown by its type and a piece of it.

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
