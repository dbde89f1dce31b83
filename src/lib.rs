//! **vm0fs** mounts the VM0 platform as ordinary files. This page is the
//! architecture of record: how a request goes through the house, which room does
//! what, where a fault is to be looked for, and what may import what.
//!
//! # One way through
//!
//! ```text
//! kernel request → fs (fuser in, bytes out; no decisions) → tree (an operation on what is known)
//!      hit  → reply
//!      miss → FetchKey → pending (single flight) → worker: api client or version store → wake → the operation again → reply
//! ```
//!
//! An operation on the [`tree`] never waits. It answers from what is known, or
//! returns the [`tree::FetchKey`] that it misses. [`fs`] then leaves the reply with
//! [`pending`], which runs one fetch for all requests that miss the same thing and
//! runs their operations again when the fetch is done. API calls, downloads and
//! streams have worker pools of their own ([`tree::Pool`]), so a stalled download
//! delays no listing. A reply that waits fails when no byte has arrived for
//! `--timeout` ([`progress`] measures that), not when it has taken long.
//!
//! What a fetch brings, or why it failed, is kept by an owner of the tree together
//! with how long it is good for; the operation finds it there when it runs again.
//! [`tree::Tree::fetch`] is the other half of the operations: it asks the owner that
//! a key belongs to.
//!
//! Before it leaves a reply to wait, [`fs`] asks [`tree::Tree::permit`] whether the
//! calling process may start that fetch: indexers start no downloads, and file
//! managers that count the entries of every folder get no counts
//! (`tree/crawlers`). A hit is never asked for that, and a request that may start a
//! download is asked about once for all parts of the version.
//!
//! # Where to look
//!
//! | what is wrong | where it is decided |
//! |---|---|
//! | a name is missing, doubled, or spelt wrong | `tree/ops/lookup`, `tree/ops/directories`; the path grammar: `tree/node`, `tree/node/names` |
//! | size, time, mode or owner in `stat` | `tree/ops/attributes` |
//! | inode number | `tree/node/inodes`; of a file whose archive was made anew: `store/index/renumber`, `View::keep_numbers` |
//! | the bytes of a file that the mount makes | `tree/ops/render`, then by file: `tree/logs`, `tree/metrics`, `tree/ops/tables`, `tree/ops/meta`, `conversation` |
//! | an extended attribute | `tree/ops/xattr`; the hash of a file: `store/fetch/unpack/hashing`, `store/index` |
//! | where a symlink leads | `tree/ops/links`; inside a version `store/index/{escape,walk}` |
//! | an answer is too old, or asked for too often | its resource below `tree/answers/resources`, `tree/answers`; the rate budget: `tree/answers/service` |
//! | a live log or status lags, repeats or costs too many calls | `tree/live/schedule` (when), `tree/live/{stream,rows,watch}` (how), `tree/logs` (what is shown) |
//! | offline, outage, recovery | [`breaker`], `tree/answers/outage`; answers on disk: `tree/answers`, `store/cache/answers` |
//! | a run is started twice, or not at all | `tree/orders`; when a control file counts as closed: `fs/open_writers` |
//! | which process is refused a download | `tree/crawlers`, `fs/caller` |
//! | `vm0fs run` prints too little, or ends with a wrong code | `cli/run`, `cli/follow`; how it reaches the service: `cli/source`; the order itself: `tree/orders` |
//! | `vm0fs top` shows a process wrongly, or not | counted in `tree/activity`, called from `fs`; told in `tree/ops/activity`; drawn in `cli/top` |
//! | a request hangs, or fails too soon | [`pending`], [`progress`] |
//! | an API call: address, paging, token, retry, an error's text | [`api`]; retries, TLS, proxies, words of failures: [`http`] |
//! | the object store: ranges, resuming, expired links | `store/fetch/download` |
//! | an archive is read wrongly, or refused | `store/fetch/unpack` |
//! | a part of an archive is entered or read wrongly | `store/seek` |
//! | a version while its archive arrives | `store/fetch/partial` |
//! | a download begins anew, or goes on wrongly | `store/fetch/{left,journal}` (what is left), `store/fetch/{skeleton,replay}` (the tar stream of it), `store/seek/checkpoint` |
//! | a part of an evicted version is wrong, slow or fetched too often | `store/fetch/fill` (what, when), `store/cache/{partly,presence}` (on disk) |
//! | content is damaged, or held to be | `store/cache/{content,checked,audit,proof}` |
//! | what a fleet shares: a miss, a slow store, a wrong key | [`shared`]; its settings `config/shared_cache` |
//! | the cache grows too large, or evicts too early | `store/cache/{quota,reservations,entries}` |
//! | `vm0fs cache` lists, counts, checks or clears wrongly | `cli/cache`, in words: `cli/cache/report`; `store/cache/{inventory,audit}` |
//! | `vm0fs prefetch` fetches too little, or does not end | `cli/prefetch` (which versions), `cli/mount_path` (asks the mount), `cli/second` (waits for it) |
//! | a listing or a lookup of a version is slow or wrong | `store/index` |
//! | errno of a failure | [`error::Error::errno`], the only table |
//! | `.vm0fs/errors` lacks a failure, or repeats one | `tree/answers/failure_log` |
//! | `.vm0fs/status.json` has a wrong number | `tree/ops/meta`; each number is counted by the owner that it is of |
//! | `vm0fs status` lacks a mount, or shows it wrongly | `cli/status`; which mounts there are: `cli/mounts`; whether one is alive: `unmount/health` |
//! | `vm0fs doctor` overlooks something, or is wrong | `cli/doctor`: a file each for the machine, the mounts, the service, the shared cache and the cache |
//! | the log file: where it is, what it leaves out, how large it grows | [`logging`] |
//! | caching in the kernel, page cache, readahead, latency | [`fs`]: `page_fill`, `busy_poll`, `readdir`, `replies` |
//! | a handle or an inode number is stale after a worker was replaced | [`handover`], `fs/handles`, `tree/ops/reopen` |
//! | a request is refused because it kills workers | `handover/suspects` |
//! | mounting, signals, the background | [`mount`], [`signals`] |
//! | a worker is not replaced, or for no reason; upgrades | `supervisor/supervise` (decides), `supervisor/link` (the worker's side), `mount/{serve,hung}` |
//! | memory runs out | `mount/memory`, `proc/memory`, [`malloc`] |
//! | unmounting, dead or busy mounts | [`unmount`], [`proc`] |
//! | what two versions differ in: `vm0fs diff` | `cli/diff` |
//! | a line of `/etc/fstab`: an option, whose mount it is, an exit code | `cli/fstab`, `cli/mount_helper` |
//! | a command asks the wrong mount, or the service although a mount knows | `cli/reach`; what a word for a run means: `cli/named`, a path: `cli/run_path` |
//! | a command waits for a mount that does not answer | `cli/walk`; where a path leads: `proc/way` |
//! | a command says no more of a mount's failure than its number | `cli/mount_failure` |
//! | a service: its unit, what its manager is told | `cli/{enable,unit,user_manager}`, [`notify`] |
//! | an option, its default or its source | [`config`]; the command's own: [`cli`] |
//! | sizes, times and tables in words | [`humanize`] |
//! | what a shell completes, or how it quotes it | `cli/complete`; the scripts `cli/completions` |
//! | a package lacks a file, or leaves one behind | `scripts/package`; `package.metadata.deb` in `Cargo.toml`; `scripts/packaging` |
//! | a manual page | `cli/man`: from the arguments in [`cli`]; its own words `cli/man/words` |
//! | the demo shows something wrong | its data: `demo/scenario`; what its agents did: `demo/stories`, read by `demo/story`; its API: `demo/api`; `vm0fs demo`: `cli/demo` |
//!
//! # Rooms
//!
//! [`fs`] translates between fuser and the tree. It decides nothing about files; it
//! holds handles, and what the kernel is told about caching.
//!
//! [`tree`] is the file system without a kernel. Owners with private state hold what
//! is known: `answers` of the API, `content` of versions, `live` runs, `orders` to the
//! service, `crawlers`, and who uses the mount (`activity`). The operations (`tree/ops`)
//! belong to a [`tree::View`], which is the tree as one request sees it: an answer that was
//! asked for after the request arrived is fresh enough for it.
//!
//! A resource of the API is one file below `tree/answers/resources` (its key, how it is
//! fetched, how long it stays fresh, how it is written to disk, what it is called)
//! and its lines in `tree/answers/resources`.
//!
//! A run whose log or status a process reads again and again is *followed*: one
//! stream of its events, however many processes read. When to ask the service is a
//! pure schedule (`tree/live/schedule`), to which time is an argument. The log is one
//! object that grows at its end, and handles read from that. Each addition is recorded in
//! the [`handover`] in the order it arrived (`tree/logs/kept`); reading the log again would
//! give another order.
//!
//! What a process writes to a control file becomes an *order* when the last writer
//! closes it (`tree/orders`). Its fetch is like any other, except that the outcome,
//! good or bad, stands for good: no order is sent twice. Before an order is sent, the worker
//! records it in the [`handover`]. A later worker that finds such a record without an outcome
//! reports that the order may have been sent, and does not send it again.
//!
//! `conversation` reads what an agent's events say, each event by itself, and draws
//! it as the lines of a log, as a transcript and as a page (`conversation/report`).
//!
//! [`store`] has versions on disk, in four rooms: `fetch` downloads and unpacks,
//! `cache` holds sealed versions under one ceiling, `seek` tells how a part of a version
//! is read from its archive, `index` tells what is in a version. A *span* of the archive has
//! no checksum of its own; what is checked are the blocks of 64 KiB of the content that it
//! gives. `store/fuzzing` has the fuzz targets of these rooms.
//! A version can be used while its archive arrives ([`store::PartialVersion`]); a
//! request that does not find its file yet waits on, and only the sealed version
//! says what does not exist. Content cannot be evicted before the requests that
//! waited for it have run ([`store::Hold`]): in a cache too small for what is read, it
//! would be fetched again for each of them. Content of a sealed version can come in
//! parts: a read tells what it misses ([`store::Content::missing`]).
//!
//! [`api`] is the client of the service, one method an endpoint; [`http`] is what it
//! has in common with the downloads. When no server can be reached, or only a
//! gateway answers, the circuit breaker opens: what was last known is shown at once,
//! all else fails at once, and a probe finds out when the service is back. Answers
//! outlive the mount in the store's [`store::AnswerStore`].
//!
//! [`shared`] is the cache of a fleet: what never changes, sealed under a key, in an
//! object store or a folder. It is looked up before the API is, by workers only, and
//! written in the background. It fails no fetch but one: the fetch of hashes alone
//! (`store/fetch/hashes`) fails with a transport error if the store has given no answer for
//! three seconds and the content is not on disk, since to make the hashes would take a
//! download of all content. Answers of ended runs go there (`tree/answers/sharing`). It has
//! a circuit breaker of the same kind as the API's ([`breaker`]), one to read and one to
//! write.
//!
//! [`handover`] is what one worker of a mount leaves to the next: memory of no process, to
//! which a worker writes what it is about to tell the kernel or a process. The
//! owners of inode numbers, handles and the rest write their records to it, and read in
//! it what an earlier worker has left. It also knows what has killed workers, so that
//! no request does so again and again.
//!
//! [`demo`] is a server that plays the API, for `vm0fs demo` and for the tests. It
//! shares no code with what it is to test; its world is data (`demo/scenario`), and so is what
//! the agents of its runs did: stories (`demo/stories`), which `demo/story` plays as rows of a
//! log. The faults that tests have it commit live below `tests/support/fake`, and are not in
//! the program.
//!
//! # Two processes
//!
//! [`supervisor`]: `vm0fs mount` becomes a supervisor, which executes the program anew
//! as a worker. The worker does all of the above. The supervisor holds two things for
//! it: the kernel's device, and the memory of a [`handover`], where a worker writes what
//! the kernel or a process holds of it (inode numbers, open handles, listings that are
//! being read, drafts of orders and what became of orders) before they can know it.
//! `supervision` is what a worker knows of its supervisor and of the workers before it, for
//! `vm0fs status`; `background` has the command return when the mount is ready, or say why it
//! never will be.
//!
//! ```text
//! a worker dies (its socket closes) → FUSE_NOTIFY_RESEND → the next worker: handshake with itself
//!      (fs/handshake), handover::take_over, the device in place of the session's → the kernel's requests again
//! ```
//!
//! A worker counts as hung when requests wait and it takes none, when it does not answer the
//! supervisor (the supervisor checks both), or when one operation makes no progress
//! (`mount/hung`); the supervisor kills it. Work that has killed two workers is refused
//! (`handover/suspects`). An upgrade or a reload starts the next worker first, and lets the
//! one before finish (`mount/serve`). Where the kernel cannot send again, and in the demo,
//! there is one process ([`mount::run`]).
//!
//! # The life of a mount
//!
//! [`cli`] parses and becomes the supervisor, in the background unless it is to stay in
//! the foreground. In the worker, [`config`] settles the settings (arguments,
//! environment, `config.toml`, the `vm0` CLI's login), and [`mount::run_worker`] does the
//! rest: it blocks the [`signals`] before the first thread, prepares the folder, opens
//! client, store, tree and pending requests, asks the API whether it knows the token,
//! and opens the session with the kernel. Only then does the command return. From there
//! on [`logging`] writes to a file.
//!
//! It ends when the session does (a user has unmounted it) or when a signal comes;
//! then [`pending`] drops all requests that wait, which answers them, and [`unmount`]
//! takes the mount away, lazily if it is busy. None of this waits for the network.
//! Another process that unmounts asks a busy mount, by reading an attribute of its
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
//! - Passthrough, by which the kernel reads files of root's cache by itself, is not used.
//!   It was built, and is fast: a first sequential read of 1 GiB takes 0.11 s with it and
//!   0.36 s without, 0.18 s on the disk's own file system. But damage that comes under an
//!   open file is then shown, where it is fetched again now (`tests/cache/damage`). Nor is
//!   what follows put into the page cache ahead of such a read: the pages cost their core
//!   as much there as in the reader.
//!
//! # Who may import whom
//!
//! Downwards only:
//!
//! ```text
//! main → cli → mount → fs → pending → tree → { api, store → shared, conversation } → http → { handover, breaker, supervision, notify, error, proc, progress, threads, sync, jitter, humanize, text, json, malloc, guide }
//!         │      ├──→ { supervisor → { config, logging, unmount, signals, background, supervision, notify }, background }
//!         │      └──→ { config → { api, store, shared }, logging, unmount, signals }
//!         └──→ { supervisor, background, config, logging, unmount, signals, demo }
//! ```
//!
//! Inside of a room, too, no file imports, directly or over others, a file that imports it:
//! what both need is a leaf beside them. A path counts for the file that defines what it
//! names. To declare a child, or to hand on what is in it, is no import, so a child may use
//! what its parent defines if the parent does not use the child (`store/fetch/hashes` uses
//! the fetcher of `store/fetch`, to which it adds a method).
//!
//! `cli` knows `pending` and `tree` for `vm0fs run`, `ls`, `logs`, `cancel` and `diff`, which go
//! the way of a mount without the kernel (`cli/source`), and the commands on a cache without a
//! mount use the [`store`]
//! themselves. `config` knows `api` for the token and its client's settings, `store` for what is
//! done about damaged content, and `shared` for its key. `supervisor` is imported by `main`,
//! which may become one, by `cli` and by `mount`; `supervision` by `supervisor`, `mount` and
//! `tree`; `background` by `supervisor`, `mount` and `cli`. `logging` knows `config` for the
//! environment; `unmount` and `signals` know nothing of the file system. `demo` is imported by
//! `cli` and the tests only.
//!
//! `api` and `store` never meet except in the tree. `fuser` is named in `fs` and `mount`
//! only, `reqwest` in `http`, `api` and `store/fetch/download`, `tar` in
//! `store/fetch/unpack` (and the demo, which makes archives), `flate2` in the demo, `cli/diff`
//! and `shared/seal`, `zlib_rs` in `store/seek`, `object_store` in `shared/bucket`, `ring` in
//! `shared` and `cli/diff`, `pulldown-cmark` in `conversation`, `similar` in `cli/diff`, errno
//! constants in `error`. `tests/rules` reads `src` and holds all of this, and that no file is
//! longer than 500 lines.
//!
//! # Locks
//!
//! All locks are those of [`sync`]. No lock is held across a fetch, a reply or a kernel
//! notification. Each lock guards one map for the length of one lookup or insertion,
//! and none is taken while another is held. The exceptions are a control file's draft,
//! held while it becomes an order; the lists that are merged with what was known of
//! them (`tree/cache`); the ranges of a version that is filled, handed out by what is
//! known of it and has come (`store/fetch/fill`); the newest link of a download (a lock of tokio's,
//! `store/fetch/download/link`), held while the reader asks the service for it; and the
//! cache's accounts (`store/cache/quota`), which several processes share. Their order
//! stands there. The tail of the handover's journal (`handover/journal`) may be taken
//! under any lock, so that records are in the order of what they tell.
//!
//! # Words
//!
//! *Object*: what the API has an id for: an agent, a run, a volume or artifact
//! (together: a *storage*), a version. *Resource*: an endpoint that answers about
//! objects. *Listing*: the answer of one list endpoint. *Node*: one inode of the mount;
//! an object's nodes come in pages of 256, which share all but the low 8 bits of the
//! inode number (`tree/node/inodes`: all are below 2^53, and what else they promise).
//! *Fetch key*: names something that only a fetch can bring. *Single flight*: one fetch
//! for all requests with equal keys. *Sealed*: a version whose whole archive has been
//! read and checked; until then it is *partial*. *Pinned*: a version that a user has
//! told the cache to keep. *Piece*: of a file with holes, a run of bytes that is
//! stored; holes are not. *Seek index*: where a version's archive can be entered, and where
//! in its tar stream each file lies. *Span*: the tar stream from one such point to the
//! next. *Part*: content that is fetched without the rest of its archive. *Presigned URL*: a
//! link to the object store that carries its own permission in the query, hence a secret.

#![cfg_attr(test, allow(clippy::unwrap_used))]

// The tests' fake service names this crate as the integration tests do.
#[cfg(test)]
extern crate self as vm0fs;

pub mod api;
mod background;
mod breaker;
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
pub mod handover;
pub mod http;
pub mod humanize;
mod jitter;
pub mod json;
pub mod logging;
pub mod malloc;
pub mod mount;
pub mod notify;
pub mod pending;
pub mod proc;
pub mod progress;
pub mod shared;
pub mod signals;
pub mod store;
pub mod supervision;
pub mod supervisor;
pub mod sync;
pub mod text;
pub mod threads;
pub mod tree;
pub mod unmount;
