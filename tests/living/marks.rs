//! Requests behind a byte order mark, as PowerShell and editors of Windows write them.

use super::{posts, world};
use crate::support::{Bench, Who, reason};
use std::{fs, io::Write, process::Stdio};

/// A text in UTF-8 and in UTF-16 of both orders, each behind its mark.
fn marked(text: &str) -> [(&'static str, Vec<u8>); 3] {
    let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let marked = format!("\u{feff}{text}");
        marked.encode_utf16().flat_map(unit).collect()
    };
    [
        ("UTF-8", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16, little end first", wide(u16::to_le_bytes)),
        ("UTF-16, big end first", wide(u16::to_be_bytes)),
    ]
}

#[test]
fn a_request_behind_a_byte_order_mark_is_understood() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let file = bench.folder("files", who).join("request");
        let json = "{\"prompt\": \"Füge 🦀 zusammen\", \"secrets\": {\"KEY\": \"hush\"}}\r\n";
        for (text, prompt) in [(json, "Füge 🦀 zusammen"), ("Plain 🦀\r\n", "Plain 🦀")] {
            for (coding, bytes) in marked(text) {
                fs::write(&file, bytes).unwrap();
                mount.run(&format!("cat {} > agents/writer/run", file.display()));
                let world = bench.server.world();
                assert_eq!(world.runs.last().unwrap().prompt, prompt, "{coding}");
            }
        }
        // The command reads as the file does.
        for (coding, bytes) in marked(json) {
            let mut command = bench.command(who);
            let command = command.args(["run", "writer", "-"]).stdin(Stdio::piped());
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(&bytes).unwrap();
            assert!(child.wait().unwrap().success(), "{coding}");
            let world = bench.server.world();
            assert_eq!(
                world.runs.last().unwrap().prompt,
                "Füge 🦀 zusammen",
                "{coding}"
            );
        }
    }
}

#[test]
fn a_broken_json_object_is_neither_sent_nor_logged() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let file = bench.folder("files", Who::Myself).join("request");
    let broken = "{\"prompt\": \"p\", \"secrets\": {\"KEY\": \"hush\"}";
    let mut texts: Vec<Vec<u8>> = marked(broken).into_iter().map(|(_, bytes)| bytes).collect();
    texts.extend([
        broken.into(),
        format!("{broken}}} and more").into_bytes(),
        format!("\u{feff}\u{feff}\u{200b}\u{a0}\n{broken}").into_bytes(),
        // Without a mark these are UTF-8 with characters that nothing shows.
        broken.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        broken.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        format!("{broken}}}")
            .replace("hush", "hush\u{1}")
            .into_bytes(),
    ]);
    // In no coding at all, and cut inside a character.
    texts.push([broken.as_bytes(), b"\xff"].concat());
    texts.push([b"\xff\xfe".as_slice(), broken.as_bytes(), b"x"].concat());
    for bytes in &texts {
        fs::write(&file, bytes).unwrap();
        let script = format!("cat {} > agents/writer/run", file.display());
        mount.fails(&script, reason::INVALID);
        let told = mount.run("getfattr --only-values -n user.vm0.last_error agents/writer/run");
        assert!(told.contains("no run was started"), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
    assert_eq!(posts(&bench), 0);
    let errors = mount.cat(".vm0fs/errors");
    assert!(!errors.contains("hush"), "{errors}");
    let log = mount.unmount().join("\n");
    assert!(!log.contains("hush"), "{log}");
}
