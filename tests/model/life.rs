//! A life: its steps, and its end.

use super::{
    caches::{self, evict, from_shared},
    files::Kept,
    scene::{Mounted, Scene, Seen, Tally, inside},
    versions::attribute,
    wire::Wire,
    world::{LIST_TTL, Truth},
};
use crate::support::{Bench, Who, seeds::Random};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

const STEPS: usize = 80;

/// Steps after which a fault ends, where it has not before.
const FAULTY: usize = 10;

/// Holds some of the versions, never all of them. Where there is a large one, it has room
/// of its own.
const CACHE: u64 = 6 << 20;

/// One of so many seeds that follow one another has a large version; the first of those
/// that are kept has.
const LARGE: u64 = 8;

/// What files that stay open may hold of it: the rest is enough for any version.
const HELD: u64 = 2 << 20;

/// How many look at a time.
const THREADS: u64 = 4;

/// One life.
pub(super) struct Life {
    random: Random,
    scene: Scene,
    /// Closed before their mounts end.
    kept: Vec<Kept>,
    cache: PathBuf,
    /// Bytes that it may hold.
    room: u64,
    /// What mounts with caches of their own have in common, in some lives.
    shared: Option<PathBuf>,
    /// Mounts so far.
    mounts: u32,
}

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (mut truth, mut world) = Truth::new(&mut random);
        let is_large = seed % LARGE == LARGE - 1;
        let more = match is_large {
            true => truth.add_large(&mut random, &mut world),
            false => 0,
        };
        let bench = Bench::new(world);
        let cache = bench.folder("cache", Who::Myself);
        let is_shared = random.one_in(3);
        let shared = is_shared.then(|| bench.folder("shared", Who::Myself));
        let mut life = Self {
            random,
            scene: Scene {
                mounts: Vec::new(),
                bench,
                truth,
                wire: Wire::new(is_large),
                tally: Tally::default(),
                is_crowded: false,
                crowded: None,
                is_damaged: false,
                seen: Seen::default(),
            },
            kept: Vec::new(),
            cache,
            // A tenth of a cache is for answers of the service.
            room: CACHE + more + more / 9,
            shared,
            mounts: 0,
        };
        life.mount();
        if life.random.one_in(3) {
            life.mount();
        }
        life
    }

    fn mount(&mut self) {
        let mounting = self.scene.bench.mount().with([
            "--list-ttl",
            LIST_TTL,
            "--timeout",
            "4s",
            "--cache-size",
            &self.room.to_string(),
            "--cache-dir",
            self.cache.to_str().unwrap(),
        ]);
        let mounting = match &self.shared {
            Some(shared) => {
                mounting.with(["--shared-cache", &format!("file://{}", shared.display())])
            }
            None => mounting,
        };
        let mount = mounting.start();
        self.mounts += 1;
        self.scene.mounts.push(Mounted {
            mount,
            number: self.mounts,
            killed: Mutex::default(),
            workers: AtomicU64::default(),
        });
    }

    /// Lives it to its end; gives what was done.
    pub(super) fn live(mut self) -> Tally {
        self.begin_with_parts();
        let mut faulty = 0;
        for _ in 0..STEPS {
            self.step();
            self.kept_are_well();
            faulty = match self.scene.wire.is_faulty() {
                true => faulty + 1,
                false => 0,
            };
            if faulty > FAULTY {
                self.mend();
            }
        }
        self.mend();
        // All of it, by mounts that know nothing yet.
        self.begin_anew();
        for version in &self.scene.truth.versions {
            let at = self.scene.any(&mut self.random);
            self.scene.walk(&mut self.random, at, version);
        }
        self.end_mounts(false);
        let mut tally = std::mem::take(&mut self.scene.tally);
        *tally.fetched_again.get_mut() = fetched_again(&self.scene.bench);
        *tally.lives_in_parts.get_mut() = u64::from(*tally.in_parts.get_mut() > 0);
        tally
    }

    /// With any seed, the mount fetches the large version whole, the model evicts it,
    /// and a process reads it in parts.
    fn begin_with_parts(&mut self) {
        let Some(large) = self.scene.truth.large() else {
            return;
        };
        let scene = &self.scene;
        let at = scene.any(&mut self.random);
        scene.walk(&mut self.random, at, &large);
        let root = inside(at, &large.folder, b"");
        let is = |state: &str| Ok(attribute(&root, "cached")?.is_some_and(|it| it == state));
        scene.until(at, "the large version is there", || is("yes"));
        // A process that has just closed a file holds its content for a moment.
        scene.until(at, "the large version is evicted", || {
            self.evict();
            is("tree")
        });
        scene.read_ends(at, &large, b"noise-8");
        // Of an archive that can be entered nowhere all would have come.
        scene.until(at, "it is there in part", || is("partly"));
    }

    fn step(&mut self) {
        match self.random.below(48) {
            0..24 => {
                let at = self.scene.any(&mut self.random);
                look(&self.scene, &mut self.random, at);
            }
            24..28 => self.look_together(),
            28..31 => self.keep_or_let_go(),
            31..33 => self.change_run(),
            33..35 => self.grow(),
            35..38 => self.change_the_wire(),
            38 if self.random.one_in(2) => self.damage(),
            38 => {
                let at = self.scene.any(&mut self.random);
                let version = self.scene.version(&mut self.random);
                self.scene.walk(&mut self.random, at, version);
            }
            39..42 => {
                let at = self.scene.any(&mut self.random);
                at.replace_worker(&mut self.random);
            }
            42 if self.random.one_in(2) => self.begin_anew(),
            42 => {}
            _ => self.evict_and_read(),
        }
    }

    /// Many readers at a time.
    fn look_together(&mut self) {
        let seeds: Vec<u64> = (0..THREADS).map(|_| self.random.next()).collect();
        self.scene.is_crowded = true;
        let scene = &self.scene;
        let seed = self.random.one_in(2).then(|| self.random.next());
        let evicts = self.random.one_in(3);
        let cache = &self.cache;
        thread::scope(|scope| {
            if let Some(seed) = seed {
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    thread::sleep(Duration::from_millis(random.below(200)));
                    scene.any(&mut random).replace_worker(&mut random);
                });
            }
            if evicts {
                scope.spawn(|| evict(scene, cache));
            }
            for seed in seeds {
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..8 {
                        let at = scene.any(&mut random);
                        look(scene, &mut random, at);
                    }
                });
            }
        });
        self.scene.is_crowded = false;
        self.scene.crowded = Some(Instant::now());
    }

    fn keep_or_let_go(&mut self) {
        if self.kept.len() > 6 || self.random.one_in(4) && !self.kept.is_empty() {
            let number = self.random.below(self.kept.len() as u64) as usize;
            self.kept.swap_remove(number);
            return;
        }
        let at = self.scene.any(&mut self.random);
        let kept = self.scene.keep(&mut self.random, at);
        self.kept.extend(kept);
        while self.kept.iter().map(|kept| kept.holds).sum::<u64>() > HELD {
            self.kept.remove(0);
        }
    }

    /// What is open is what it was.
    fn kept_are_well(&mut self) {
        let random = &mut self.random;
        self.kept.retain(|kept| kept.is_well(random));
    }

    /// The world has more in it.
    fn grow(&mut self) {
        if self.random.one_in(3) {
            let mut world = self.scene.bench.server.world();
            return self.scene.truth.add_run(&mut self.random, &mut world);
        }
        // A process that has seen the old one is to see the new one.
        self.latest_comes();
        let mut world = self.scene.bench.server.world();
        self.scene.truth.add_version(&mut self.random, &mut world);
        drop(world);
        self.latest_comes();
    }

    fn latest_comes(&self) {
        for at in &self.scene.mounts {
            for storage in &self.scene.truth.storages {
                self.scene.latest_comes(at, storage);
            }
        }
    }

    fn change_run(&mut self) {
        let run = self.random.below(self.scene.truth.runs.len() as u64) as usize;
        self.change_comes(run);
        let truth = &mut self.scene.truth;
        truth.change_run(&mut self.random, &self.scene.bench, run);
        self.change_comes(run);
    }

    fn change_comes(&self, run: usize) {
        for at in &self.scene.mounts {
            self.scene.change_comes(at, &self.scene.truth.runs[run]);
        }
    }

    fn change_the_wire(&mut self) {
        if self.scene.wire.is_faulty() && self.random.one_in(2) {
            return self.mend();
        }
        let version = random_archive(&self.scene, &mut self.random);
        let server = &self.scene.bench.server;
        self.scene.wire.worsen(server, &mut self.random, version);
        let errors = self.scene.wire.errors();
        for kept in &mut self.kept {
            kept.may.extend(&errors);
            kept.may.insert(libc::EIO);
        }
    }

    /// A byte on disk turns over. The version is fetched again; no reader sees it.
    fn damage(&mut self) {
        // The cache has no room for the large version as it was and as it comes again.
        self.kept.retain(|kept| !kept.is_large);
        self.scene.is_damaged |= caches::damage(&self.cache, &mut self.random);
    }

    fn evict(&self) {
        evict(&self.scene, &self.cache);
    }

    fn evict_and_read(&mut self) {
        self.evict();
        for _ in 0..2 + self.random.below(4) {
            let at = self.scene.any(&mut self.random);
            let large = self.scene.truth.large();
            match large.filter(|_| self.random.one_in(2)) {
                Some(large) => self.scene.read_in_parts(&mut self.random, at, &large),
                None => {
                    let version = self.scene.version(&mut self.random);
                    self.scene.read_in_parts(&mut self.random, at, version);
                }
            }
        }
    }

    /// The next mounts have a cache in which nothing is.
    fn take_another_cache(&mut self) {
        // A mount that knows nothing begins where the service answers.
        self.scene.wire.clear(&self.scene.bench.server);
        let name = format!("cache-{}", self.mounts);
        self.cache = self.scene.bench.folder(&name, Who::Myself);
    }

    /// The wire is well, and all is right again soon.
    fn mend(&mut self) {
        self.scene.wire.clear(&self.scene.bench.server);
        for at in &self.scene.mounts {
            self.scene.listing(&mut self.random, at);
            let version = self.scene.version(&mut self.random);
            self.scene.walk(&mut self.random, at, version);
        }
    }

    /// Other mounts over the same cache, after an orderly end or none.
    fn begin_anew(&mut self) {
        let is_killed = self.random.one_in(3);
        let count = self.scene.mounts.len();
        // With a token that is refused nothing can be mounted.
        if self.scene.wire.errors().contains(&libc::EACCES) {
            self.scene.wire.clear(&self.scene.bench.server);
        }
        self.end_mounts(is_killed);
        if self.random.one_in(3) {
            self.damage();
        }
        if let Some(shared) = &self.shared {
            if self.random.one_in(2) {
                caches::spoil(shared, &mut self.random);
            }
            if self.random.one_in(2) {
                self.take_another_cache();
            }
        }
        for _ in 0..count {
            self.mount();
        }
        self.scene.wire.forget_bad();
    }

    fn end_mounts(&mut self, is_killed: bool) {
        self.kept.clear();
        for Mounted { mut mount, .. } in std::mem::take(&mut self.scene.mounts) {
            if is_killed {
                mount.kill();
                continue;
            }
            if self.shared.is_some() {
                *self.scene.tally.shared.get_mut() += from_shared(&mount);
            }
            let log = mount.unmount();
            let replaced = log
                .iter()
                .filter(|line| line.contains("; another serves after "));
            *self.scene.tally.replaced.get_mut() += replaced.count() as u64;
            let wrong = log
                .iter()
                .find(|line| line.contains("panicked") || line.contains("please report"));
            assert_eq!(wrong, None);
        }
    }
}

/// Versions for which there was more than one link.
fn fetched_again(bench: &Bench) -> u64 {
    let mut links: HashMap<String, u64> = HashMap::new();
    for call in bench.api_calls() {
        if call.path.ends_with("/download") {
            *links.entry(call.path + &call.query).or_default() += 1;
        }
    }
    links.values().filter(|count| **count > 1).count() as u64
}

/// A version's id and archive.
fn random_archive(scene: &Scene, random: &mut Random) -> (String, Vec<u8>) {
    let version = scene.version(random);
    let storage = &scene.truth.storages[version.storage];
    let world = scene.bench.server.world();
    let it = world.version(storage.kind, storage.name, &version.id);
    (version.id.clone(), it.unwrap().archive_bytes())
}

/// Looks at something.
fn look(scene: &Scene, random: &mut Random, at: &Mounted) {
    let version = scene.version(random);
    match random.below(20) {
        0..4 => scene.read(random, at, version),
        4 | 5 => scene.read_in_parts(random, at, version),
        6..9 => scene.stat(random, at, version),
        9..11 => scene.absent(random, at, version),
        11..13 => scene.directory(random, at, version),
        13 => scene.link(random, at, version),
        14 => scene.attributes(random, at, version),
        15 | 16 => scene.listing(random, at),
        17 => scene.latest(random, at),
        _ => scene.run(random, at),
    }
}
