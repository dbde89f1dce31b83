//! Versions that are larger than the cache.

use super::{GNU, bench, evicted};
use crate::support::Who;

#[test]
fn several_processes_read_a_version_larger_than_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    evicted(&bench, Who::Myself).unmount();
    let cache = bench.folder("cache", Who::Myself);
    // A third of it.
    let size = ["--cache-size", "10MB"];
    let folders = ["--cache-dir", cache.to_str().unwrap()];
    let mount = bench.mount().with(folders).with(size).start();
    let source = folder.path().join("src");
    let script = "import os, random, sys; random.seed(int(sys.argv[2]))
for name in ('text', 'noise', 'data.db') * 8:
    file = os.open(name, os.O_RDONLY); at = random.randrange(os.fstat(file).st_size)
    got = os.pread(file, 1 << 20, at); os.close(file)
    with open(sys.argv[1] + '/' + name, 'rb') as own:
        own.seek(at); assert own.read(1 << 20) == got, (name, at)";
    let told = mount.run(&format!(
        "cd artifacts/a/latest/; for n in noise data.db text; do cmp $n {0}/$n 2>&1 & done; \
         diff -r small {0}/small 2>&1 & \
         for n in 1 2 3 4; do python3 -c \"{script}\" {0} $n 2>&1 & done; wait",
        source.display()
    ));
    assert_eq!(told, "");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}
