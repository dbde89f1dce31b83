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

#[test]
fn an_object_whose_nodes_are_numbered_otherwise_gets_other_inode_numbers() {
    let version = Object::Version(VersionId::new(StorageKind::Artifact, "a", "v"));
    let nodes = [2, 3, 300, 2_000_000];
    let of = |inodes: &Inodes| nodes.map(|node| inodes.number(&version, node));
    let inodes = Inodes::fresh();
    let first = of(&inodes);
    assert!(inodes.keep(&version, "one"), "what comes first");
    assert!(inodes.keep(&version, "one"));
    assert_eq!(of(&inodes), first);
    let mut all = vec![first];
    for other in ["two", "three", "one"] {
        assert!(!inodes.keep(&version, other));
        assert!(inodes.keep(&version, other));
        assert_eq!(inodes.nodes_of(&version).as_deref(), Some(other));
        all.push(of(&inodes));
    }
    let distinct: HashSet<u64> = all.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 16);
    let leads_as_it_should = |inodes: &Inodes| {
        let (last, gone) = all.split_last().unwrap();
        for (ino, node) in last.iter().zip(nodes) {
            assert_eq!(inodes.resolve(*ino), Some((version.clone(), node)));
        }
        for ino in gone.iter().flatten() {
            assert_eq!(inodes.resolve(*ino), None);
        }
        assert_eq!(of(inodes), *last);
    };
    leads_as_it_should(&inodes);
    // The next mount has the numbers that were good last.
    let mount = Inodes::new(inodes.save(), fresh());
    assert_eq!(of(&mount), all[3]);
    // And so has the next worker, which knows what they are of.
    let left = inodes.handover.fd().try_clone_to_owned().unwrap();
    drop(inodes);
    let worker = Inodes::new(
        Exceptions::new(),
        Arc::new(Handover::take_over(left).unwrap()),
    );
    leads_as_it_should(&worker);
    assert_eq!(worker.nodes_of(&version).as_deref(), Some("one"));
    assert!(worker.keep(&version, "one") && !worker.keep(&version, "two"));
    assert!(of(&worker).iter().all(|ino| !distinct.contains(ino)));
}
