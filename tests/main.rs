//! The integration tests: one binary, which mounts through the kernel and
//! talks real HTTP on loopback.
//!
//! They need `/dev/fuse`, and fail where it is missing. As root they also test
//! what an ordinary user meets, as the user `vm0fs-test` that `scripts/test`
//! makes.

#![allow(clippy::unwrap_used)]

mod cache_commands;
mod smoke;
mod support;
