//! Versions on disk.
