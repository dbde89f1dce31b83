//! What `vm0fs top` shows, as lines.

use super::told::{Activity, Download, Followed, Reader};
use crate::{
    humanize::{self, Align, fit, table},
    text::{cut, cut_path, one_line},
};
use jiff::Timestamp;
use std::time::Duration;

/// Downloads and followed runs that are shown where there are too few rows for all.
const FEW: usize = 5;
/// Characters of a progress bar.
const BAR: usize = 20;
/// The fewest characters of a path.
const PATH: usize = 16;

/// What is shown.
pub(super) struct Page<'a> {
    /// The mount, fit for a terminal.
    pub(super) mountpoint: &'a str,
    pub(super) now: &'a Activity,
    /// What it was the time before, for what is shown as rates.
    pub(super) before: Option<&'a Activity>,
    /// For how many seconds the mount has not answered, where it should have.
    pub(super) trouble: Option<u64>,
}

/// Bytes a second, as short as can be where there are none.
fn rate(bytes: u64, seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    match bytes {
        0 => "-".into(),
        _ => humanize::rate(bytes, time),
    }
}

/// At most so many of the lines, and how many are left out.
fn few(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most {
        let left = lines.len() + 1 - most.max(1);
        lines.truncate(most.saturating_sub(1));
        lines.push(format!("  … and {left} more"));
    }
    lines
}

impl Page<'_> {
    /// The lines, each shorter than so many columns, and no more than so many rows.
    pub(super) fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = self.head();
        let mut section = |title: &str, rows: Vec<String>| {
            lines.push(String::new());
            lines.push(title.to_owned());
            lines.extend(rows);
        };
        let most = if rows == usize::MAX { rows } else { FEW };
        if !self.now.downloads.is_empty() {
            let downloads = few(self.downloads(columns), most);
            section(
                &format!("DOWNLOADS {}", self.now.downloads.len()),
                downloads,
            );
        }
        if !self.now.followed.is_empty() {
            let followed = few(self.followed(), most);
            section(
                &format!("FOLLOWED RUNS {}", self.now.followed.len()),
                followed,
            );
        }
        let left = rows.saturating_sub(lines.len() + 3).max(1);
        let readers = match self.now.readers.is_empty() {
            true => vec!["PROCESSES".into(), "  no process is using the mount".into()],
            false => few(self.readers(columns), left.saturating_add(1)),
        };
        lines.push(String::new());
        lines.extend(readers);
        let note = "What the kernel answers from its page cache is not seen here.";
        let is_drawn = rows != usize::MAX;
        let note = if is_drawn {
            format!("q leaves. {note}")
        } else {
            note.to_owned()
        };
        match is_drawn {
            true => {
                lines.truncate(rows.saturating_sub(1));
                lines.resize(rows.saturating_sub(1), String::new());
            }
            false => lines.push(String::new()),
        }
        lines.push(note);
        // The last column is left free: a terminal may go to the next line behind it.
        let cut = |line: String| cut(line.trim_end(), columns.saturating_sub(1).max(1));
        lines.into_iter().map(cut).collect()
    }

    fn head(&self) -> Vec<String> {
        let now = self.now;
        let up = now.at.zip(now.mounted_at);
        let up = up.and_then(|(at, since)| Duration::try_from(at.duration_since(since)).ok());
        let up = up.map_or("?".into(), humanize::age);
        let at = now.at.map_or(String::new(), humanize::time_of_day);
        let version = one_line(&now.vm0fs, 20);
        let mut lines = vec![format!(
            "{}  vm0fs {version}, process {}, mounted {up} ago  {at} UTC",
            self.mountpoint, now.pid
        )];
        if let Some(seconds) = self.trouble {
            lines.push(format!(
                "! The mount has not answered for {seconds} s: what follows is what it said last."
            ));
        }
        if let Some(outage) = &now.api.outage {
            lines.push(format!(
                "! The service cannot be reached: {}",
                one_line(outage, 300)
            ));
        }
        let mut calls = format!("{} made, {} failed", now.api.calls, now.api.failed);
        if let Some(limit) = &now.api.rate_limit {
            calls += &format!("; {} of {} left", limit.remaining, limit.limit);
            if let Ok(reset) = Timestamp::from_second(limit.reset) {
                calls += &format!(" until {}", humanize::time_of_day(reset));
            }
        }
        let origin = one_line(&now.api.origin, 60);
        lines.push(format!("calls     {calls}  {origin}"));
        let requests = &now.requests;
        let hits = requests.made.saturating_sub(requests.waited);
        let share = |hits: u64, all: u64| match all {
            0 => "-".into(),
            _ => format!("{:.1} %", hits as f64 * 100.0 / all as f64),
        };
        let mut line = format!(
            "requests  {}: {hits} hits, {} misses, {}",
            requests.made,
            requests.waited,
            share(hits, requests.made)
        );
        if let Some((before, seconds)) = self.passed() {
            let made = requests.made.saturating_sub(before.requests.made);
            let waited = requests.waited.saturating_sub(before.requests.waited);
            let each = made as f64 / seconds;
            let share = share(made.saturating_sub(waited), made);
            line += &format!("; now {each:.0}/s, {share}");
        }
        lines.push(line);
        let cache = &now.cache;
        let downloaded = &now.downloaded;
        lines.push(format!(
            "cache     {} of {}, {} versions, {} with content{}; {} downloaded, {} failed, {} came",
            humanize::size(cache.bytes),
            humanize::size(cache.ceiling_bytes),
            cache.versions,
            cache.versions_with_content,
            match cache.versions_partly {
                0 => String::new(),
                partly => format!(", {partly} in part"),
            },
            downloaded.done,
            downloaded.failed,
            humanize::size(downloaded.bytes)
        ));
        if now.failures > 0 {
            lines.push(format!("failures  {}; see .vm0fs/errors", now.failures));
        }
        lines
    }

    /// What was before, and how many seconds have passed.
    fn passed(&self) -> Option<(&Activity, f64)> {
        let before = self.before?;
        let passed = self.now.at?.duration_since(before.at?).as_secs_f64();
        // Of another worker, everything has begun anew.
        (passed > 0.0 && before.pid == self.now.pid).then_some((before, passed))
    }

    fn downloads(&self, columns: usize) -> Vec<String> {
        let row = |download: &Download| {
            let earlier = self.passed().and_then(|(before, seconds)| {
                let earlier = before.download(&download.path)?;
                Some((download.bytes.saturating_sub(earlier.bytes), seconds))
            });
            let (came, seconds) = earlier.unwrap_or((download.bytes, download.seconds));
            let (bar, amount, left) = match download.bytes_in_all.filter(|all| *all > 0) {
                Some(all) => {
                    let share = download.bytes.min(all) as f64 / all as f64;
                    let filled = (share * BAR as f64) as usize;
                    let bar = format!("[{}{}]", "#".repeat(filled), " ".repeat(BAR - filled));
                    let amount = format!(
                        "{} of {}",
                        humanize::size(download.bytes),
                        humanize::size(all)
                    );
                    let speed = came as f64 / seconds.max(0.001);
                    let left = all.saturating_sub(download.bytes) as f64 / speed.max(1.0);
                    let left = Duration::try_from_secs_f64(left).unwrap_or_default();
                    (bar, amount, format!("{} left", humanize::age(left)))
                }
                None => (String::new(), humanize::size(download.bytes), String::new()),
            };
            let left = match download.idle_seconds {
                idle if idle >= 3.0 => format!("no byte for {idle:.0} s"),
                _ => left,
            };
            [
                one_line(&download.path, 200),
                bar,
                amount,
                rate(came, seconds),
                left,
            ]
        };
        let mut rows: Vec<[String; 5]> = self.now.downloads.iter().map(row).collect();
        fit(&mut rows, 0, columns.saturating_sub(5), PATH, cut_path);
        let (left, right) = (Align::Left, Align::Right);
        let text = table(&rows, [left, left, right, right, right]);
        text.lines().map(|line| format!("  {line}")).collect()
    }

    fn followed(&self) -> Vec<String> {
        let line = |followed: &Followed| {
            let agent = followed.agent.as_deref().unwrap_or_default();
            format!(
                "  runs/{}  {}",
                one_line(&followed.run, 80),
                one_line(agent, 80)
            )
        };
        self.now.followed.iter().map(line).collect()
    }

    fn readers(&self, columns: usize) -> Vec<String> {
        let came = |reader: &Reader| {
            if reader.has_ended {
                return (0, 1.0);
            }
            let earlier = self.passed().and_then(|(before, seconds)| {
                let earlier = before.reader(reader.pid)?;
                Some((reader.bytes.saturating_sub(earlier.bytes), seconds))
            });
            // Its numbers begin when it is seen first.
            earlier.unwrap_or((reader.bytes, reader.seen_seconds.max(1.0)))
        };
        let row = |(reader, (came, seconds)): &(&Reader, (u64, f64))| {
            let (came, seconds) = (*came, *seconds);
            let state = match reader.waiting {
                0 if reader.has_ended => "ended".into(),
                0 if reader.idle_seconds < 1.5 => "reads".into(),
                0 => format!("idle {:.0} s", reader.idle_seconds),
                _ => "waits".into(),
            };
            [
                reader.pid.map_or("?".into(), |pid| pid.to_string()),
                one_line(reader.process.as_deref().unwrap_or("?"), 16),
                state,
                rate(came, seconds),
                humanize::size(reader.bytes),
                humanize::size(reader.fetched_bytes),
                one_line(&reader.path, 400),
            ]
        };
        let head = [
            "PID", "PROCESS", "STATE", "RATE", "BYTES", "FETCHED", "PATH",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        let mut readers: Vec<_> = self.now.readers.iter().map(|it| (it, came(it))).collect();
        // Those that wait, then those that read the most, then the last seen.
        readers.sort_by(|(a, (came_a, time_a)), (b, (came_b, time_b))| {
            let rates = (*came_b as f64 / time_b).total_cmp(&(*came_a as f64 / time_a));
            let waiting = (b.waiting > 0).cmp(&(a.waiting > 0));
            let idle = a.idle_seconds.total_cmp(&b.idle_seconds);
            waiting.then(rates).then(idle)
        });
        rows.extend(readers.iter().map(row));
        fit(&mut rows, 6, columns.saturating_sub(1), PATH, cut_path);
        let (left, right) = (Align::Left, Align::Right);
        let text = table(&rows, [right, left, left, right, right, right, left]);
        text.lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn activity(second: i64, readers: usize) -> Activity {
        let reader = |number: usize| {
            json!({"pid": number + 1, "process": "r\u{1b}[2Jg", "bytes": second * (10 << 20),
                "path": format!("artifacts/a/{}/{number}", "deep/".repeat(40)),
                "fetched_bytes": 5, "waiting": number % 2, "seen_seconds": second,
                "idle_seconds": 0.1})
        };
        Activity::of(json!({
            "at": format!("2026-01-02T03:04:{second:02}Z"),
            "mounted_at": "2026-01-02T00:00:00Z", "vm0fs": "0.1.0", "pid": 7,
            "requests": {"made": 1000 * second, "waited": 10 * second},
            "readers": (0..readers).map(reader).collect::<Vec<_>>(),
            "downloads": [{"path": "volumes/v/0123", "bytes": second * (1 << 20),
                "bytes_in_all": 100 << 20, "seconds": second, "idle_seconds": 0.0},
                {"path": "volumes/w/0123", "bytes": 5, "seconds": second, "idle_seconds": 9.0}],
            "followed": [{"run": "r-1", "agent": "a\nb"}],
            "api": {"calls": 3, "failed": 1, "origin": "https://x",
                "rate_limit": {"limit": 5000, "remaining": 4990, "reset": 0}},
            "unknown": true,
        }))
        .unwrap()
    }

    fn page(columns: usize, rows: usize, trouble: Option<u64>) -> Vec<String> {
        let (now, before) = (activity(4, 100), activity(2, 100));
        let page = Page {
            mountpoint: "/m",
            now: &now,
            before: Some(&before),
            trouble,
        };
        page.lines(columns, rows)
    }

    #[test]
    fn a_page_fits_any_terminal() {
        for (columns, rows) in [(80, 24), (200, 50), (40, 10), (20, 5), (1, 1)] {
            let lines = page(columns, rows, None);
            assert_eq!(lines.len(), rows, "{columns} x {rows}");
            for line in &lines {
                assert!(line.chars().count() < columns.max(2), "{columns}: {line}");
                assert!(!line.contains(['\u{1b}', '\n']), "{line:?}");
            }
        }
    }

    #[test]
    fn rates_are_those_of_the_time_between() {
        let text = page(200, 50, None).join("\n");
        for words in [
            "now 1000/s, 99.0 %",
            "4000: 3960 hits, 40 misses, 99.0 %",
            "4990 of 5000 left until 00:00:00",
            "10 MiB/s",
            "4.0 MiB of 100 MiB",
            "1.0 MiB/s",
            "no byte for 9 s",
            "runs/r-1  a b",
            "… and ",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        let told = page(200, 50, Some(9)).join("\n");
        assert!(told.contains("has not answered for 9 s"), "{told}");
    }

    #[test]
    fn what_has_ended_reads_no_more() {
        let now = Activity::of(json!({"readers": [{"pid": 7, "process": "sha256sum",
            "has_ended": true, "bytes": 21 << 20, "seen_seconds": 1.0, "path": "a"}]}));
        let page = Page {
            mountpoint: "/m",
            now: &now.unwrap(),
            before: None,
            trouble: None,
        };
        let text = page.lines(120, usize::MAX).join("\n");
        assert!(text.contains("ended     -  21 MiB"), "{text}");
    }

    #[test]
    fn all_is_shown_where_no_terminal_ends_it() {
        let lines = page(120, usize::MAX, None);
        assert!(lines.len() > 100, "{}", lines.len());
        assert!(!lines.join("\n").contains("more"));
        // Of an older vm0fs, or of something else.
        let empty = Activity::of(json!({})).unwrap();
        let page = Page {
            mountpoint: "/m",
            now: &empty,
            before: None,
            trouble: None,
        };
        assert!(
            page.lines(80, 24)
                .join("\n")
                .contains("no process is using")
        );
        assert!(Activity::of(json!([1])).is_err());
    }
}
