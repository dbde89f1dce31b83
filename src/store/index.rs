//! The index of a version: names, attributes, places and checksums of all that is
//! in it, as it is written while an archive is unpacked and read ever after.

pub(super) mod builder;
mod escape;
pub(super) mod follow;
pub(super) mod format;
pub(super) mod holes;
pub(super) mod reader;
pub(super) mod records;
pub(super) mod shorten;
