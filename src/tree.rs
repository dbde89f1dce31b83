//! The file system as operations on what is known. Nothing in here waits: an
//! operation answers, fails, or says what has to be [fetched](FetchKey) first.
//! [`Tree::fetch`] is the other half: it fetches that, and may take its time.
//!
//! What is known has owners, whose state is private: [`answers`] of the API,
//! [`content`] of versions, [`live`] runs, and [`orders`] to the service. The
//! operations of a [`View`] are in [`ops`], above them.

mod activity;
mod answers;
mod cache;
mod content;
mod crawlers;
mod csv;
mod fetch;
mod fetch_key;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod live;
mod logs;
mod metrics;
mod node;
mod ops;
mod orders;
mod view;

pub use self::{
    activity::Activity,
    content::UnderWay,
    crawlers::Caller,
    fetch_key::{Answer, FetchKey, Miss, Pool},
    node::{Kind, START_FILE},
    ops::{
        attributes::{Access, Attributes, Stat},
        directories::{Directory, DirectoryEntry},
        files::{Handle, Opened},
        lookup::Found,
        xattr::{FETCH_ALL, FETCH_HASHES, LIST_ANEW},
    },
    orders::{WriteRequest, Writing},
    view::{Tree, TreeOptions, View},
};
pub(crate) use self::{node::names::escape as path_component, ops::reopen::LeftFile};
pub use crate::store::{Seek, Usage};

#[cfg(test)]
pub(crate) mod tests;
