//! A life: its steps, and its end.

use super::{
    files::Kept,
    scene::{Mounted, Scene, Seen, Tally},
    wire::Wire,
    world::{LIST_TTL, Truth},
};
use crate::{
    cache::versions_in,
    support::{Bench, Who, seeds::Random},
};
use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Mutex, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

const STEPS: usize = 80;

/// Steps after which a fault ends, where it has not before.
const FAULTY: usize = 10;

/// Holds some of the versions, never all of them.
const CACHE: &str = "6MiB";

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
    /// Mounts so far.
    mounts: u32,
}

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (truth, world) = Truth::new(&mut random);
        let bench = Bench::new(world);
        let cache = bench.folder("cache", Who::Myself);
        let mut life = Self {
            random,
            scene: Scene {
                mounts: Vec::new(),
                bench,
                truth,
                wire: Wire::default(),
                tally: Tally::default(),
                is_crowded: false,
                crowded: None,
                is_damaged: false,
                seen: Seen::default(),
            },
            kept: Vec::new(),
            cache,
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
            CACHE,
            "--cache-dir",
            self.cache.to_str().unwrap(),
        ]);
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
        tally
    }

    fn step(&mut self) {
        match self.random.below(43) {
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
            38 if self.random.one_in(2) => self.evict(),
            38 => {
                let at = self.scene.any(&mut self.random);
                let version = self.scene.version(&mut self.random);
                self.scene.walk(&mut self.random, at, version);
            }
            39..42 => {
                let at = self.scene.any(&mut self.random);
                at.replace_worker(&mut self.random);
            }
            _ if self.random.one_in(2) => self.begin_anew(),
            _ => {}
        }
    }

    /// Many readers at a time.
    fn look_together(&mut self) {
        let seeds: Vec<u64> = (0..THREADS).map(|_| self.random.next()).collect();
        self.scene.is_crowded = true;
        let scene = &self.scene;
        let seed = self.random.one_in(2).then(|| self.random.next());
        thread::scope(|scope| {
            if let Some(seed) = seed {
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    thread::sleep(Duration::from_millis(random.below(200)));
                    scene.any(&mut random).replace_worker(&mut random);
                });
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
        let mut files = Vec::new();
        for version in versions_in(&self.cache) {
            for entry in fs::read_dir(version).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                let known = ["pack", "tree", "seek", "present"].contains(&&*name);
                if known || name.starts_with("blob-") {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        if files.is_empty() {
            return;
        }
        let path = self.random.pick(&files);
        let place = self.random.next();
        // It may be evicted at any moment.
        let Ok(file) = File::options().read(true).write(true).open(path) else {
            return;
        };
        let length = file.metadata().unwrap().len();
        let mut byte = [0];
        if length > 0 && file.read_at(&mut byte, place % length).unwrap() == 1 {
            file.write_all_at(&[byte[0] ^ 0x10], place % length)
                .unwrap();
            self.scene.is_damaged = true;
        }
    }

    /// All content that no process has open goes: what is read next comes in parts.
    fn evict(&self) {
        let mut command = self.scene.bench.command(Who::Myself);
        command.args(["cache", "clear", "--cache-dir"]);
        let cleared = command.arg(&self.cache).output().unwrap();
        assert!(cleared.status.success(), "{cleared:?}");
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
        0..6 => scene.read(random, at, version),
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
