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
//! The nodes of a version are numbered by its index. Where that has become another one, with
//! other numbers, all inode numbers of the version lead to nothing from then on, and it gets
//! new ones: a name that the kernel knows is never that of another file.
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
    objects: Vec<Numbered>,
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

/// What has inode numbers.
#[derive(Default)]
struct Numbered {
    /// `None` where its numbers lead to nothing any more, or it is not known.
    object: Option<Object>,
    /// Of the object, once a number was drawn for it.
    digest: Option<[u8; 32]>,
    /// What the numbers of its nodes are of ([`crate::store::Version::numbers`]).
    nodes: Option<Arc<str>>,
}

impl Numbered {
    fn of(object: Object) -> Self {
        Self {
            object: Some(object),
            ..Self::default()
        }
    }
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
            objects: vec![Numbered::of(Object::Fixed)],
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
        self.table.write().owner(object, &self.handover)
    }

    /// What the numbers of an object's nodes are of, if that has been noted.
    pub(crate) fn nodes_of(&self, object: &Object) -> Option<Arc<str>> {
        let table = self.table.read();
        let owner = *table.owners.get(object)?;
        table.objects[owner as usize].nodes.clone()
    }

    /// Notes what the numbers of an object's nodes are of. Where they have been of something
    /// else, the inode numbers that the object has had lead to nothing from then on.
    /// Returns whether they are still good.
    pub(crate) fn keep(&self, object: &Object, nodes: &str) -> bool {
        let mut table = self.table.write();
        let record = |kind: u8, owner: u32| Fields::new().byte(kind).number(owner.into());
        let mut owner = table.owner(object, &self.handover);
        let known = table.objects[owner as usize].nodes.as_deref();
        let is_good = known.is_none_or(|known| known == nodes);
        if known == Some(nodes) {
            return true;
        }
        if !is_good {
            table.retire(object);
            self.handover.add(Owner::Inodes, record(RETIRED, owner));
            owner = table.owner(object, &self.handover);
        }
        table.objects[owner as usize].nodes = Some(nodes.into());
        self.handover
            .add(Owner::Inodes, record(NODES, owner).text(nodes));
        is_good
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
        let object = table.objects.get(owner as usize)?.object.clone()?;
        Some((object, (index << PLACE_BITS) | (ino % PLACES) as u32))
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

/// The first byte of a record: an object, a page, a page that is an exception, what the
/// numbers of an object's nodes are of, or that its inode numbers lead to nothing any more.
const OBJECT: u8 = 0;
const PAGE: u8 = 1;
const EXCEPTION: u8 = 2;
const NODES: u8 = 3;
const RETIRED: u8 = 4;

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
            self.objects
                .extend(std::iter::repeat_with(Numbered::default).take(missing));
            self.owners.insert(object.clone(), owner);
            self.objects.push(Numbered::of(object));
            return Some(());
        }
        // Only the fixed part itself has its numbers.
        let numbered = self.objects.get_mut(owner as usize).filter(|_| owner > 0)?;
        if kind == NODES {
            numbered.nodes = Some(record.text()?.into());
            return Some(());
        }
        if kind == RETIRED {
            let object = numbered.object.clone()?;
            return self.retire(&object);
        }
        let page = (owner, record.small()?);
        let number = record.number()?;
        if !(1..1 << self.bits).contains(&number) {
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

    fn owner(&mut self, object: &Object, handover: &Handover) -> u32 {
        let next = self.objects.len() as u32;
        let owner = *self.owners.entry(object.clone()).or_insert(next);
        if owner == next {
            self.objects.push(Numbered::of(object.clone()));
            let record = Fields::new().byte(OBJECT).number(owner.into());
            handover.add(Owner::Inodes, object.write(record));
        }
        owner
    }

    /// Leaves an object without numbers. Those that it has had stay taken.
    fn retire(&mut self, object: &Object) -> Option<()> {
        let owner = self.owners.remove(object)?;
        let numbered = self.objects.get_mut(owner as usize)?;
        // What is at work on it still draws numbers of it.
        numbered.digest.get_or_insert_with(|| digest(object));
        numbered.object = None;
        Some(())
    }

    fn digest(&mut self, owner: u32) -> [u8; 32] {
        let Some(numbered) = self.objects.get_mut(owner as usize) else {
            return [0; 32];
        };
        let object = numbered.object.as_ref();
        let drawn = || object.map_or([0; 32], digest);
        *numbered.digest.get_or_insert_with(drawn)
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
        // Where the object has been numbered anew, its exception may be an earlier number of it.
        let exception = self.exceptions.get(&name).copied();
        let number = match exception.filter(|number| !self.pages.contains_key(number)) {
            Some(number) => {
                kind = EXCEPTION;
                number
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
mod tests;
