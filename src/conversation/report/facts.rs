//! The facts of a run that its page shows.

use jiff::Timestamp;

/// The facts of a run that its page shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// The run's id.
    pub(crate) run: String,
    /// The agent's name, where it is known.
    pub(crate) agent: Option<String>,
    /// The service's word for the status.
    pub(crate) status: String,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
    /// Why it failed, in the service's words.
    pub(crate) error: Option<String>,
    /// The task that the user gave.
    pub(crate) prompt: String,
    /// When it was created, began and ended.
    pub(crate) created: Timestamp,
    /// See `created`.
    pub(crate) started: Option<Timestamp>,
    /// See `created`.
    pub(crate) completed: Option<Timestamp>,
    /// Its artifact and its volumes: the kind of each, its name, and a path relative to
    /// the page.
    pub(crate) links: Vec<(&'static str, String, String)>,
    /// The chart of its metrics, as an `<svg>` element; empty where there is none.
    pub(crate) chart: String,
}
