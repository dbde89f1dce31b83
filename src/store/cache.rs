//! Sealed versions on disk: opened, read, checked, counted and evicted.

pub(super) mod answers;
pub(super) mod audit;
pub(super) mod content;
pub(super) mod inventory;
pub(super) mod keepalive;
pub(super) mod proof;
pub(super) mod quota;
pub(super) mod version;
