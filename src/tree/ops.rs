//! The operations on the tree, each for one request.

mod activity;
pub(super) mod attributes;
mod control;
pub(super) mod directories;
pub(super) mod files;
mod freshness;
mod links;
pub(super) mod lookup;
mod meta;
mod render;
pub(crate) mod reopen;
mod tables;
pub(super) mod xattr;
mod yaml;
