//! Mounts that a machine makes by itself: by its table of mounts, and by its service
//! manager.

mod services;
mod tables;
