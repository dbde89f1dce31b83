//! `vm0fs diff`, held against git and diff over the same folders, and what it fetches.

mod output;
mod reach;

use crate::{
    archives::shell,
    commands::{Said, finish, until},
    support::{Bench, Mount, Who},
};
use std::{fs, path::Path};
use vm0fs::demo::{Kind, VersionSpec, World};

/// Two folders, `old` and `new`: every kind of change that git knows, and hard names.
const MAKE: &str = r#"
mkdir old new
cd old
mkdir -p dir moved deep/er
seq 100 > changed; seq 100 | tr -d '\n' > no-end; printf 'a\rb\nc\r\n' > returns
echo gone > gone; echo same > dir/same; : > emptied
echo once > moved/name; echo twice > dup1; cp dup1 dup2; ln dup1 deep/hard
echo run > run; ln -s dir link; ln -s same dir/leads; echo f > becomes-link; ln -s x becomes-file
mkdir becomes-plain; echo x > becomes-plain/x; echo y > becomes-folder
echo 1 > 'sp ace'; echo 1 > 'quo"te'; echo 1 > $'new\nline\e[31m'; echo 1 > 'ünï'; echo 1 > a.b; mkdir a; echo 1 > a/b
printf 'a\0b' > bin; printf 'text\n' > bin-too; head -c 300000 /dev/urandom > bin-large; : > filled
for i in $(seq 300); do echo "$i" > "deep/$i"; done
cp -a . ../new
cd ../new
sed -i 's/^50$/fifty/; s/^90$/ninety\nand more/; 1d' changed; echo >> no-end; printf 'a\rB\nc\n' > returns
rm gone; : > emptied; echo added > added; : > added-empty
mkdir elsewhere; mv moved/name elsewhere/name; rmdir moved; mv dup1 dup3; rm dup2; mv deep/7 deep/seven
chmod +x run; ln -sfn deep link; rm becomes-link; ln -s dir becomes-link; rm becomes-file; echo f > becomes-file
rm -r becomes-plain; echo plain > becomes-plain; rm becomes-folder; mkdir becomes-folder; echo y2 > becomes-folder/y
for f in 'sp ace' 'quo"te' $'new\nline\e[31m' 'ünï' a.b a/b; do echo 2 >> "$f"; done
printf 'a\0c' > bin; printf 'te\0t\n' > bin-too; head -c 300000 /dev/urandom > bin-large; echo filled > filled
mkdir only-a-folder; mv link renamed-link; chmod +x deep/er 2> /dev/null || true
"#;

/// What git says of the same, as a repository with two commits.
const GIT: &str = r#"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q -b main repo
g() { git -C repo -c user.name=a -c user.email=a@b.c -c core.fileMode=true "$@"; }
for side in old new; do
    find repo -mindepth 1 -maxdepth 1 ! -name .git -exec rm -r {} +
    cp -a $side/. repo; g add -A; g commit -qm $side --allow-empty
done
"#;

/// A bench with an artifact `a` and a volume `a`, whose versions are packed from the
/// folders; gives the ids of the artifact's.
fn packed(folder: &Path) -> (Bench, [String; 2]) {
    let mut world = World::empty();
    let mut ids = Vec::new();
    for kind in [Kind::Volume, Kind::Artifact] {
        let storage = world.add_storage(kind, "a");
        for name in ["old", "new"] {
            let archive = format!("tar -C {name} -cf - --sort=name . | gzip > {name}.tar.gz");
            shell(folder, &archive);
            let archive = fs::read(folder.join(format!("{name}.tar.gz"))).unwrap();
            let spec = VersionSpec::archive(archive).declared_size(60_000_000);
            ids.push(world.add_version(&storage, spec));
        }
    }
    let ids = [ids[2].clone(), ids[3].clone()];
    (Bench::new(world), ids)
}

/// A mount whose cache has the indexes of both versions and no content.
fn evicted(bench: &Bench, who: Who, ids: &[String]) -> Mount {
    let cache = bench.folder("cache", who);
    let cache = cache.to_str().unwrap();
    let mount = bench.mount_as(who).with(["--cache-dir", cache]).start();
    for id in ids {
        mount.run(&format!("ls artifacts/a/{id}/"));
    }
    let run = |arguments: &[&str]| {
        let mut command = bench.command(who);
        finish(command.args(arguments).args(["--cache-dir", cache])).succeeded()
    };
    until("the content is evicted", || {
        run(&["cache", "clear"]);
        run(&["cache", "ls"]).matches(" tree ").count() == ids.len()
    });
    bench.server.clear_requests();
    mount
}

/// Runs `vm0fs diff`.
fn diff(bench: &Bench, who: Who, arguments: &[&str]) -> Said {
    finish(bench.command(who).arg("diff").args(arguments))
}

/// Lines in the order of their bytes.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}
