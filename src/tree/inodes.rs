//! Inode numbers: an object owns the high 32 bits, a node inside it the low 32.
//!
//! An object's number is drawn from a hash of what it is, so that a node keeps
//! its number over a restart (git, rsync and backup programs notice when it
//! does not). The table grows with the objects seen, never with the files in
//! them: FORGET has nothing to free, and no number is ever given twice.

use crate::api::types::StorageKind;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What the API has an id for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    /// The fixed part of the tree.
    Fixed,
    /// A status word, owner of `runs/.by-status/<word>`.
    Status(Arc<str>),
    /// A symlink of ours, by its target.
    Link(Arc<str>),
    /// An agent's id.
    Agent(Arc<str>),
    /// A run's id.
    Run(Arc<str>),
    /// A volume's or artifact's id.
    Storage(StorageKind, Arc<str>),
    /// A version: of which storage, and its own id.
    Version(StorageKind, Arc<str>, Arc<str>),
}

/// Objects get 30 bits: inode numbers stay positive for tools that hold them
/// in a signed 64-bit integer.
const OBJECT_MASK: u32 = 0x3fff_ffff;

/// The two-way table of objects and their numbers.
#[derive(Default)]
pub(crate) struct Inodes(RwLock<Table>);

#[derive(Default)]
struct Table {
    numbers: HashMap<Object, u32>,
    objects: HashMap<u32, Object>,
}

impl Inodes {
    /// The inode number of a node in an object, which becomes known by this.
    pub(crate) fn number(&self, object: &Object, node: u32) -> u64 {
        let high = if *object == Object::Fixed {
            0
        } else {
            self.object_number(object)
        };
        (u64::from(high) << 32) | u64::from(node)
    }

    /// What a number from the kernel stands for, if it was ever given out.
    pub(crate) fn resolve(&self, ino: u64) -> Option<(Object, u32)> {
        let node = (ino & u64::from(u32::MAX)) as u32;
        let high = (ino >> 32) as u32;
        if high == 0 {
            return Some((Object::Fixed, node));
        }
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table
            .objects
            .get(&high)
            .map(|object| (object.clone(), node))
    }

    fn object_number(&self, object: &Object) -> u32 {
        if let Some(&number) = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .numbers
            .get(object)
        {
            return number;
        }
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = table.numbers.get(object) {
            return number;
        }
        let mut number = preferred_number(object);
        while number == 0 || table.objects.contains_key(&number) {
            number = number.wrapping_add(1) & OBJECT_MASK;
        }
        table.numbers.insert(object.clone(), number);
        table.objects.insert(number, object.clone());
        number
    }
}

fn preferred_number(object: &Object) -> u32 {
    let mut hash = Sha256::new();
    // Ids are opaque: lengths keep two of them from running into each other.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match object {
        Object::Fixed => part("fixed"),
        Object::Status(word) => ["status", word].into_iter().for_each(&mut part),
        Object::Link(target) => ["link", target].into_iter().for_each(&mut part),
        Object::Agent(id) => ["agent", id].into_iter().for_each(&mut part),
        Object::Run(id) => ["run", id].into_iter().for_each(&mut part),
        Object::Storage(kind, id) => [kind.plural(), id].into_iter().for_each(&mut part),
        Object::Version(kind, storage, id) => {
            [kind.plural(), storage, id].into_iter().for_each(&mut part);
        }
    }
    let digest = hash.finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) & OBJECT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_distinct_and_resolve_back() {
        let objects: Vec<Object> = (0..50_000)
            .map(|i| Object::Run(format!("run-{i}").into()))
            .chain([
                Object::Agent("a".into()),
                Object::Storage(StorageKind::Volume, "a".into()),
                Object::Storage(StorageKind::Artifact, "a".into()),
                Object::Version(StorageKind::Artifact, "a".into(), "b".into()),
                Object::Status("running".into()),
            ])
            .collect();
        let (first, second) = (Inodes::default(), Inodes::default());
        let mut seen = std::collections::HashSet::new();
        for object in &objects {
            let ino = first.number(object, 7);
            assert!(seen.insert(ino), "{object:?} shares its number");
            assert!(i64::try_from(ino).is_ok());
            assert_eq!(first.number(object, 7), ino);
            assert_eq!(first.resolve(ino), Some((object.clone(), 7)));
            assert_eq!(
                second.number(object, 7),
                ino,
                "the number outlives a restart"
            );
        }
    }

    #[test]
    fn a_number_never_given_resolves_to_nothing() {
        let inodes = Inodes::default();
        assert_eq!(inodes.resolve(5 << 32), None);
        assert_eq!(inodes.resolve(1), Some((Object::Fixed, 1)));
    }
}
