//! What is under way at the very moment when a worker ends.

use super::{
    stepped::{How, Stepped, replace},
    workers,
};
use crate::{
    commands::{Place, kill, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Action, Fault, File, Kind, Run, VersionSpec, World},
        noise,
    },
};
use nix::sys::signal::Signal::{SIGKILL, SIGSEGV};
use std::collections::BTreeSet;

/// Its runs do nothing by themselves.
fn world() -> World {
    let mut world = small_world();
    world.pace = None;
    world
}

/// The prompts of all runs, and how many requests have started them.
fn started(bench: &Bench) -> (Vec<String>, usize) {
    let calls = bench.api_calls();
    let posts = calls.iter().filter(|call| call.method == "POST");
    let runs = bench.server.world().runs.clone();
    (
        runs.into_iter().map(|run| run.prompt).collect(),
        posts.count(),
    )
}

#[test]
fn no_write_is_lost_or_taken_twice() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        for (round, flags) in ["os.O_WRONLY", "os.O_WRONLY | os.O_APPEND"]
            .into_iter()
            .enumerate()
        {
            // It writes for as long as workers are replaced, the longer the more slowly.
            let text = format!(
                "fd = os.open('agents/writer/run', {flags})
say(1)
number = 0
while number < 20000 or not os.path.exists(f'{{D}}/go-1'):
    line = f'{{number}}\\n'.encode()
    assert os.write(fd, line) == len(line)
    number += 1
    if number % 100 == 0:
        time.sleep(0.01 if number < 40000 else 0.2)
os.close(fd)
print(number)"
            );
            let folder = format!("writer{round}");
            let mut writer = Stepped::python(&bench, &place, &folder, &text);
            writer.wait(1);
            for how in [How::Kill(SIGKILL), How::Upgrade, How::Kill(SIGKILL)] {
                replace(&place, how);
                if started(&bench).1 != round {
                    writer.go_on(1);
                    panic!("sent while it wrote, or it ended: {}", writer.printed());
                }
            }
            writer.go_on(1);
            let count: usize = writer.printed().trim().parse().unwrap();
            let lines: String = (0..count).map(|number| format!("{number}\n")).collect();
            let (prompts, posts) = started(&bench);
            assert_eq!((prompts.len(), posts), (round + 1, round + 1));
            let prompt = format!("{}\n", prompts[round]);
            assert!(prompt == lines, "{} of {}", prompt.len(), lines.len());
        }
    }
}

#[test]
fn each_opening_starts_its_own_run() {
    let two = "(go, send), (told, tell) = os.pipe(), os.pipe()
child = os.fork()
path = 'agents/writer/run'
fd = os.open(path, os.O_WRONLY)
other = os.dup(fd)
os.write(fd, b'child ' if child == 0 else b'parent')
if child == 0:
    os.close(fd)
    os.write(tell, b'x')
    os.read(go, 1)
    os.write(other, b' of two')
    os.close(other)
    os._exit(0)
os.read(told, 1)
# One that is started before, and goes on to write after, its parent has ended.
if os.fork() == 0:
    if os.fork() == 0:
        orphan = os.open(path, os.O_WRONLY)
        os.write(orphan, b'orphan')
        pause(2)
        os.close(orphan)
        os._exit(0)
    os._exit(0)
os.wait()
while not os.path.exists(f'{D}/at-2'):
    time.sleep(0.02)
pause(1)
os.write(send, b'x')
os.waitpid(child, 0)
os.close(fd)
os.write(other, b' of two')
os.close(other)";
    for who in Who::all() {
        for how in [How::Kill(SIGKILL), How::Reload] {
            let bench = Bench::new(world());
            let place = Place::mounted(&bench, who, "mnt");
            let mut writers = Stepped::python(&bench, &place, "writers", two);
            writers.wait(1);
            writers.wait(2);
            replace(&place, how);
            assert_eq!(started(&bench).1, 0, "{how:?}: all of them write");
            writers.go_on(1);
            assert_eq!(writers.printed(), "");
            writers.go_on(2);
            until("the last is started", || started(&bench).0.len() >= 3);
            let (prompts, posts) = started(&bench);
            let prompts: BTreeSet<&str> = prompts.iter().map(String::as_str).collect();
            let expected = ["child  of two", "orphan", "parent of two"];
            assert_eq!(prompts, BTreeSet::from(expected), "{how:?}");
            assert_eq!(posts, 3);
        }
    }
}

#[test]
fn a_file_whose_archive_is_arriving_is_read_to_its_end() {
    for who in Who::all() {
        let mut world = World::empty();
        let id = world.add_storage(Kind::Artifact, "slow");
        let large = noise(6 << 20);
        let files = vec![
            File::new("first", large.clone()),
            File::new("last", "the end\n"),
        ];
        world.add_version(&id, VersionSpec::files(files));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        let rate = Action::Rate {
            bytes_per_second: 1 << 20,
        };
        bench.server.fault(Fault::store(rate));
        let text = "fd = os.open('artifacts/slow/latest/first', os.O_RDONLY)
read = os.read(fd, 200000)
say(1)
while piece := os.read(fd, 50000):
    read += piece
sys.stdout.buffer.write(read)";
        let mut reader = Stepped::python(&bench, &place, "reader", text);
        let mut last = Stepped::shell(&bench, &place, "last", "cat artifacts/slow/latest/last");
        reader.wait(1);
        replace(&place, How::Kill(SIGKILL));
        assert!(bench.server.wait_for(SOON, |requests| {
            let bytes = requests.iter().map(|request| request.bytes_sent);
            bytes.sum::<u64>() > 2 << 20
        }));
        replace(&place, How::Kill(SIGSEGV));
        bench.server.clear_faults();
        let read = reader.succeeded();
        assert!(read == large, "{} of {}", read.len(), large.len());
        assert_eq!(last.printed(), "the end\n");
        assert_eq!(workers(&place)["replaced"], 2);
    }
}

#[test]
fn a_file_that_changes_stays_what_it_was_when_it_was_opened() {
    for who in Who::all() {
        let mut world = world();
        let then = world.ago(60);
        let run = world.add_run(Run::new("writer", then).status("running"));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        let text = format!(
            "names = ['status', 'run.json', 'prompt']
held = [os.open(f'runs/{run}/{{name}}', os.O_RDONLY) for name in names]
held.append(os.open('.vm0fs/status.json', os.O_RDONLY))
def look():
    return [os.pread(fd, 100000, 0) for fd in held[:4]], [os.fstat(fd) for fd in held[:3]]
first = look()
pause(1)
again = look()
assert first[0] == again[0], (first, again)
assert [stat.st_ino for stat in first[1]] == [stat.st_ino for stat in again[1]]
pause(2)
assert first[0] == look()[0]
print(first[0][0])
print(open('runs/{run}/status').read())"
        );
        let mut holder = Stepped::python(&bench, &place, "holder", &text);
        holder.wait(1);
        let end = bench.server.world().ago(0);
        bench
            .server
            .world()
            .run_mut(&run)
            .unwrap()
            .finish(end, "completed", None);
        until("it is told", || {
            place.run(&format!("cat runs/{run}/status")) == "completed\n"
        });
        replace(&place, How::Kill(SIGKILL));
        holder.go_on(1);
        holder.wait(2);
        replace(&place, How::Reload);
        holder.go_on(2);
        assert_eq!(holder.printed(), "b'running\\n'\ncompleted\n\n");
    }
}

#[test]
fn requests_of_many_programs_are_all_answered() {
    // Each of them is with a worker that ends, or comes while there is none.
    for who in Who::all() {
        let mut world = World::empty();
        for number in 0..12 {
            let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
            let files = vec![File::new("f", format!("text {number}\n"))];
            world.add_version(&id, VersionSpec::files(files));
        }
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Stall));
        let mut readers: Vec<Stepped> = (0..12)
            .map(|number| {
                let script = format!("cat artifacts/a{number}/latest/f");
                Stepped::shell(&bench, &place, &format!("reader{number}"), &script)
            })
            .collect();
        assert!(bench.server.wait_for(SOON, |requests| {
            let stalled = requests.iter();
            let stalled =
                stalled.filter(|request| request.port == crate::support::fake::Port::Store);
            stalled.count() >= 4
        }));
        let worker = place.worker();
        bench.server.clear_faults();
        kill(worker, SIGKILL);
        for (number, reader) in readers.iter_mut().enumerate() {
            assert_eq!(reader.printed(), format!("text {number}\n"));
        }
        assert_eq!(workers(&place)["replaced"], 1);
    }
}
