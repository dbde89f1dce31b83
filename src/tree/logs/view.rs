//! The forms in which a log is shown.

/// Which rows, in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogView {
    /// Every row as a text line.
    All,
    /// Every row as the JSON it came as.
    Jsonl,
    /// The agent's rows as text lines.
    Agent,
    /// The sandbox's rows as text lines.
    System,
    /// Network rows as text lines.
    Network,
    /// The agent's events as JSON lines.
    Events,
    /// The conversation as Markdown.
    Transcript,
}

impl LogView {
    /// How many forms there are.
    pub(super) const COUNT: usize = 7;

    /// Every form.
    #[cfg(any(test, fuzzing))]
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::All,
        Self::Jsonl,
        Self::Agent,
        Self::System,
        Self::Network,
        Self::Events,
        Self::Transcript,
    ];
}
