//! The integration tests: one binary, which mounts through the kernel and
//! talks real HTTP on loopback.
//!
//! They need `/dev/fuse`, and fail where it is missing. As root they also test
//! what an ordinary user meets, as the user `vm0fs-test` that `scripts/test`
//! makes.

#![allow(clippy::unwrap_used)]

mod budgets;
mod cache;
mod cache_commands;
mod commands;
mod config;
mod crawlers;
mod doctor;
mod endings;
mod faults;
mod hostile;
mod leaks;
mod living;
mod machine;
mod made;
mod makers;
mod mapped;
mod metrics;
mod model;
mod offline;
mod rules;
mod service;
mod smoke;
mod streaming;
mod support;
mod tools;
mod tree;
mod waiting;
mod ways;
