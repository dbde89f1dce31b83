//! The stories, by their names: the files of `stories/` without `.story`.

macro_rules! stories {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!("../stories/", $name, ".story")))),+]
    };
}

const STORIES: &[(&str, &str)] = stories! {
    "build" "build-first" "ci" "clean" "evaluate" "fails" "fails-codex" "forecast"
    "forecast-again" "german" "links" "merge" "notes" "regions" "report" "report-long" "review"
    "segments" "shrink" "started" "started-code-reviewer" "started-data-cleaner"
    "started-model-trainer" "started-research-analyst" "started-site-builder" "style"
    "tests-only" "times-out" "train" "train-failed" "twice" "twice-again" "watch" "watch-begin"
    "watch-cancelled" "watch-end" "watcher" "watcher-flag"
};

/// The story of that name.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    let story = STORIES.iter().find(|(known, _)| *known == name);
    story.map(|(_, text)| *text)
}
