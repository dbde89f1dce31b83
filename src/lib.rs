//! **vm0fs** mounts the VM0 platform as ordinary files. This page is the
//! architecture of record.
//!
//! # One way through
//!
//! ```text
//! kernel request → fs (fuser in, bytes out; no decisions) → tree (operation on what is known)
//!      hit  → reply
//!      miss → Want → park(Want, reply) → worker: api client or version store → wake → operation again → reply
//! ```
//!
//! An operation on the [`tree`] never waits. It answers from what is known, or
//! returns the [`tree::Want`] that it misses. [`fs`] then parks the reply with
//! [`park`], which runs one fetch for all who want the same thing and lets
//! every operation run again when the fetch is done.
//!
//! # Who may import whom
//!
//! Downwards only:
//!
//! ```text
//! main → cli → mount → fs → park → tree → { api, store } → { error, progress, text }
//!                                   demo (imported by cli and the tests only)
//! ```
//!
//! Beside that line, for `main`, `cli` and `mount` only: `config` (settings from
//! flags, environment and files; knows `api` for its client's configuration),
//! `logging`, and `unmount` (the kernel's mount table, and leaving it).
//!
//! The commands of `cli` on a cache without a mount use the [`store`] themselves.
//!
//! `api` and `store` never meet except in the tree. `fuser` is named in `fs`
//! and `mount` only, `reqwest` in `api` and `store/download`, `tar` and
//! `flate2` in `store/unpack` (and the demo, which makes archives), errno
//! constants in `error`. A test reads `src/` and holds this.
//!
//! # Locks
//!
//! No lock is held across a fetch, a reply or a kernel notification. Each lock
//! guards one map for the length of one lookup or insertion, and none is taken
//! while another is held.
//!
//! # Words
//!
//! *Object*: what the API has an id for: an agent, a run, a volume or artifact
//! (together: a *storage*), a version. *Node*: one inode of the mount; an
//! object's nodes share the high 32 bits of the inode number. *Listing*: what
//! one list endpoint gave. *Want*: something that only a fetch can bring.
//! *Pinned*: a version that a user has told the cache to keep.
//! *Sealed*: a version whose whole archive has been read and checked.
//! *Presigned URL*: a link to the object store that carries its own permission
//! in the query, hence a secret.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod fs;
pub mod logging;
pub mod mount;
pub mod park;
pub mod progress;
pub mod signals;
pub mod store;
pub mod text;
pub mod tree;
pub mod unmount;
