//! The files of versions: their downloads.

pub(super) mod transfers;
