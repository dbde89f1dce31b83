//! Mounts that a machine makes by itself: by its table of mounts, by its service
//! manager, and in containers.

mod containers;
mod services;
mod tables;
