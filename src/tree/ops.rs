//! The operations on the tree, each for one request.

mod attributes;
mod control;
pub(super) mod directories;
mod files;
pub(super) mod freshness;
pub(super) mod handle;
mod links;
pub(super) mod lookup;
mod meta;
mod render;
pub(super) mod stat;
mod status;
mod tables;
mod xattr;
mod yaml;
