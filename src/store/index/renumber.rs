//! The numbers of a version's nodes stay when another archive of it is unpacked: the kernel
//! holds them for good. A number leads to the file of the same path, or to none.

use super::{
    builder::TooMuch,
    format::{self, ROOT, Record},
    reader::Index,
    records::{NONE, Records},
};
use crate::store::checksums::Packed;

impl Records {
    /// Gives each node the number that `known`, the index of another archive of the version,
    /// has for its path; one that is not there, or is not the same, a number that `known`
    /// does not use. Returns whether all nodes have had these numbers already.
    ///
    /// # Errors
    /// Where there would be more than `most` numbers, with those that lead to no file.
    pub(in crate::store) fn number_as(
        &mut self,
        known: &Index,
        packed: &Packed,
        most: u32,
    ) -> Result<bool, TooMuch> {
        let (numbers, count) = self.numbers_of(known);
        let dead = Record {
            kind: format::DEAD,
            ..Record::default()
        };
        let mut all = (0..).zip(&numbers);
        let has_numbers = all.all(|(node, number)| [node, NONE].contains(number));
        // A part of it may not be readable any more, and yet it is of the same archive.
        let is_equal = || known.is_damaged() && self.table(packed) == Some(known.header().table);
        if has_numbers || is_equal() {
            // Numbers of files that are gone stay taken.
            let count = self.nodes.len().max(known.len() as usize);
            self.nodes.resize(count, dead);
            return Ok(true);
        }
        if count > most {
            return Err(TooMuch(format!(
                "its archive has been made anew with other files so often that its index has \
                 {count} numbers; {most} are allowed"
            )));
        }
        let new = |node: u32| numbers.get(node as usize).copied().unwrap_or(NONE);
        let nodes = std::mem::replace(&mut self.nodes, vec![dead; count as usize]);
        for (mut record, number) in nodes.into_iter().zip(&numbers) {
            if record.kind == format::DIRECTORY {
                (record.location, record.children) = (0, 0);
            }
            record.parent = new(record.parent);
            if let Some(place) = self.nodes.get_mut(*number as usize) {
                *place = record;
            }
        }
        self.sort_dirents(new);
        let digests = std::mem::take(&mut self.digests);
        self.set_digests(|_, record| {
            let number = record.digest.checked_sub(1)?;
            digests.get(number as usize).copied()
        });
        Ok(false)
    }

    /// The number that each node is to have, [`NONE`] for a dead one, and how many numbers
    /// there are.
    fn numbers_of(&self, known: &Index) -> (Vec<u32>, u32) {
        let mut numbers = vec![NONE; self.nodes.len()];
        let mut taken = vec![false; known.len() as usize];
        numbers[ROOT as usize] = ROOT;
        // A directory comes after the one that it is in.
        let mut directories = vec![(ROOT, Some(ROOT))];
        let mut at = 0;
        while let Some(&(directory, of)) = directories.get(at) {
            at += 1;
            for dirent in self.children(directory) {
                let name = self.name(dirent);
                let found = of.and_then(|of| known.child(of, name));
                let found = found.filter(|found| self.is_same(dirent.node, known, *found));
                let number = &mut numbers[dirent.node as usize];
                // A file can have several names.
                if let Some(found) = found
                    && *number == NONE
                    && !std::mem::replace(&mut taken[found as usize], true)
                {
                    *number = found;
                }
                if self.nodes[dirent.node as usize].kind == format::DIRECTORY {
                    directories.push((dirent.node, found));
                }
            }
        }
        let mut next = known.len();
        for (directory, _) in directories {
            for dirent in self.children(directory) {
                let number = &mut numbers[dirent.node as usize];
                if *number == NONE {
                    *number = next;
                    next += 1;
                }
            }
        }
        (numbers, next)
    }

    /// Whether a node is the one that `known` has under this number.
    fn is_same(&self, node: u32, known: &Index, number: u32) -> bool {
        let record = &self.nodes[node as usize];
        let is_other = |digest: &[u8; 32]| known.digest(number).is_some_and(|it| it != *digest);
        known.is_alike(record, number)
            && match record.kind {
                format::FILE => !self.digest(node).is_some_and(is_other),
                format::SYMLINK => known.target(number) == Some(self.target(record)),
                _ => true,
            }
    }

    /// Sorts the dirents by the new numbers of their directories.
    fn sort_dirents(&mut self, new: impl Fn(u32) -> u32) {
        let mut order: Vec<u32> = (0..self.dirents.len() as u32).collect();
        order.sort_by_key(|at| new(self.dirents[*at as usize].parent));
        let (longs, dirents) = (&self.longs, &self.dirents);
        let long = |(at, before): (u32, &u32)| {
            let found = longs.binary_search_by_key(before, |(before, _, _)| *before);
            let (_, offset, length) = longs[found.ok()?];
            Some((at, offset, length))
        };
        let sorted_longs = (0..).zip(&order).filter_map(long).collect();
        let sorted = order.iter().map(|at| dirents[*at as usize]).collect();
        (self.longs, self.dirents) = (sorted_longs, sorted);
        for (dirent, at) in self.dirents.iter_mut().zip(0..) {
            (dirent.parent, dirent.node) = (new(dirent.parent), new(dirent.node));
            let parent = &mut self.nodes[dirent.parent as usize];
            if parent.children == 0 {
                parent.location = at;
            }
            parent.children += 1;
        }
    }
}
