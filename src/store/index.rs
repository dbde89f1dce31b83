//! The index of a version: names, attributes, places and checksums of all that is
//! in it, as it is written while an archive is unpacked and read ever after.

mod builder;
mod escape;
mod follow;
pub(super) mod format;
pub(super) mod holes;
mod reader;
mod records;
mod restore;
mod shorten;
pub(super) mod walk;

pub(super) use builder::{Builder, TooMuch};
pub use holes::Seek;
pub(super) use reader::{Holes, Location, node_of};
pub use reader::{Index, Node, NodeKind};
pub(super) use records::Records;
pub(super) use restore::restore;
pub(super) use shorten::shorten;
