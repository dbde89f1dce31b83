//! Tables and charts of good and bad answers.

use super::{axis::Axis, series::lines, *};

const HEADER: &str =
    "timestamp,cpu_percent,memory_used_mb,memory_total_mb,disk_used_mb,disk_total_mb\n";

fn metrics(rows: impl IntoIterator<Item = String>) -> Metrics {
    let rows: Vec<String> = rows.into_iter().collect();
    let json = format!(r#"{{"data":[{}],"summary":{{}}}}"#, rows.join(","));
    Metrics::new(RawValue::from_string(json).unwrap())
}

/// A sample so many seconds after some time, with these values.
fn sample(second: i64, cpu: &str, memory: &str, disk: &str) -> String {
    let at = jiff::Timestamp::from_second(1_767_323_045 + second).unwrap();
    format!(
        r#"{{"timestamp":"{at}","cpu_percent":{cpu},"memory_used_mb":{memory},"memory_total_mb":4096,"disk_used_mb":{disk},"disk_total_mb":20480,"more":[]}}"#
    )
}

fn run(agent: &str, status: &str) -> Run {
    let run = serde_json::json!({
        "id": "0b7f1c9e-3c1d-4a52-9b1e-2f0a6f4f9d11", "agent_name": agent, "status": status,
        "created_at": "2026-01-02T03:04:05Z",
    });
    serde_json::from_value(run).unwrap()
}

fn csv(metrics: &Metrics) -> String {
    String::from_utf8(metrics.csv().to_vec()).unwrap()
}

fn svg(metrics: &Metrics) -> String {
    let bytes = metrics.svg(&run("writer", "completed"));
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The texts of a chart, in order.
fn texts(svg: &str) -> Vec<&str> {
    let after = svg.split("<text ").skip(1);
    let inside = after.map(|text| text.split_once(">\n").unwrap().1);
    inside
        .map(|text| text.split_once("\n</text>").unwrap().0)
        .collect()
}

/// The numbers of lines, of areas below lines, and of dots.
fn shapes(svg: &str) -> [usize; 3] {
    ["<polyline", "<polygon", "<circle"].map(|tag| svg.matches(tag).count())
}

#[test]
fn a_table_has_the_numbers_as_they_were_sent() {
    let table = csv(&metrics([
        sample(5, "1.50", "1e400", "007".trim_start_matches('0')),
        sample(0, "null", "-0.0", "123456789012345678901234567890"),
        r#"{"cpu_percent":"12.5","disk_used_mb":true,"memory_used_mb":{"a":1}}"#.into(),
        "{}".into(),
    ]));
    let rows = "2026-01-02T03:04:10Z,1.50,1e400,4096,7,20480\n\
                2026-01-02T03:04:05Z,,-0.0,4096,123456789012345678901234567890,20480\n\
                ,12.5,,,,\n\
                ,,,,,\n";
    assert_eq!(table, format!("{HEADER}{rows}"), "in the service's order");
    assert_eq!(csv(&metrics([])), HEADER);
    let odd = ["[1,2,3,4,5,6]", "7", "null", r#""text""#];
    assert_eq!(csv(&metrics(odd.map(str::to_owned))), HEADER, "no samples");
}

#[test]
fn no_text_breaks_out_of_a_cell() {
    for (said, cell) in [
        (r#"a,b"#, r#""a,b""#),
        (r#"a\"b"#, r#""a""b""#),
        (r#"a\nb\r\u0000\u001b[2J"#, "a b   [2J"),
        ("=1+1", "'=1+1"),
        (r#"@x,\"y"#, r#""'@x,""y""#),
        (r#"\t=1"#, "' =1"),
        ("-1.5", "-1.5"),
    ] {
        let row = format!(r#"{{"timestamp":"{said}"}}"#);
        assert_eq!(csv(&metrics([row])), format!("{HEADER}{cell},,,,,\n"));
    }
}

#[test]
fn a_chart_says_what_it_shows() {
    let metrics = metrics((0..13).map(|n| sample(n * 60, "25.0", "3000", &(n * 100).to_string())));
    let svg = svg(&metrics);
    let texts = texts(&svg);
    for text in [
        "writer · 0b7f1c9e · completed",
        "2026-01-02 03:04:05 – 03:16:05 UTC · 12 min · 13 samples",
        "CPU",
        "average 25 % · max 25 %",
        "100 %",
        "Memory",
        "average 2.9 GB · max 2.9 GB of 4 GB",
        "4 GB",
        "Disk",
        "average 600 MB · max 1.2 GB of 20 GB",
        "1.5 GB",
        "UTC",
        "03:10",
    ] {
        assert!(texts.contains(&text), "{text}: {texts:#?}");
    }
    // The third is all the memory there is; the disk's is beyond its axis.
    assert_eq!(shapes(&svg), [4, 3, 0]);
}

#[test]
fn a_missing_value_is_a_gap() {
    let value = |n: i64| if n == 3 || n == 5 { "null" } else { "50" };
    let svg = svg(&metrics((0..9).map(|n| sample(n * 5, value(n), "1", "1"))));
    // Three samples, one by itself, three samples; the others are whole.
    assert_eq!(shapes(&svg), [4, 4, 1]);
    let earlier = metrics([8, 2, 0, 7, 1, 6, 4, 3, 5].map(|n| sample(n * 5, value(n), "1", "1")));
    assert_eq!(self::svg(&earlier), svg, "in any order");
}

#[test]
fn a_chart_without_a_line_says_why() {
    for (rows, status, says) in [
        (vec![], "failed", "No metrics were recorded for this run"),
        (vec![], "running", "No metrics yet"),
        (
            vec![r#"{"timestamp":"yesterday","cpu_percent":1}"#.into()],
            "completed",
            "No sample has a time that can be read: see metrics.csv",
        ),
    ] {
        let bytes = metrics(rows).svg(&run("writer", status));
        let svg = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(texts(&svg).last(), Some(&says), "{svg}");
        assert_eq!(texts(&svg).len(), 2);
    }
    let svg = svg(&metrics([sample(0, "1", "null", "null")]));
    let not = texts(&svg).iter().filter(|t| **t == "not recorded").count();
    assert_eq!((not, shapes(&svg)), (2, [0, 0, 1]));
}

#[test]
fn no_number_breaks_a_chart() {
    let odd = [
        "1e308",
        "-1e308",
        "1e400",
        "-5",
        "0",
        "-0.0",
        "1e-320",
        "1e12",
        "\"NaN\"",
        "\"inf\"",
        "\"\"",
        "[]",
        "99999.5",
        "1073741824",
    ];
    let all = odd.map(|value| sample(5, value, value, value));
    let times = [
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "1970-01-01T00:00:00Z",
    ];
    let far = times.map(|at| format!(r#"{{"timestamp":"{at}","cpu_percent":5}}"#));
    for n in 0..odd.len() {
        svg(&metrics(all[n..].to_vec()));
        svg(&metrics(all[..=n].to_vec()));
    }
    for rows in [all.to_vec(), far.to_vec(), [&all[..], &far[..]].concat()] {
        let svg = svg(&metrics(rows));
        for wrong in ["NaN", "inf", "e308", "2147483647", "-2147483648"] {
            assert!(!svg.contains(wrong), "{wrong}: {svg}");
        }
        assert!(svg.len() < 32_000, "{}", svg.len());
    }
}

#[test]
fn a_day_is_drawn_with_its_peaks_in_little_room() {
    const DAY: i64 = 17_280;
    let cpu = |n: i64| {
        if n == 9_001 {
            "97.0"
        } else {
            ["3.5", "60.2", "41.0"][n as usize % 3]
        }
    };
    let noise = |n: i64| (n * 7_919 % 3_000).to_string();
    let usual = metrics((0..DAY).map(|n| sample(n * 5, cpu(n), &noise(n), &noise(n + 1))));
    let usual = svg(&usual);
    assert!(usual.len() < 200_000, "{}", usual.len());
    assert!(texts(&usual).contains(&"average 35 % · max 97 %"));
    // Only one column, and with that one or two points, has the peak.
    let line = usual.split("<polyline").nth(1).unwrap();
    let points = line
        .split_once("points=\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let height = |point: &str| point.split_once(',').unwrap().1.parse::<f64>().unwrap();
    let mut heights: Vec<f64> = points.split_whitespace().map(height).collect();
    heights.sort_unstable_by(f64::total_cmp);
    assert!(heights[0] + 25.0 < heights[1], "{:?}", &heights[..3]);
    // As many gaps as can be seen.
    let gaps = |n: i64| if n % 58 < 2 { "1" } else { "null" };
    let gaps = metrics((0..DAY).map(|n| sample(n * 5, gaps(n), gaps(n), gaps(n))));
    let gaps = svg(&gaps);
    assert!(
        shapes(&gaps)[2] + shapes(&gaps)[0] > 600,
        "{:?}",
        shapes(&gaps)
    );
    assert!(gaps.len() < 200_000, "{}", gaps.len());
}

#[test]
fn a_line_has_the_lowest_and_the_highest_of_each_column() {
    let points = [1.0, 5.0, 0.5, 2.0, 7.0, 7.0].map(Some);
    let points = points
        .into_iter()
        .enumerate()
        .map(|(n, value)| (n as f64, value));
    let line = [(1.0, 5.0), (2.0, 0.5), (3.0, 2.0), (4.0, 7.0)];
    assert_eq!(lines(points, 0.0, 3.0), [line.to_vec()]);
    assert!(lines([(0.0, None)].into_iter(), 0.0, 1.0).is_empty());
}

#[test]
fn a_chart_is_drawn_once_for_each_status() {
    let metrics = metrics([sample(0, "1", "1", "1")]);
    let draw = |status| metrics.svg(&run("writer", status));
    let first = draw("running");
    assert!(Arc::ptr_eq(&first, &draw("running")));
    let ended = draw("completed");
    assert!(String::from_utf8_lossy(&ended).contains("0b7f1c9e · completed"));
    assert!(Arc::ptr_eq(&ended, &draw("completed")));
    assert!(Arc::ptr_eq(&metrics.csv(), &metrics.csv()));
}

#[test]
fn axes_end_at_round_numbers_and_say_their_unit() {
    let ends = |axis: Axis| {
        let named: Vec<String> = axis.marks.into_iter().map(|(_, name)| name).collect();
        assert!(named.len() <= 9, "{named:?}");
        let last = named.last().unwrap();
        (named.len(), named[1].clone(), last.clone())
    };
    for (axis, parts, step, top) in [
        (Axis::percent(0.0), 5, "25 %", "100 %"),
        (Axis::percent(101.0), 4, "50 %", "150 %"),
        (Axis::percent(100_000.0), 5, "25000 %", "100000 %"),
        (Axis::megabytes(0.0, None), 5, "0.25 MB", "1 MB"),
        (Axis::megabytes(700.0, Some(4_096.0)), 5, "200 MB", "800 MB"),
        (Axis::megabytes(1_600.0, Some(4_096.0)), 5, "0.5 GB", "2 GB"),
        (Axis::megabytes(1_700.0, Some(4_096.0)), 5, "1 GB", "4 GB"),
        (Axis::megabytes(2e9, Some(1.0)), 5, "500 TB", "2000 TB"),
    ] {
        assert_eq!(ends(axis), (parts, step.into(), top.into()));
    }
    for (seconds, second) in [
        (0.0, "03:04:04"),
        (95.0, "03:04:30"),
        (3_600.0, "03:20"),
        (86_390.0, "12:00"),
        (200_000.0, "01-03 00:00"),
        (9e9, "2092-03-24"),
    ] {
        let axis = Axis::time(1_767_323_045.0, 1_767_323_045.0 + seconds);
        let (count, named, _) = ends(axis);
        assert!((2..=8).contains(&count), "{seconds}: {count}");
        assert_eq!(named, second, "{seconds}");
    }
}
