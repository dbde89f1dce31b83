//! Inode numbers: all below 2^53, so that a program which holds them in a double,
//! as JavaScript does, still tells two files apart.
//!
//! An object's nodes are numbered from 0 in pages of 256. A page has a number of
//! 45 bits, drawn from a hash of the object and of the page's place in it; the low
//! 8 bits of an inode number are the node's place in its page. So a node keeps its
//! number over a restart, in any order in which objects are met (git, rsync and backup
//! programs notice when it does not), and an object with many nodes takes only as
//! many pages as have been looked at. Of 200,000 pages two draw the same number
//! once in 1,700 mounts: then the second to be met gets another, and a table on
//! disk says so from then on, again in any order.
//!
//! The table in memory grows with the pages seen: FORGET has nothing to free, and
//! no number is ever given twice. A page is written down for the next worker before its
//! number is given out: the kernel goes on to use the numbers that it has.

use super::objects::{Object, digest};
use crate::{
    handover::{Fields, Handover, Owner, Reader},
    sync::RwLock,
    text::hex,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The bits of an inode number: integers below 2^53 are exact in a double
/// (IEEE 754; `Number.MAX_SAFE_INTEGER` of ECMA-262).
const BITS: u32 = 53;

/// The bits of a node's place in its page. Runs, agents and storages have fewer
/// nodes than a page has places, so that each takes one.
const PLACE_BITS: u32 = 8;
const PLACES: u64 = 1 << PLACE_BITS;

/// How many objects in a row an earlier worker may have failed to write down.
const MOST_MISSING: usize = 1 << 16;

/// A page of an object: which object, by its position in the table, and which of
/// its pages.
type Page = (u32, u32);

/// The pages that could not have the number that is drawn for them, by what they
/// are ([`name`]), with the numbers that they have instead.
pub(crate) type Exceptions = HashMap<String, u64>;

/// The two-way table of objects' pages and their numbers.
pub(crate) struct Inodes {
    table: RwLock<Table>,
    handover: Arc<Handover>,
}

struct Table {
    owners: HashMap<Object, u32>,
    /// Each with its digest, once a number was drawn for it.
    objects: Vec<(Object, Option<[u8; 32]>)>,
    numbers: HashMap<Page, u64>,
    pages: HashMap<u64, Page>,
    exceptions: Exceptions,
    /// The numbers of exceptions, which nothing else may be given.
    reserved: HashSet<u64>,
    /// Whether there are exceptions that have not been written to disk.
    is_unsaved: bool,
    /// The bits of a page's number.
    bits: u32,
}

/// Which page a node is in, and its place there.
fn split(node: u32) -> (u32, u64) {
    (node >> PLACE_BITS, u64::from(node) % PLACES)
}

impl Inodes {
    /// The table that an earlier worker left, if there was one, with the exceptions
    /// that are known from before.
    pub(crate) fn new(exceptions: Exceptions, handover: Arc<Handover>) -> Self {
        Self::with_bits(exceptions, handover, BITS - PLACE_BITS)
    }

    fn with_bits(exceptions: Exceptions, handover: Arc<Handover>, bits: u32) -> Self {
        let mut reserved = HashSet::new();
        let mut exceptions: Vec<_> = exceptions.into_iter().collect();
        // What cannot be is left out, the same way each time.
        exceptions.sort();
        exceptions
            .retain(|(_, number)| (1..1 << bits).contains(number) && reserved.insert(*number));
        let mut table = Table {
            // The fixed part has page 0: FUSE numbers the root 1.
            owners: HashMap::from([(Object::Fixed, 0)]),
            objects: vec![(Object::Fixed, None)],
            numbers: HashMap::from([((0, 0), 0)]),
            pages: HashMap::from([(0, (0, 0))]),
            exceptions: exceptions.into_iter().collect(),
            reserved,
            is_unsaved: false,
            bits,
        };
        handover.records(Owner::Inodes, |record| {
            // What makes no sense was not written by this program.
            let _ = table.take(record);
        });
        Self {
            table: RwLock::new(table),
            handover,
        }
    }

    /// The inode number of a node in an object, which becomes known by this.
    pub(crate) fn number(&self, object: &Object, node: u32) -> u64 {
        self.in_owner(self.owner(object), node)
    }

    /// An object's position in the table, for [`Inodes::in_owner`].
    pub(crate) fn owner(&self, object: &Object) -> u32 {
        if let Some(&owner) = self.table.read().owners.get(object) {
            return owner;
        }
        let mut table = self.table.write();
        let next = table.objects.len() as u32;
        let owner = *table.owners.entry(object.clone()).or_insert(next);
        if owner == next {
            table.objects.push((object.clone(), None));
            let record = Fields::new().byte(OBJECT).number(owner.into());
            self.handover.add(Owner::Inodes, object.write(record));
        }
        owner
    }

    /// The same as [`Inodes::number`] for an object whose position is known.
    pub(crate) fn in_owner(&self, owner: u32, node: u32) -> u64 {
        let (index, place) = split(node);
        let page = (owner, index);
        let known = self.table.read().numbers.get(&page).copied();
        let number = known.unwrap_or_else(|| self.table.write().number(page, &self.handover));
        (number << PLACE_BITS) | place
    }

    /// The inode number of another node of the object that `ino` is a node of;
    /// `None` for a number that was never given out.
    pub(crate) fn beside(&self, ino: u64, node: u32) -> Option<u64> {
        let &(owner, _) = self.table.read().pages.get(&(ino >> PLACE_BITS))?;
        Some(self.in_owner(owner, node))
    }

    /// The inode numbers of the nodes before and after one in its object; `None`
    /// where it is the first, or was never given a number.
    pub(crate) fn around(&self, ino: u64) -> Option<(u64, u64)> {
        let place = ino % PLACES;
        if (1..PLACES - 1).contains(&place) {
            return Some((ino - 1, ino + 1));
        }
        let &(owner, index) = self.table.read().pages.get(&(ino >> PLACE_BITS))?;
        let node = (index << PLACE_BITS) | place as u32;
        let (before, after) = (node.checked_sub(1)?, node.checked_add(1)?);
        Some((self.in_owner(owner, before), self.in_owner(owner, after)))
    }

    /// What a number from the kernel stands for, if it was ever given out.
    pub(crate) fn resolve(&self, ino: u64) -> Option<(Object, u32)> {
        let table = self.table.read();
        let &(owner, index) = table.pages.get(&(ino >> PLACE_BITS))?;
        let (object, _) = table.objects.get(owner as usize)?;
        Some((
            object.clone(),
            (index << PLACE_BITS) | (ino % PLACES) as u32,
        ))
    }

    /// Whether exceptions have been made since they were last given to be written
    /// to disk.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.table.read().is_unsaved
    }

    /// The exceptions, to be written to disk.
    pub(crate) fn save(&self) -> Exceptions {
        let mut table = self.table.write();
        table.is_unsaved = false;
        table.exceptions.clone()
    }
}

/// The first byte of a record: an object, a page, or a page that is an exception.
const OBJECT: u8 = 0;
const PAGE: u8 = 1;
const EXCEPTION: u8 = 2;

impl Table {
    /// Takes a record of an earlier worker.
    fn take(&mut self, record: &mut Reader<'_>) -> Option<()> {
        let kind = record.byte()?;
        let owner = record.small()?;
        if kind == OBJECT {
            let object = Object::read(record)?;
            // One that could not be written down leaves its place empty.
            let missing = (owner as usize).checked_sub(self.objects.len())?;
            if missing > MOST_MISSING {
                return None;
            }
            let empty = || (Object::Fixed, None);
            self.objects
                .extend(std::iter::repeat_with(empty).take(missing));
            self.owners.insert(object.clone(), owner);
            self.objects.push((object, None));
            return Some(());
        }
        let page = (owner, record.small()?);
        let number = record.number()?;
        // Only the fixed part itself has its numbers.
        let (object, _) = self.objects.get(owner as usize)?;
        if *object == Object::Fixed || !(1..1 << self.bits).contains(&number) {
            return None;
        }
        if kind == EXCEPTION {
            let name = name(&self.digest(owner), page.1);
            self.is_unsaved |= self.exceptions.insert(name, number) != Some(number);
            self.reserved.insert(number);
        }
        self.numbers.insert(page, number);
        self.pages.insert(number, page);
        Some(())
    }

    fn digest(&mut self, owner: u32) -> [u8; 32] {
        let object = self.objects.get_mut(owner as usize);
        object.map_or([0; 32], |(object, known)| {
            *known.get_or_insert_with(|| digest(object))
        })
    }

    /// The number of a page, which is drawn where it has none yet.
    fn number(&mut self, page: Page, handover: &Handover) -> u64 {
        if let Some(&number) = self.numbers.get(&page) {
            return number;
        }
        let (owner, index) = page;
        let digest = self.digest(owner);
        let name = name(&digest, index);
        let mut kind = PAGE;
        let number = match self.exceptions.get(&name) {
            Some(number) => {
                kind = EXCEPTION;
                *number
            }
            None => {
                let drawn = (0_u64..).map(|attempt| draw(&digest, index, attempt, self.bits));
                let mut free = drawn.enumerate().filter(|(_, number)| {
                    !self.pages.contains_key(number) && !self.reserved.contains(number)
                });
                // There is no end of attempts.
                let (attempt, number) = free.next().unwrap_or_default();
                drop(free);
                if attempt > 0 {
                    kind = EXCEPTION;
                    self.exceptions.insert(name, number);
                    self.reserved.insert(number);
                    self.is_unsaved = true;
                }
                number
            }
        };
        self.numbers.insert(page, number);
        self.pages.insert(number, page);
        let record = Fields::new().byte(kind).number(owner.into());
        handover.add(Owner::Inodes, record.number(index.into()).number(number));
        number
    }
}

/// What an exception is written down under.
fn name(digest: &[u8; 32], index: u32) -> String {
    format!("{} {index}", hex(&digest[..16]))
}

/// The number that a page draws at an attempt. 0 is the fixed part's.
fn draw(digest: &[u8; 32], index: u32, attempt: u64, bits: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(index.to_le_bytes());
    hash.update(attempt.to_le_bytes());
    let drawn = hash.finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&drawn[..8]);
    u64::from_le_bytes(number) >> (u64::BITS - bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::StorageKind, tree::node::VersionId};

    fn fresh() -> Arc<Handover> {
        Handover::new().unwrap().into()
    }

    impl Inodes {
        /// An empty table.
        pub(crate) fn fresh() -> Self {
            Self::new(Exceptions::new(), fresh())
        }
    }

    /// So many objects of every kind.
    fn objects(count: usize) -> Vec<Object> {
        let object = |n: usize| match n % 5 {
            0 => Object::Run(format!("run-{n}").into()),
            1 => Object::Version(VersionId::new(StorageKind::Artifact, "a", format!("v{n}"))),
            2 => Object::Link(format!("../../runs/{n}").into()),
            3 => Object::Storage(StorageKind::Volume, format!("s{n}").into()),
            _ => Object::Agent(format!("agent-{n}").into()),
        };
        (0..count).map(object).collect()
    }

    /// Numbers every object, in this order, and nodes of several pages of each.
    fn number(
        inodes: &Inodes,
        objects: &[Object],
        order: impl Iterator<Item = usize>,
    ) -> Vec<[u64; 2]> {
        let mut numbers = vec![[0; 2]; objects.len()];
        for n in order {
            numbers[n] = [7, 2_000_000].map(|node| inodes.number(&objects[n], node));
        }
        numbers
    }

    #[test]
    fn two_hundred_thousand_objects_have_the_same_numbers_in_any_order() {
        let objects = objects(200_000);
        let count = objects.len();
        let (first, second) = (Inodes::fresh(), Inodes::fresh());
        let numbers = number(&first, &objects, 0..count);
        // 77,777 has no factor in common with 200,000.
        let again = number(&second, &objects, (0..count).map(|n| n * 77_777 % count));
        assert!(numbers == again, "the numbers outlive a restart");
        let mut seen = std::collections::HashSet::new();
        for (object, ino) in objects.iter().zip(&numbers) {
            for (ino, node) in ino.iter().zip([7, 2_000_000]) {
                assert!(seen.insert(*ino), "{object:?} shares its number");
                assert!(*ino < 1 << 53, "exact in a double");
                assert_eq!(first.resolve(*ino), Some((object.clone(), node)));
            }
        }
        assert!(!first.is_unsaved(), "none of these shares what it draws");
    }

    #[test]
    fn pages_that_draw_the_same_number_are_told_apart_the_same_way_each_time() {
        let objects = objects(3_000);
        let count = objects.len();
        // So few bits that hundreds draw what another has.
        let first = Inodes::with_bits(Exceptions::new(), fresh(), 14);
        let numbers = number(&first, &objects, 0..count);
        let distinct: HashSet<u64> = numbers.iter().flatten().copied().collect();
        assert_eq!(distinct.len(), 2 * count, "no two share a number");
        assert!(first.is_unsaved());
        let exceptions = first.save();
        assert!(exceptions.len() > 100 && !first.is_unsaved());
        let later = Inodes::with_bits(exceptions, fresh(), 14);
        let again = number(&later, &objects, (0..count).rev());
        assert!(numbers == again, "in any order, once it is written down");
        assert!(!later.is_unsaved(), "nothing new");
    }

    #[test]
    fn impossible_numbers_on_disk_are_left_out() {
        let wrong = [("a 0", 0), ("b 0", 1 << 45), ("c 0", 5), ("d 0", 5)];
        let wrong = wrong.map(|(name, number)| (name.to_owned(), number));
        let kept = Inodes::new(Exceptions::from(wrong), fresh()).save();
        assert_eq!(kept, Exceptions::from([("c 0".to_owned(), 5)]));
    }

    #[test]
    fn a_node_of_the_same_object_is_found_by_an_inode_number_alone() {
        let inodes = Inodes::fresh();
        let object = Object::Version(VersionId::new(StorageKind::Volume, "s", "v"));
        let ino = inodes.number(&object, 255);
        for node in [0, 255, 256, 70_000] {
            assert_eq!(inodes.beside(ino, node), Some(inodes.number(&object, node)));
        }
        assert_eq!(inodes.beside(1 << 40, 0), None);
        for node in [1_u32, 100, 255, 256, 511] {
            let around = [node - 1, node + 1].map(|node| inodes.number(&object, node));
            let ino = inodes.number(&object, node);
            assert_eq!(inodes.around(ino), Some(around.into()), "{node}");
        }
        assert_eq!(inodes.around(inodes.number(&object, 0)), None);
    }

    #[test]
    fn an_inode_number_never_given_resolves_to_no_node() {
        let inodes = Inodes::fresh();
        assert_eq!(inodes.resolve(5 << 32), None);
        assert_eq!(inodes.resolve(1), Some((Object::Fixed, 1)));
    }

    #[test]
    fn a_number_means_the_same_in_the_next_worker() {
        let objects = objects(2_000);
        // So few bits that many draw what another has.
        let first = Inodes::with_bits(Exceptions::new(), fresh(), 14);
        let numbers = number(&first, &objects, 0..objects.len());
        let exceptions = first.table.read().exceptions.clone();
        assert!(exceptions.len() > 50);
        let left = first.handover.fd().try_clone_to_owned().unwrap();
        drop(first);
        let handover = Arc::new(Handover::take_over(left).unwrap());
        let second = Inodes::with_bits(Exceptions::new(), handover, 14);
        for (object, own) in objects.iter().zip(&numbers) {
            for (ino, node) in own.iter().zip([7, 2_000_000]) {
                assert_eq!(second.resolve(*ino), Some((object.clone(), node)));
            }
        }
        assert_eq!(second.save(), exceptions, "to be written to disk");
        let again = number(&second, &objects, (0..objects.len()).rev());
        assert!(numbers == again);
    }
}
