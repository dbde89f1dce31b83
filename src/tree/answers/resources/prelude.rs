//! What the files of resources name.

pub(super) use crate::{
    api::types::{self, Row},
    tree::{
        answers::{
            listing::Listing,
            resource::{Ask, Bounds, LISTINGS, Outcome, Resource, Value, array, rows},
        },
        cache::FOR_EVER,
        node::{Node, StorageId},
    },
};
pub(super) use std::{
    sync::Arc,
    time::{Duration, Instant},
};
