//! What it prints.

use super::*;
use crate::commands::{script, shell as shell_as};
use serde_json::Value;

#[test]
fn names_are_those_of_git_and_cost_no_byte_of_content() {
    for who in Who::all() {
        let folder = tempfile::tempdir().unwrap();
        shell(folder.path(), MAKE);
        shell(folder.path(), GIT);
        let (bench, [old, new]) = packed(folder.path());
        let mount = evicted(&bench, who, &[old.clone(), new.clone()]);
        let path = mount.join("artifacts/a");
        let path = path.to_str().unwrap();
        let told = diff(&bench, who, &[path, &old, "latest", "--name-status"]);
        assert_eq!(told.code, Some(1), "{told:?}");
        let git = "git -C repo diff --name-status -M100% HEAD~1 HEAD";
        let expected = shell(folder.path(), git);
        assert_eq!(sorted(&told.out), sorted(&expected));
        assert!(told.out.lines().count() > 25, "{told:?}");
        for form in ["--stat", "--json"] {
            assert_eq!(diff(&bench, who, &[path, &old, &new, form]).code, Some(1));
        }
        assert_eq!(bench.downloads().len(), 0, "content was fetched");
        // diff(1) knows the same files.
        let listed = diff(
            &bench,
            who,
            &[path, &old[..8], &new, "dir", "--name-status"],
        );
        assert_eq!((listed.code, &*listed.out), (Some(0), ""));
        let same = "diff -r --no-dereference old/dir new/dir";
        assert_eq!(shell(folder.path(), same), "");
    }
}

#[test]
fn a_patch_makes_the_new_version_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell(folder, MAKE);
    shell(folder, GIT);
    let (bench, [old, new]) = packed(folder);
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a");
    let path = path.to_str().unwrap();
    let patch = |name: &str, words: &str| {
        let told = finish(&mut script(
            Who::Myself,
            &format!(
                "{} diff {path} {old} {new} {words} > {}",
                crate::support::program().display(),
                folder.join(name).display()
            ),
        ));
        assert_eq!(told.code, Some(1), "{told:?}");
        told.err
    };
    // Git knows no empty folders.
    shell(folder, "find old new -type d -empty -delete");
    assert_eq!(patch("whole", "--binary"), "");
    // Backwards, git makes files of symlinks that it adds, by its own patches too.
    shell(
        folder,
        "cp -a old made && cd made && git apply --whitespace=nowarn ../whole && cd .. &&
         find made -type d -empty -delete && diff -r --no-dereference made new &&
         test -x made/run &&
         cd made && git apply -R --whitespace=nowarn ../whole && cd .. &&
         find made -type d -empty -delete &&
         diff -r --no-dereference -x link -x becomes-file made old",
    );
    let said = patch("patch", "");
    let words = "files that this patch cannot make: 3 (binary or very large; --binary";
    assert!(said.contains(words), "{said}");
    shell(
        folder,
        "rm -r made && cp -a old made && cd made &&
         git apply --exclude='bin*' --whitespace=nowarn ../patch && cd .. &&
         find made -type d -empty -delete && diff -r --no-dereference -x 'bin*' made new",
    );
    // patch(1) changes no file to a folder, makes no name with a control character, and
    // leaves what is binary as it is.
    shell(
        folder,
        "rm -r made && cp -a old made && cd made && { patch -sfp1 -i ../patch || true; } &&
         rm -f *.rej && cd .. && find made -type d -empty -delete &&
         diff -r --no-dereference -x 'bin*' -x 'becomes-*' -x $'new\\nline*' made new",
    );
    let patch = String::from_utf8_lossy(&fs::read(folder.join("patch")).unwrap()).into_owned();
    for line in [
        "Binary files a/bin and b/bin differ",
        "Binary files a/bin-large and b/bin-large differ",
        "Binary files a/bin-too and b/bin-too differ",
        "old mode 100644\nnew mode 100755",
        "similarity index 100%\nrename from moved/name\nrename to elsewhere/name",
        "\\ No newline at end of file",
        "--- a/sp ace\t",
        "+++ \"b/new\\nline\\033[31m\"",
    ] {
        assert!(patch.contains(line), "{line} is not in {patch}");
    }
    // Line for line what git prints, but for its own hashes and the text behind `@@`.
    let plain = "git -C repo diff -M100% HEAD~1 HEAD -- changed no-end run link becomes-link \
                 filled emptied 'sp ace' 'ünï' added-empty \
                 | sed -E '/^index /d; s/^(@@ .* @@).*/\\1/'";
    let expected = shell(folder, plain);
    for part in expected.split("diff --git ").skip(1) {
        let part = format!("diff --git {part}");
        assert!(patch.contains(&part), "{part} is not in {patch}");
    }
}

#[test]
fn only_what_is_shown_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    // Large files that differ are said, and not read.
    let make = "mkdir old new; seq 3000000 > old/large; seq 3000001 > new/large;
        head -c 9000000 /dev/urandom > old/noise; cp old/noise new/moved;
        echo 1 > old/small; echo 2 > new/small";
    shell(folder.path(), make);
    let (bench, [old, new]) = packed(folder.path());
    let mount = evicted(&bench, Who::Myself, &[old.clone(), new.clone()]);
    let path = mount.join("artifacts/a");
    let path = path.to_str().unwrap();
    let told = diff(&bench, Who::Myself, &[path, &old, &new, "large"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let large = "Files a/large and b/large differ\n(22 MiB and 22 MiB: more than 16 MiB or";
    assert!(told.out.contains(large), "{told:?}");
    assert!(told.err.contains("cannot make: 1 (binary or"), "{told:?}");
    assert_eq!(bench.downloads().len(), 0);
    let told = diff(&bench, Who::Myself, &[path, &old, &new]);
    assert!(told.out.contains("-1\n+2\n"), "{told:?}");
    assert!(told.out.contains("rename from noise\nrename to moved\n"));
    let sent: u64 = bench.downloads().iter().map(|each| each.bytes_sent).sum();
    assert!(sent < 3 << 20, "{sent} bytes for two small files");
}

#[test]
fn json_tells_sizes_hashes_and_names_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let make = r"mkdir old new; cd new; echo 1 > $'\xff'; ln -s target link; printf abc > ../old/b;
        mkdir sub; mv ../old/b sub/b; echo old > ../old/m; echo newer > m; chmod +x m
        printf abc > ../old/b";
    shell(folder.path(), make);
    let (bench, [old, new]) = packed(folder.path());
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a");
    let told = diff(
        &bench,
        Who::Myself,
        &[path.to_str().unwrap(), &old, &new, "--json"],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["storage"], "artifacts/a");
    assert_eq!((&told["old"], &told["new"]), (&old.into(), &new.into()));
    let changes = told["changes"].as_array().unwrap();
    let of = |path: &str| {
        let found = changes.iter().find(|change| change["path"] == path);
        found.unwrap_or_else(|| panic!("{path} is not in {told}"))
    };
    assert_eq!(changes.len(), 4);
    assert_eq!(of("\u{fffd}")["path_hex"], "ff");
    assert_eq!(of("link")["new"]["target"], "target");
    assert_eq!(of("link")["new"]["type"], "symlink");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(
        (&of("sub/b")["from"], &of("sub/b")["old"]["sha256"]),
        (&"b".into(), &abc.into())
    );
    assert_eq!(of("m")["status"], "M");
    assert_eq!(
        (&of("m")["old"]["size"], &of("m")["new"]["size"]),
        (&4.into(), &6.into())
    );
    assert_eq!(of("m")["new"]["mode"], "100755");
}

#[test]
fn a_terminal_gets_colour_and_no_escapes_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let make = r"mkdir old new; printf 'one\n' > old/f; printf 'two\e[2J\n' > new/f
        printf x > new/$'\e[2Jname'";
    shell(folder.path(), make);
    let (bench, [old, new]) = packed(folder.path());
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a");
    let command = format!(
        "{} diff {} {old} {new}",
        crate::support::program().display(),
        path.display()
    );
    let on_terminal = |before: &str| {
        let typescript = format!("{before} script -qec '{command}' /dev/null < /dev/null || true");
        shell_as(Who::Myself, &typescript)
    };
    let coloured = on_terminal("");
    assert!(coloured.contains("\x1b[31m-one\x1b[m"), "{coloured:?}");
    assert!(
        coloured.contains("\x1b[32m+two\\e[2J\x1b[m"),
        "{coloured:?}"
    );
    assert!(!coloured.contains("\x1b[2J"), "{coloured:?}");
    let plain = on_terminal("NO_COLOR=1");
    assert!(!plain.contains('\x1b'), "{plain:?}");
    // Into a file, bytes are as they are.
    let piped = diff(&bench, Who::Myself, &[path.to_str().unwrap(), &old, &new]);
    assert!(piped.out.contains("\n+two\x1b[2J\n"), "{piped:?}");
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    shell(
        folder.path(),
        "mkdir old new; seq 200000 > new/f; for i in $(seq 2000); do echo $i > new/n$i; done",
    );
    let (bench, [old, new]) = packed(folder.path());
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a");
    for form in ["", "--stat", "--name-status", "--json"] {
        let text = format!(
            "{} diff {} {old} {new} {form} | head -1; echo ${{PIPESTATUS[0]}}",
            crate::support::program().display(),
            path.display()
        );
        let told = finish(&mut script(Who::Myself, &text));
        assert_eq!(told.err, "", "{form}");
        assert!(told.out.ends_with("\n1\n"), "{told:?}");
    }
}
