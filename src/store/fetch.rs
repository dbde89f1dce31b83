//! From a presigned URL to a sealed version.

pub(super) mod download;
pub(super) mod pack;
pub(super) mod partial;
pub(super) mod staging;
pub(super) mod unpack;
