//! The index of a version: names, attributes, places and checksums of all that is
//! in it, and the SHA-256 of each file, as it is written while an archive is unpacked
//! and read ever after.

mod builder;
mod escape;
mod follow;
pub(super) mod format;
pub(super) mod holes;
mod node;
mod reader;
mod records;
mod renumber;
mod restore;
mod shorten;
pub(super) mod walk;
pub(super) mod wire;

pub(super) use builder::{Builder, TooMuch};
pub use holes::Seek;
pub(super) use node::node_of;
pub use node::{Node, NodeKind};
pub use reader::Index;
pub(super) use reader::{Holes, Location};
pub(super) use records::Records;
pub(super) use restore::restore;
pub(super) use shorten::shorten;
