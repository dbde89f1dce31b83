//! A run's metrics as a table and as a chart.

use crate::support::{Bench, Mount, Who};
use serde_json::Value;
use vm0fs::demo::{Agent, Run, Sample, World};

/// A name that would be markup, and has what XML forbids.
const HOSTILE: &str = "<script>alert('1')</script> & \u{1b}[31m\u{0}\"]]>\u{ffff}";

fn sample(world: &World, ago: i64, number: u64) -> Sample {
    Sample {
        at: world.ago(ago),
        cpu_percent: 0.5 + (number % 90) as f64,
        memory_used_mb: 300 + number % 700,
        memory_total_mb: 4_096,
        disk_used_mb: 1_000 + number,
        disk_total_mb: 20_480,
    }
}

/// Runs of `agent`: ended with so many samples each, and then one that is
/// going on and has none.
fn world<const N: usize>(agent: &str, samples: [u64; N]) -> (World, [String; N], String) {
    let mut world = World::empty();
    world.add_agent(Agent::new(agent, world.ago(200_000)));
    let ended = samples.map(|count| {
        let mut run = Run::new(agent, world.ago(100_000)).status("completed");
        run.completed_at = Some(world.ago(5_000));
        run.metrics = (0..count)
            .map(|number| sample(&world, 99_000 - 5 * number as i64, number))
            .collect();
        world.add_run(run)
    });
    let running = Run::new(agent, world.ago(1_000)).status("running");
    let running = world.add_run(running);
    (world, ended, running)
}

/// The texts of a chart, as an XML parser of its own finds them.
fn texts(mount: &Mount, path: &str) -> Vec<String> {
    let parse = "import sys, json, xml.dom.minidom as x; d = x.parse(sys.argv[1]); \
        assert not d.getElementsByTagName('script'); r = d.documentElement; \
        assert r.tagName == 'svg' and r.getAttribute('viewBox'), r; \
        t = [t for n in ('title', 'desc', 'text') for t in d.getElementsByTagName(n)]; \
        print(json.dumps([t.firstChild.data.strip() for t in t]))";
    serde_json::from_str(&mount.run(&format!("python3 -c \"{parse}\" {path}"))).unwrap()
}

#[test]
fn the_table_has_what_the_json_has() {
    for who in Who::all() {
        let (world, [day, one, none], _) = world("writer", [17_280, 1, 0]);
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        for (run, count) in [(day, 17_280), (one, 1), (none, 0)] {
            let json: Value =
                serde_json::from_str(&mount.cat(&format!("runs/{run}/metrics.json"))).unwrap();
            let table = mount.cat(&format!("runs/{run}/metrics.csv"));
            assert!(table.ends_with('\n') && !table.contains('\r'));
            let mut lines = table.lines();
            let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
            assert_eq!(columns.len(), 6, "{columns:?}");
            let data = json["data"].as_array().unwrap();
            assert_eq!((data.len(), lines.clone().count()), (count, count));
            for (line, row) in lines.zip(data) {
                for (column, cell) in columns.iter().zip(line.split(',')) {
                    let value = &row[column];
                    let text = value.as_str().map_or(value.to_string(), str::to_owned);
                    assert_eq!(cell, text, "{column} of {row}");
                }
            }
        }
    }
}

#[test]
fn charts_are_svg_that_says_what_it_shows() {
    for who in Who::all() {
        let (world, [day, one, none], running) = world("writer", [17_280, 1, 0]);
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let says = |run: &str, text: &str| {
            let texts = texts(&mount, &format!("runs/{run}/metrics.svg"));
            let full = format!("Run {run} of agent writer: ");
            assert!(texts[0].starts_with(&full), "{texts:?}");
            assert!(texts.iter().any(|each| each.contains(text)), "{texts:?}");
        };
        says(&day, &format!("writer · {} · completed", &day[..8]));
        says(&day, "17280 samples");
        says(&day, "average 45 % · max 90 %");
        says(&one, "1 sample");
        says(&none, "No metrics were recorded for this run");
        says(&running, &format!("writer · {} · running", &running[..8]));
        says(&running, "No metrics yet");
        for run in [&day, &one, &none, &running] {
            let sizes = mount.run(&format!(
                "cd runs/{run} && stat -c %s metrics.* && wc -c < metrics.csv && cat metrics.svg | wc -c"
            ));
            let sizes: Vec<usize> = sizes
                .lines()
                .map(|size| size.trim().parse().unwrap())
                .collect();
            assert_eq!((sizes[0], sizes[2]), (sizes[3], sizes[4]));
            assert!(sizes[2] < 200_000, "{sizes:?}");
        }
    }
}

#[test]
fn markup_in_names_and_words_of_a_chart_stays_text() {
    let (mut world, [run], _) = world(HOSTILE, [3]);
    world.run_mut(&run).unwrap().status = "</text><script>".into();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let path = format!("runs/{run}/metrics.svg");
    let texts = texts(&mount, &path);
    let title = format!(
        "<script>alert('1')</script> & [31m \"]]>\u{fffd} · {} · </text><script>",
        &run[..8]
    );
    assert!(texts.contains(&title), "{texts:?}");
    assert!(!mount.cat(&path).contains("<script"));
}

#[test]
fn the_three_metrics_files_share_one_cached_answer() {
    let (world, [run], _) = world("writer", [30]);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run(&format!("ls runs runs/{run}"));
    bench.server.clear_requests();
    mount.cat(&format!("runs/{run}/metrics.svg"));
    let calls = bench.api_calls();
    let metrics = calls.iter().filter(|call| call.line().contains("/metrics"));
    assert_eq!(metrics.count(), 1);
    bench.server.clear_requests();
    let all =
        format!("cd runs/{run} && stat metrics.* && cat metrics.json metrics.csv metrics.svg");
    mount.run(&all);
    let first = mount.cat(&format!("runs/{run}/metrics.svg"));
    bench.expect_calls(0, "all three are made of the one answer");
    mount.unmount();
    let mount = bench.mount().start();
    mount.run(&format!("ls runs runs/{run}"));
    bench.server.clear_requests();
    mount.run(&all);
    assert_eq!(mount.cat(&format!("runs/{run}/metrics.svg")), first);
    bench.expect_calls(0, "a run that has ended does not change");
}

#[test]
fn the_table_of_a_live_run_grows_and_its_title_follows() {
    let (world, _, running) = world("writer", []);
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    let table = || mount.cat(&format!("runs/{running}/metrics.csv"));
    let chart = || texts(&mount, &format!("runs/{running}/metrics.svg"));
    let add = |ago, number| {
        let mut world = bench.server.world();
        let sample = sample(&world, ago, number);
        world.run_mut(&running).unwrap().metrics.push(sample);
    };
    add(900, 1);
    let first = table();
    assert_eq!(first.lines().count(), 2);
    add(895, 2);
    bench.server.world().set_status(&running, "cancelled");
    let title = format!("writer · {} · cancelled", &running[..8]);
    assert!(chart().contains(&title), "the status is the newest known");
    let end = std::time::Instant::now() + crate::support::SOON;
    let mut second = table();
    while second == first && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(200));
        second = table();
    }
    let added = second.strip_prefix(&first);
    assert_eq!(added.unwrap_or_default().lines().count(), 1, "{second}");
}
