//! Mounts that a machine makes by itself: by its table of mounts.

mod tables;
