//! The seek index: how a part of a version is read from its archive without the rest.
//!
//! A gzip stream can be entered at a *point*: the start of a deflate block, whose place in
//! bits is known together with the 32 KiB of output before it, its *window*. From one
//! point to the next reaches a *span* of the tar stream. *Way-points* tell how much of
//! the archive must be there for how much of the tar stream, so that not all of a span
//! need be fetched; a reader that has ended inside a span can be *paused*, for another to
//! go on from; *extents* tell where the content of files lies in the tar stream.
//!
//! The index is made while an archive is unpacked (`recorder` on the thread that inflates,
//! `proof` on another), and kept beside the version's tree. All of it is derived from the
//! archive: what is damaged is made again, by the next whole fetch. Until that is done, each
//! point goes to the fetch's journal (`checkpoint`).
//!
//! A span has no checksum of its own. What is checked are the blocks of 64 KiB of content that
//! it gives, against the checksums in the version's index (`store/cache/partly`).

mod candidate;
mod checkpoint;
mod contents;
mod deflated;
mod draft;
mod extents;
mod format;
mod member;
mod proof;
mod reader;
mod recorder;
mod resume;
mod span;
pub(super) mod varint;
mod window;

pub(super) use checkpoint::{Checkpoints, Start};
pub(super) use contents::Archive;
pub(super) use draft::Draft;
pub(super) use extents::{Extent, Extents};
pub(super) use member::{Event, MAGIC, Member};
pub(super) use proof::{WAITING, prove_all};
pub(super) use reader::SeekIndex;
pub(super) use recorder::{Recorded, Recorder};
pub(super) use span::{Paused, SpanReader};
