//! **vm0fs** mounts the VM0 platform as ordinary files. This page is the
//! architecture of record.
//!
//! # One way through
//!
//! ```text
//! kernel request → fs (fuser in, bytes out; no decisions) → tree (operation on what is known)
//!      hit  → reply
//!      miss → FetchKey → pending(FetchKey, reply) → worker: api client or version store → wake → operation again → reply
//! ```
//!
//! An operation on the [`tree`] never waits. It answers from what is known, or
//! returns the [`tree::FetchKey`] that it misses. [`fs`] then leaves the reply with
//! [`pending`], which runs one fetch for all requests that miss the same thing and
//! runs their operations again when the fetch is done. Calls and downloads have
//! workers of their own, so a stalled download delays no listing. A reply that
//! waits is released with a failure when nothing has arrived for `--timeout`
//! ([`progress`] measures that), not when it has taken long.
//!
//! A run whose log or status is looked at again and again is *followed*: one stream
//! of its events, in a pool of workers of its own, however many look (`tree/live/follow`).
//! Its log is one object that grows at its end; handles read from that. What an
//! agent's events say is read by `conversation`, each event by itself, and drawn
//! by it as a log's lines, as a transcript and as a page.
//!
//! What is written to a control file becomes an *order* when its last writer
//! closes it (`tree/ops/control`). An order is a want like any other, except that what
//! came of it, good or bad, stands for good: nothing is sent twice.
//!
//! A version can be used while its archive arrives: the store publishes what
//! has passed ([`store::PartialVersion`]), and the fetch lets those who wait look again
//! whenever there is more. What they cannot find yet they go on waiting for;
//! only the sealed version says what does not exist.
//!
//! Before it leaves a reply there, [`fs`] asks [`tree::Tree::permit`] whether this process may
//! have the want brought: indexers start no downloads, and file managers that
//! count what is in every folder get no counts (`tree/ops/crawlers`). A hit is never
//! asked for that.
//!
//! What came, or why nothing did, is kept by the tree with how long it is good
//! for; the operation finds it there. [`tree::Tree::fetch`] is the one place
//! that decides on lifetimes, [`error::Error::errno`] the one that decides what
//! number a failure becomes. When no server can be reached at all, what was last
//! known is shown at once and the rest fails at once (`tree/answers/breaker`); answers
//! outlive the mount on the store's [`store::Shelf`]. The same goes for a service of
//! which only the gateway answers, once a probe has shown that it is down.
//!
//! Content that was fetched cannot be evicted before those who waited for it have
//! run ([`store::Hold`]): in a cache too small for what is read, it would be
//! fetched again and again for one of them.
//!
//! # The life of a mount
//!
//! [`cli`] parses, [`config`] settles the settings (flags, environment,
//! `config.toml`, the `vm0` CLI's login), [`mount::run`] does the rest: it
//! forks unless it is to stay in the foreground, blocks the [`signals`] before
//! the first thread, prepares the folder, opens client, store, tree and pending
//! requests, asks the API whether it knows the token, and opens the session with
//! the kernel. Only then does the command return. From there on [`logging`] writes
//! to a file.
//!
//! It ends when the session does (a user has unmounted it) or when a signal comes;
//! then [`pending`] drops all requests that wait, which answers them, and [`unmount`]
//! takes the mount away, lazily if it is busy. None of this waits for the network.
//! Another process that unmounts asks a busy mount, by setting an attribute of its
//! root, to fail the requests to which nothing comes
//! ([`pending::PendingRequests::let_go`]): they would keep it in use. [`unmount`] reads
//! the kernel's mount table and looks for the process that serves a mount ([`proc`],
//! which alone reads `/proc`) rather than touch one that may be dead or hang. Where
//! `mount`, `doctor` and `status` must ask, a second process does (`unmount/health`),
//! since a process that waits for a FUSE mount may not be able to end.
//!
//! # Where this differs from what was planned
//!
//! - Permissions are decided here (no `default_permissions`): so every change but
//!   to control files is EROFS to all users, which the kernel would answer with
//!   EACCES to ordinary users. All there is to decide is who may use a control
//!   file: the user who mounted, and root. `cancel` is 0600, not 0200, and empty, so
//!   that `cp -a` and `grep -r` of a run meet no error.
//! - FLUSH does not say whether it is the last one: `{ a; b; } > run` closes the
//!   file several times. So the process table is asked (`fs/open_writers`), and what
//!   no FLUSH has ended, RELEASE does.
//! - A symlink cannot have `user.*` attributes on Linux: the targets of those
//!   that lead out are `user.vm0.symlinks` of their directory.
//! - A symlink of ours is its own target ([`tree`]'s `Node::Link`, `Latest`): the
//!   kernel caches targets by inode, so a new target must be a new inode.
//! - What can still change is opened with direct I/O, so that an opening shows its own
//!   bytes to the end; but by io_uring Linux 6.18 reads such a file's first bytes
//!   again and again. So what a process that has a ring opens goes through the page
//!   cache, which each such open fills anew (`fs/caller`); all others go on reading
//!   that file directly, also once it is final, since a handle from before may
//!   still fill the cache with its own bytes.
//! - `runs/<id>/agent` leads to the agent's `agent.json`, and not to its folder, which
//!   leads to the run: no links of the mount make a cycle.
//! - Every page of a folder comes with attributes, which are cheap here. The kernel's own
//!   guess of whether they are wanted fails in large folders, which programs read to
//!   the end first.
//! - The index of a version is read, in chunks with checksums, instead of mapped:
//!   a program that cuts or changes a mapped file could end this process, or
//!   change what has been checked.
//! - Small files are put into the page cache with their first open, or with the
//!   open of the one before (`fs/page_fill`); opens stay ordinary ones. There are
//!   half as many session threads as cores: on two cores a second one made small
//!   files a quarter slower. Where there is one, it does not sleep between
//!   requests that follow one another closely, and where it may it keeps the
//!   other core from sleeping (`fs/busy_poll`): to wake a core costs more than an
//!   answer.
//!   Passthrough, which root can have, is not used: what the kernel reads by
//!   itself is held against no checksum. It would pay: a first sequential read of
//!   1 GiB takes 0.11 s with it and 0.36 s without, 0.18 s on the disk's own file
//!   system. Nor is what follows put into the page cache ahead of such a read:
//!   the pages cost their core as much there as in the reader.
//!
//! # Who may import whom
//!
//! Downwards only:
//!
//! ```text
//! main → cli → mount → fs → pending → tree → { api, store, conversation } → http → { error, proc, progress, sync, humanize, text, json, malloc, guide }
//!         │      └──→ { config → api, unmount, signals }
//!         └──→ { config, logging, unmount, signals, demo }
//! ```
//!
//! `cli` knows `pending` and `tree` for `vm0fs run`, which goes the way of a mount
//! without the kernel.
//!
//! `config` knows `api` for the token and its client's settings, `logging`
//! knows `config` for the environment; `unmount` and `signals` know nothing of
//! the file system. `demo`, the server that plays the API, is imported by `cli`
//! and the tests only, and shares no code with what it is to test.
//!
//! The commands of `cli` on a cache without a mount use the [`store`] themselves.
//!
//! `api` and `store` never meet except in the tree. Both use [`http`]: its
//! clients with one TLS configuration, its rules for proxies and plain HTTP, its retries
//! and its words for failures; `cli` asks it for the proxy that is used. `fuser` is named in `fs`
//! and `mount` only, `reqwest` in `http`, `api` and `store/fetch/download`, `tar` and
//! `flate2` in `store/fetch/unpack` (and the demo, which makes archives), `pulldown-cmark`
//! in `conversation`, errno constants in `error`. A test reads `src/` and holds this.
//!
//! # Locks
//!
//! All locks are those of [`sync`]. No lock is held across a fetch, a reply or a kernel
//! notification. Each lock
//! guards one map for the length of one lookup or insertion, and none is taken
//! while another is held. The exceptions are a control file's draft, held while it
//! becomes an order, and the cache's accounts (`store/cache/quota`),
//! which several processes share; their order stands there.
//!
//! # Words
//!
//! *Object*: what the API has an id for: an agent, a run, a volume or artifact
//! (together: a *storage*), a version. *Node*: one inode of the mount; an
//! object's nodes come in pages of 256, which share all but the low 8 bits of the
//! inode number (`tree/node/inodes`: all are below 2^53, and what else they promise).
//! *Listing*: what
//! one list endpoint gave. *Want*: something that only a fetch can bring.
//! *Pinned*: a version that a user has told the cache to keep.
//! *Piece*: of a file with holes, a run of bytes that is stored; holes are not.
//! *Sealed*: a version whose whole archive has been read and checked.
//! *Presigned URL*: a link to the object store that carries its own permission
//! in the query, hence a secret.

#![cfg_attr(test, allow(clippy::unwrap_used))]

// The tests' fake service names this crate as the integration tests do.
#[cfg(test)]
extern crate self as vm0fs;

pub mod api;
pub mod cli;
pub mod config;
mod conversation;
pub mod demo;
pub mod error;
#[cfg(test)]
#[path = "../tests/support/fake/mod.rs"]
mod fake;
pub mod fs;
pub mod guide;
pub mod http;
pub mod humanize;
pub mod json;
pub mod logging;
pub mod malloc;
pub mod mount;
pub mod pending;
pub mod proc;
pub mod progress;
pub mod signals;
pub mod store;
pub mod sync;
pub mod text;
pub mod tree;
pub mod unmount;
