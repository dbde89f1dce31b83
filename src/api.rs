//! The service's client.

pub mod types;
