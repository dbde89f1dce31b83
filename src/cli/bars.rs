//! The downloads of a mount in the foreground, or of a command without a mount, as
//! progress bars on its terminal.

use crate::{
    humanize, logging,
    text::one_line,
    threads,
    tree::{Tree, UnderWay},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

/// How often the mount is looked at.
const TICK: Duration = Duration::from_millis(200);
/// A download has a bar once it has taken this long: most are over by then.
const SLOW: Duration = Duration::from_millis(700);
/// Bars at a time.
const MOST: usize = 5;
/// A bar where the size is known, and where it is not.
const BAR: &str = "{wide_msg} [{bar:16}] {prefix}";
const COUNT: &str = "{wide_msg} {prefix}";

/// Shows a bar for each download that takes a while, for as long as the tree lives.
/// Nothing, where standard error is no terminal.
pub(super) fn show(tree: &Arc<Tree>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let tree = Arc::downgrade(tree);
    if let Err(error) = threads::start("vm0fs-bars", move || draw(&tree)) {
        tracing::debug!("downloads are not shown: {error}");
    }
}

fn draw(tree: &Weak<Tree>) {
    let mut bars: HashMap<u64, ProgressBar> = HashMap::new();
    while let Some(tree) = tree.upgrade() {
        let downloads = tree.downloads();
        // Its end is not to wait for this thread.
        drop(tree);
        bars.retain(|number, bar| {
            let runs = downloads.iter().any(|download| download.number == *number);
            if !runs {
                bar.finish_and_clear();
                logging::bars().remove(bar);
            }
            runs
        });
        for download in downloads.iter().filter(|download| download.age >= SLOW) {
            if bars.len() < MOST || bars.contains_key(&download.number) {
                let bar = bars.entry(download.number).or_insert_with(|| bar(download));
                if bar.length() == Some(0) && download.expected.is_some() {
                    bar.set_style(style(BAR));
                }
                bar.set_length(download.expected.unwrap_or(0));
                bar.set_position(download.bytes);
                bar.set_prefix(amount(download));
            }
        }
        thread::sleep(TICK);
    }
}

fn bar(download: &UnderWay) -> ProgressBar {
    let bar = logging::bars().add(ProgressBar::new(0));
    bar.set_style(style(COUNT));
    bar.set_message(one_line(&download.title, 200));
    bar
}

/// How much has come, how fast, and how long the rest may take.
fn amount(download: &UnderWay) -> String {
    let (bytes, age) = (download.bytes, download.age);
    let rate = humanize::rate(bytes, age);
    let Some(all) = download.expected else {
        return format!("{}  {rate}", humanize::size(bytes));
    };
    let left = all.saturating_sub(bytes) as f64 / bytes.max(1) as f64 * age.as_secs_f64();
    let left = Duration::try_from_secs_f64(left).unwrap_or_default();
    format!(
        "{} of {}  {rate}  {} left",
        humanize::size(bytes),
        humanize::size(all),
        humanize::age(left)
    )
}

fn style(template: &str) -> ProgressStyle {
    // It is right, which a test holds.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn templates_are_right() {
        for template in [BAR, COUNT] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn the_time_left_is_that_of_the_rest() {
        let mut download = UnderWay {
            number: 1,
            title: "a".into(),
            bytes: 25 << 20,
            expected: Some(100 << 20),
            age: Duration::from_secs(5),
            idle: Duration::ZERO,
        };
        assert_eq!(amount(&download), "25 MiB of 100 MiB  5.0 MiB/s  15 s left");
        download.expected = None;
        assert_eq!(amount(&download), "25 MiB  5.0 MiB/s");
        (download.bytes, download.expected) = (0, Some(1));
        assert!(amount(&download).contains("0 B of 1 B"));
    }
}
