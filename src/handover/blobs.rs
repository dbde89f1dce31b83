//! Bytes that handles hold, kept once for all that hold the same, and freed with the
//! last of them.

use super::{
    extents::{Place, free, read_one, take, write},
    frames::framed,
    memory::{Mapping, Memory},
};
use crate::sync::Mutex;
use std::{collections::HashMap, sync::Arc};

/// What is kept.
#[derive(Default)]
pub(super) struct Blobs(Mutex<Table>);

#[derive(Default)]
struct Table {
    kept: HashMap<Place, Kept>,
    /// The place of bytes, by where they are in this process.
    places: HashMap<usize, Place>,
}

#[derive(Default)]
struct Kept {
    holders: usize,
    /// As long as they are here, no others are at the same address.
    bytes: Option<Arc<[u8]>>,
}

fn address(bytes: &Arc<[u8]>) -> usize {
    bytes.as_ptr() as usize
}

impl Blobs {
    /// The blobs that an earlier worker left, once for each handle that holds one.
    pub(super) fn left(held: impl Iterator<Item = Place>) -> Self {
        let mut table = Table::default();
        for place in held {
            table.kept.entry(place).or_default().holders += 1;
        }
        Self(Mutex::new(table))
    }

    /// Keeps bytes for one more holder; `None` where there is no memory.
    pub(super) fn keep(
        &self,
        memory: &Memory,
        fixed: &Mapping,
        bytes: &Arc<[u8]>,
    ) -> Option<Place> {
        // An empty slice may have the address of anything.
        if bytes.is_empty() {
            return None;
        }
        {
            let mut table = self.0.lock();
            if let Some(&place) = table.places.get(&address(bytes))
                && let Some(kept) = table.kept.get_mut(&place)
                && kept
                    .bytes
                    .as_ref()
                    .is_some_and(|own| own.len() == bytes.len())
            {
                kept.holders += 1;
                return Some(place);
            }
        }
        if memory.is_closed() {
            return None;
        }
        let place = take(fixed, framed(bytes.len()) as u64)?;
        if write(memory, place, 0, bytes).is_none() {
            free(memory, place);
            return None;
        }
        let mut table = self.0.lock();
        table.kept.insert(
            place,
            Kept {
                holders: 1,
                bytes: Some(bytes.clone()),
            },
        );
        table.places.insert(address(bytes), place);
        Some(place)
    }

    /// The bytes that an earlier worker kept; `None` where they are not whole.
    pub(super) fn kept(&self, memory: &Memory, place: Place) -> Option<Arc<[u8]>> {
        let mut table = self.0.lock();
        let kept = table.kept.get_mut(&place)?;
        if kept.bytes.is_none() {
            kept.bytes = Some(read_one(memory, place)?.into());
        }
        let bytes = kept.bytes.clone()?;
        table.places.insert(address(&bytes), place);
        Some(bytes)
    }

    /// Has one holder less.
    pub(super) fn let_go(&self, memory: &Memory, place: Place) {
        let mut table = self.0.lock();
        if let Some(kept) = table.kept.get_mut(&place) {
            kept.holders -= 1;
            if kept.holders > 0 {
                return;
            }
        }
        let kept = table.kept.remove(&place);
        let bytes = kept.and_then(|kept| kept.bytes);
        if let Some(address) = bytes.as_ref().map(address)
            && table.places.get(&address) == Some(&place)
        {
            table.places.remove(&address);
        }
        drop(table);
        free(memory, place);
    }
}
