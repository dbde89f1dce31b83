//! Files that the mount makes are mapped as others are: what still changes is opened
//! with direct I/O, which by default cannot be mapped shared.

use crate::support::{Bench, SOON};
use vm0fs::demo::{Run, World};

#[test]
#[allow(unsafe_code)]
fn a_file_that_still_changes_can_be_mapped_shared() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.pace = None;
    let run = world.add_run(Run::new("writer", then).status("running"));
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "1s"]).start();
    for expected in ["running\n", "pending\n"] {
        bench.server.world().run_mut(&run).unwrap().status = expected.trim_end().into();
        let path = mount.join(&format!("runs/{run}/status"));
        let end = std::time::Instant::now() + SOON;
        loop {
            let file = std::fs::File::open(&path).unwrap();
            // SAFETY: the mount's own files are never truncated under a reader.
            let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
            if &*map == expected.as_bytes() {
                break;
            }
            assert!(std::time::Instant::now() < end, "{expected}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
