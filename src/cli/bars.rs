//! Downloads as progress bars on the terminal of a command: those of its own tree, and those
//! of a mount that it waits for.

use super::mount_path::MountPath;
use crate::{humanize, logging, sync::Mutex, text::one_line, threads, tree::Tree};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
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
                take_away(bar);
            }
            runs
        });
        for download in downloads.iter().filter(|download| download.age >= SLOW) {
            if bars.len() < MOST || bars.contains_key(&download.number) {
                let slot = bars.entry(download.number);
                let bar = slot.or_insert_with(|| bar(&download.title));
                set(bar, download.bytes, download.expected, download.age);
            }
        }
        thread::sleep(TICK);
    }
}

/// What [`watch`] shows, until this goes.
pub(super) struct Watch(Arc<Mutex<Shown>>);

/// A download of a version that may have a bar.
#[derive(Default)]
struct Shown {
    since: Option<Instant>,
    bar: Option<ProgressBar>,
    /// Whether no more is to be shown.
    has_ended: bool,
}

/// Shows a bar while a mount downloads a version. Nothing, where standard error is no
/// terminal.
pub(super) fn watch(version: &MountPath) -> Watch {
    let watch = Watch(Arc::default());
    if io::stderr().is_terminal() {
        let (version, shown) = (version.clone(), watch.0.clone());
        if let Err(error) = threads::start("vm0fs-bars", move || follow(&version, &shown)) {
            tracing::debug!("the download is not shown: {error}");
        }
    }
    watch
}

/// Until the watch goes, or the mount does not say any more how far it is: the command says
/// why then.
fn follow(version: &MountPath, shown: &Mutex<Shown>) {
    while let Ok(transfer) = version.transfer() {
        let mut shown = shown.lock();
        if shown.has_ended {
            return;
        }
        shown.set(&version.label, transfer);
        drop(shown);
        thread::sleep(TICK);
    }
    shown.lock().set(&version.label, None);
}

impl Shown {
    /// Shows how far a download is, if there is one.
    fn set(&mut self, label: &str, transfer: Option<(u64, Option<u64>)>) {
        let Some((bytes, all)) = transfer else {
            self.bar.take().iter().for_each(take_away);
            self.since = None;
            return;
        };
        let age = self.since.get_or_insert_with(Instant::now).elapsed();
        if age >= SLOW {
            let bar = self.bar.get_or_insert_with(|| bar(label));
            set(bar, bytes, all, age);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut shown = self.0.lock();
        shown.has_ended = true;
        shown.set("", None);
    }
}

/// A bar, before anything is known of its download.
pub(super) fn bar(title: &str) -> ProgressBar {
    let bar = logging::bars().add(ProgressBar::new(0));
    bar.set_style(style(COUNT));
    bar.set_message(one_line(title, 200));
    bar
}

/// Shows how much has come, of how much if that is known, and since when.
pub(super) fn set(bar: &ProgressBar, bytes: u64, all: Option<u64>, age: Duration) {
    if bar.length() == Some(0) && all.is_some() {
        bar.set_style(style(BAR));
    }
    bar.set_length(all.unwrap_or(0));
    bar.set_position(bytes);
    bar.set_prefix(amount(bytes, all, age));
}

/// Ends a bar.
pub(super) fn take_away(bar: &ProgressBar) {
    bar.finish_and_clear();
    logging::bars().remove(bar);
}

/// How much has come, how fast, and how long the rest may take.
fn amount(bytes: u64, all: Option<u64>, age: Duration) -> String {
    let rate = humanize::rate(bytes, age);
    let Some(all) = all else {
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
        let age = Duration::from_secs(5);
        assert_eq!(
            amount(25 << 20, Some(100 << 20), age),
            "25 MiB of 100 MiB  5.0 MiB/s  15 s left"
        );
        assert_eq!(amount(25 << 20, None, age), "25 MiB  5.0 MiB/s");
        assert!(amount(0, Some(1), age).contains("0 B of 1 B"));
    }
}
