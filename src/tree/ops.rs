//! The operations on the tree, each for one request.

pub(super) mod attributes;
pub(super) mod control;
pub(super) mod crawlers;
pub(super) mod directories;
pub(super) mod files;
pub(super) mod links;
pub(super) mod lookup;
pub(super) mod meta;
pub(super) mod render;
pub(super) mod rows;
pub(super) mod tables;
pub(super) mod xattr;
pub(super) mod yaml;
