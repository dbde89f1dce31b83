//! The server that `scripts/bench` and `scripts/fleet` measure against: it serves
//! archives, given as files or generated, as artifacts of the demo's service, and a run
//! that has ended.
//!
//! It prints one line of JSON when it listens. Then each line on standard input
//! is a command, which it answers with a line of JSON: `clear` forgets the requests
//! so far, `stats` counts them, `network LATENCY-MS BYTES-PER-SECOND` sets both for
//! all later answers (0: none). It ends when its input ends.

#[path = "../tests/support/fake/mod.rs"]
mod fake;

use fake::{Action, Fault, File, Kind, LogRow, Port, Run, Server, VersionSpec, World};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead, Write},
    time::Duration,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files in the artifact `million`.
const MILLION: u32 = 1_000_000;
/// Files in one directory of it.
const PER_DIRECTORY: u32 = 1_000;
/// The artifact `huge`: files, and bytes in each of them.
const HUGE_FILES: u32 = 10;
const HUGE_FILE: u64 = 1_000_000_000;
/// Bytes in a block of which those files are made, and how many distinct ones.
const BLOCK: usize = 1_000_000;
const BLOCKS: u32 = 16;
/// Characters of an id in a path.
const ID: usize = 36;
/// Rows in the log of the run, one each second.
const ROWS: i64 = 1_000;

const USAGE: &str = "usage: bench-server MANIFEST.json… [million] [huge]
A manifest: {\"name\", \"archive\": path, \"storage_id\", \"id\", \"size\", \"files\"}";

fn main() -> Outcome<()> {
    let mut world = World::empty();
    let mut artifacts = Vec::new();
    for argument in std::env::args().skip(1) {
        artifacts.push(match argument.as_str() {
            "million" => made(&mut world, "million", million()),
            "huge" => made(&mut world, "huge", huge()),
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            path => given(&mut world, path)?,
        });
    }
    if artifacts.is_empty() {
        return Err(USAGE.into());
    }
    let run = ended_run(&mut world);
    let server = Server::start(world)?;
    say(&json!({
        "url": server.api_url(),
        "token": server.token(),
        "artifacts": artifacts,
        "run": run,
    }))?;
    for line in io::stdin().lock().lines() {
        say(&obey(&server, &line?)?)?;
    }
    Ok(())
}

fn say(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

fn obey(server: &Server, line: &str) -> Outcome<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words[..] {
        ["clear"] => {
            server.clear_requests();
            json!({})
        }
        ["stats"] => {
            let store = server.requests_to(Port::Store, "");
            let calls = server.requests_to(Port::Api, "");
            let mut endpoints = BTreeMap::new();
            for call in &calls {
                *endpoints.entry(endpoint(&call.path)).or_insert(0) += 1;
            }
            json!({
                "api_calls": calls.len(),
                "endpoints": endpoints,
                "downloads": store.len(),
                "bytes": store.iter().map(|request| request.bytes_sent).sum::<u64>(),
            })
        }
        ["network", latency, rate] => {
            server.clear_faults();
            let (latency, rate) = (latency.parse()?, rate.parse()?);
            if latency > 0 {
                let delay = Action::Delay(Duration::from_millis(latency));
                server.fault(Fault::everywhere(delay));
            }
            if rate > 0 {
                server.fault(Fault::store(Action::Rate {
                    bytes_per_second: rate,
                }));
            }
            json!({})
        }
        _ => return Err(format!("not a command: {line}").into()),
    })
}

/// A path without its ids, for which the service's limits count.
fn endpoint(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| if part.len() == ID { ":id" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Adds the artifact of a manifest.
fn given(world: &mut World, path: &str) -> Outcome<Value> {
    let manifest: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let text = |key: &str| {
        let value = manifest[key].as_str();
        value.ok_or_else(|| format!("{path}: no text {key:?}"))
    };
    let number = |key: &str| {
        let value = manifest[key].as_u64();
        value.ok_or_else(|| format!("{path}: no number {key:?}"))
    };
    let archive = std::fs::read(text("archive")?)?;
    let storage = world.add_storage(Kind::Artifact, text("name")?);
    if storage != text("storage_id")? {
        return Err(format!("{path}: the storage's id is {storage} by now; make it anew").into());
    }
    let spec = VersionSpec::archive(archive)
        .id(text("id")?)
        .declared_size(number("size")?)
        .declared_file_count(number("files")?);
    let version = world.add_version(&storage, spec);
    Ok(json!({"name": text("name")?, "storage_id": storage, "id": version}))
}

/// Adds an artifact of generated files.
fn made(world: &mut World, name: &str, files: Vec<File>) -> Value {
    let storage = world.add_storage(Kind::Artifact, name);
    let size: u64 = files.iter().map(File::size).sum();
    let count = files.len();
    let version = world.add_version(&storage, VersionSpec::files(files));
    json!({"name": name, "storage_id": storage, "id": version, "size": size, "files": count})
}

fn million() -> Vec<File> {
    (0..MILLION)
        .map(|n| {
            let path = format!("d{:04}/file-{n:07}.txt", n / PER_DIRECTORY);
            File::new(path, format!("This is file number {n}.\n"))
        })
        .collect()
}

fn huge() -> Vec<File> {
    let blocks: Vec<_> = (0..BLOCKS).map(|n| noise(n).into()).collect();
    (0..HUGE_FILES)
        .map(|n| {
            let order = (0..HUGE_FILE / BLOCK as u64)
                .map(|at| (at as u32).wrapping_mul(7).wrapping_add(n) % BLOCKS)
                .collect();
            File::blocks(format!("data/part-{n}.bin"), blocks.clone(), order, None)
        })
        .collect()
}

/// Adds a run that has ended; gives its id.
fn ended_run(world: &mut World) -> String {
    let start = world.ago(2 * ROWS);
    let mut run = Run::new("fleet", start);
    for n in 0..ROWS {
        let at = start + SignedDuration::from_secs(n);
        let text = format!("Step {n} of {ROWS}: looked at {} records.\n", n * n % 977);
        run.log(LogRow::system(at, text));
    }
    run.completed_at = Some(start + SignedDuration::from_secs(ROWS));
    world.add_run(run)
}

/// A block that compresses to about half its size: random hexadecimal digits.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    (0..BLOCK)
        .map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"0123456789abcdef"[(state >> 32) as usize & 15]
        })
        .collect()
}
