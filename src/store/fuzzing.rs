//! Doors for the fuzz targets `unpack` and `index` (`tests/fuzz`) and for the
//! test that runs their seeds. Each takes bytes that somebody has put into an
//! archive or a file of the cache, and panics where what comes of them breaks a
//! promise.

mod archives;
mod key;
mod trees;

pub use archives::Unpacker;
pub use trees::Sealed;
