//! The rules of `src/lib.rs`, held against the source itself.

mod circles;
mod manifest;
mod paths;
mod places;
mod promises;
mod scripts;
mod size;
mod skips;
mod source;
mod variables;

use source::{Source, sources};

/// Asserts that a crate is named in these places only, and in each of them.
#[track_caller]
fn named_only_in(name: &str, places: &[&str]) {
    let sources = sources();
    for source in &sources {
        let lines = source.naming(name);
        assert!(
            lines.is_empty() || source.is_in(places),
            "src/{} names {name} in lines {lines:?}; only {places:?} may",
            source.path
        );
    }
    for place in places {
        let mut there = sources.iter().filter(|source| source.is_in(&[place]));
        assert!(
            there.any(|source| !source.naming(name).is_empty()),
            "{place} does not name {name} any more: this rule is out of date"
        );
    }
}

/// Asserts that no module but these imports `module`.
#[track_caller]
fn imported_only_by(module: &str, importers: &[&str]) {
    for source in sources() {
        let own = source.module();
        let lines = source.importing(module);
        assert!(
            own == module || lines.is_empty() || importers.contains(&own),
            "src/{} imports {module} in lines {lines:?}; only {importers:?} may",
            source.path
        );
    }
}

#[test]
fn crates_are_named_where_they_belong() {
    named_only_in("fuser", &["fs", "mount"]);
    named_only_in("reqwest", &["http", "api", "store/fetch/download"]);
    named_only_in("hyper_util", &["http/proxy"]);
    named_only_in("rustls", &["http/tls"]);
    named_only_in("tar", &["store/fetch/unpack"]);
    named_only_in("flate2", &["shared/seal", "cli/diff", "demo"]);
    named_only_in("zlib_rs", &["store/seek"]);
    named_only_in("object_store", &["shared/bucket"]);
    named_only_in("ring", &["shared", "cli/diff"]);
    named_only_in("crc32fast", &["store/checksums", "handover/frames"]);
    named_only_in("memmap2", &["handover/memory"]);
    named_only_in("axum", &["demo"]);
    named_only_in("clap", &["cli", "config", "main"]);
    named_only_in("clap_complete", &["cli/complete"]);
    named_only_in("clap_mangen", &["cli/man"]);
    named_only_in("pulldown_cmark", &["conversation"]);
    named_only_in("similar", &["cli/diff"]);
}

#[test]
fn locks_are_those_of_one_module() {
    for source in sources() {
        // The demo's server shares no code with what it is to test.
        let is_apart = source.is_in(&["sync", "demo"]);
        let lines = source.naming("PoisonError");
        assert!(
            is_apart || lines.is_empty(),
            "src/{} names PoisonError in lines {lines:?}: use crate::sync",
            source.path
        );
    }
}

#[test]
fn threads_are_started_in_one_place() {
    for source in sources() {
        let is_apart = source.is_in(&["threads", "demo"]);
        for (number, line) in source.lines() {
            let starts = ["thread::Builder", "thread::spawn(", "scope.spawn("];
            assert!(
                is_apart || !starts.iter().any(|start| line.contains(start)),
                "src/{}:{number} starts a thread: use crate::threads",
                source.path
            );
        }
    }
}

#[test]
fn proc_is_read_in_one_place() {
    for source in sources() {
        let is_apart = source.is_in(&["proc", "demo"]);
        for (number, line) in source.lines() {
            assert!(
                is_apart || !line.contains("\"/proc"),
                "src/{}:{number} reads /proc: use crate::proc",
                source.path
            );
        }
    }
}

#[test]
fn errno_constants_are_in_one_table() {
    for source in sources() {
        for (number, line) in source.lines() {
            let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
            let found = words.any(|word| {
                let constant = word.strip_prefix("libc::E");
                constant.is_some_and(|rest| {
                    rest.bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
                })
            });
            assert!(
                !found || source.path == "error.rs",
                "src/{}:{number} has an errno constant: {line}",
                source.path
            );
        }
    }
}

#[test]
fn imports_go_downwards() {
    imported_only_by("demo", &["cli"]);
    imported_only_by("cli", &["main"]);
    imported_only_by("mount", &["main", "cli"]);
    imported_only_by("fs", &["mount"]);
    // `cli` for `vm0fs run`, which goes the way of a mount without the kernel.
    imported_only_by("pending", &["fs", "mount", "cli"]);
    imported_only_by("tree", &["fs", "pending", "mount", "cli"]);
    // `cli` for the token of the demo's server.
    imported_only_by("api", &["tree", "config", "mount", "cli"]);
    // `cli` for the commands on the cache, `config` for what is asked of the store.
    imported_only_by("store", &["tree", "mount", "cli", "config"]);
    imported_only_by("conversation", &["tree"]);
    // `config` for the key, `cli` for the commands on it.
    imported_only_by("shared", &["store", "tree", "mount", "cli", "config"]);
    imported_only_by("handover", &["fs", "pending", "tree", "mount"]);
    imported_only_by("breaker", &["tree", "shared"]);
    // `cli` to tell which proxy is used.
    imported_only_by("http", &["api", "store", "shared", "cli"]);
    imported_only_by("config", &["main", "cli", "mount", "supervisor", "logging"]);
    imported_only_by("logging", &["main", "cli", "mount", "supervisor"]);
    imported_only_by("unmount", &["main", "cli", "mount", "supervisor"]);
    imported_only_by("supervisor", &["main", "cli", "mount"]);
    imported_only_by("supervision", &["supervisor", "mount", "tree"]);
    imported_only_by("background", &["supervisor", "mount", "cli"]);
}

#[test]
fn files_say_what_they_are_for() {
    for source in sources() {
        let path = &source.path;
        assert!(
            source.code.starts_with("//! "),
            "src/{path} does not open with `//!`"
        );
        assert!(
            !path.ends_with("util.rs") && !path.ends_with("utils.rs"),
            "src/{path}"
        );
    }
}

#[test]
fn libraries_do_not_print() {
    for source in sources() {
        let may_print = source.is_in(&["main", "cli"]);
        for (number, line) in source.lines() {
            let prints = ["println!", "print!(", "eprint!(", "dbg!"]
                .iter()
                .any(|each| line.contains(each));
            assert!(
                !prints || may_print,
                "src/{}:{number} prints: {line}",
                source.path
            );
        }
    }
}

#[test]
fn nothing_listens() {
    for source in sources() {
        for (number, line) in source.lines() {
            let listens = ["UnixListener", "UnixDatagram", "TcpListener"]
                .iter()
                .any(|each| line.contains(each));
            assert!(
                !listens || source.module() == "demo",
                "src/{}:{number} listens: {line}",
                source.path
            );
        }
    }
}

#[test]
fn the_rules_notice_a_breach() {
    let source = Source {
        path: "tree/x.rs".into(),
        code: "use crate::{\n    api::types::{Run, store},\n    error::Error,\n};\nuse fuser::Errno;\n\
               // reqwest::get\nfn f() { vm0_tar::g(); crate::demo::h(); flate2::i() }\n"
            .into(),
    };
    assert_eq!(source.importing("api"), [1]);
    assert_eq!(source.importing("error"), [1]);
    assert_eq!(source.importing("demo"), [7]);
    assert!(source.importing("store").is_empty() && source.importing("types").is_empty());
    assert_eq!(source.naming("fuser"), [5]);
    assert_eq!(source.naming("flate2"), [7]);
    assert!(source.naming("tar").is_empty() && source.naming("reqwest").is_empty());
    assert_eq!(source.module(), "tree");
}
