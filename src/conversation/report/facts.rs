//! What a page says of its run.

use jiff::Timestamp;

/// What the page says of the run itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// The run's id.
    pub(crate) run: String,
    /// The agent's name, where it is known.
    pub(crate) agent: Option<String>,
    /// The service's word for where the run stands.
    pub(crate) status: String,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
    /// Why it failed, in the service's words.
    pub(crate) error: Option<String>,
    /// What it was asked to do.
    pub(crate) prompt: String,
    /// When it was asked for, began and ended.
    pub(crate) created: Timestamp,
    /// See `created`.
    pub(crate) started: Option<Timestamp>,
    /// See `created`.
    pub(crate) completed: Option<Timestamp>,
    /// What it made and was given: what each is, its name, and a path relative
    /// to the page.
    pub(crate) links: Vec<(&'static str, String, String)>,
    /// The chart of its metrics, as an `<svg>` element; empty where there is none.
    pub(crate) chart: String,
}
