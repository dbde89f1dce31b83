//! The fuzz targets `unpack`, `index` and `seek` (`tests/fuzz`), which the test of their seeds
//! runs too. Each takes the bytes of an archive or of a file of the cache, and panics if
//! the result breaks a promise.

mod archives;
mod key;
mod seeks;
mod trees;

pub use archives::Unpacker;
pub use seeks::Seeks;
pub use trees::Sealed;
