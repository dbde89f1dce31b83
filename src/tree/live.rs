//! Runs that go on: who follows them, and what their streams tell.

pub(super) mod follow;
pub(super) mod reasons;
