//! The rows of a random life: what sandboxes, networks and agents' programs send,
//! with all that a text can hold.

use super::Life;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use vm0fs::demo::{Claude, Codex, LogRow};

impl Life {
    fn message(&mut self) -> String {
        const PARTS: [&str; 12] = [
            "plain",
            "two\nlines",
            "\n",
            "\u{1b}[31mred\u{1b}[0m",
            "bell\u{7}",
            "tab\tand é",
            "\u{1f600}",
            "\u{9b}2J",
            "back\\slash \"quoted\"",
            "{\"json\": [1, 2]}",
            "",
            "2026-01-01T00:00:00Z agent info not a row",
        ];
        let count = self.random.below(4);
        let parts = (0..count).map(|_| *self.random.pick(&PARTS));
        let parts: Vec<&str> = parts.collect();
        // Mostly with a mark; some rows are the same as others.
        if !self.random.one_in(4) {
            self.marks += 1;
            return format!("#{}. {}", self.marks, parts.join(" "));
        }
        parts.join(" ")
    }

    /// When a row says that it was written: now, mostly.
    fn moment(&mut self) -> Timestamp {
        let now = Timestamp::now();
        let earlier = |milliseconds: u64| {
            let by = SignedDuration::from_millis(milliseconds as i64);
            now.checked_sub(by).unwrap()
        };
        match self.random.below(12) {
            0 => earlier(self.random.below(900)),
            1 => earlier(self.random.below(40_000)),
            2..5 => self.newest,
            _ => now,
        }
    }

    pub(super) fn row(&mut self) -> LogRow {
        let at = self.moment();
        let message = self.message();
        match self.random.below(5) {
            0 => LogRow::system(at, message),
            1 => {
                let status = *self.random.pick(&[200, 204, 304, 404, 503]);
                let url = format!("https://example.com/{}", self.random.below(9));
                LogRow::network(at, "GET", &url, status, self.random.below(90))
            }
            _ => {
                let event = self.event(&message);
                self.sequence += 1;
                let row = LogRow::agent(at, self.sequence, event);
                match self.random.below(10) {
                    // As older rows are, and as one is whose event was cut.
                    0 => row.bare(),
                    1 => {
                        let half = row.message.chars().count() / 2;
                        let cut: String = row.message.chars().take(half).collect();
                        let cut = cut.replace('#', "");
                        LogRow::new(at, "agent", "info", cut)
                    }
                    _ => row,
                }
            }
        }
    }

    /// What an agent program sends. Where the words of it are said aloud, they
    /// are in every drawing; elsewhere they may be left out, so they bear no mark.
    fn event(&mut self, words: &str) -> Value {
        let unmarked = words.replace('#', "");
        let seed = format!("{}", self.sequence);
        let mut claude = Claude::new(&seed, Timestamp::now());
        let mut codex = Codex::new(&seed, Timestamp::now());
        let mut last = match self.random.below(14) {
            0..4 => return Claude::said(words),
            4 => claude.thinking(&unmarked).take(),
            5 => claude.tool("Bash", json!({"command": unmarked})).take(),
            6 => {
                let lines = unmarked.repeat(1 + self.random.below(40) as usize);
                claude
                    .tool("Grep", json!({"pattern": "x"}))
                    .result(&lines)
                    .take()
            }
            7 => {
                claude.tool("Read", json!({"file_path": "/a.png"}));
                claude.image("image/png", &[137; 900]).take()
            }
            8 => claude
                .tool("Edit", json!({"file_path": "/a"}))
                .failed(&unmarked)
                .take(),
            9 => claude.subagent("Explore", "Look", &unmarked).take(),
            10 => claude.finish(&unmarked).take(),
            11 => codex
                .command("make")
                .output(&unmarked, self.random.below(2) as i32)
                .take(),
            12 => codex.message(&unmarked).finish().take(),
            _ => claude.rate_limit().partial(&unmarked).take(),
        };
        let (_, event) = last.pop().unwrap();
        event
    }
}
