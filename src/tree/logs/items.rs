//! The items of a log, and the forms in which its files show them.

use super::lines::{push_event_line, push_json_line};
use crate::{
    api::types::{AgentEvent, LogRow, Row},
    conversation::{Event, Place, lines as drawn, transcript::Ending},
};
use serde_json::value::RawValue;

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

/// One item of a log. They are shown in the order in which they came.
#[derive(Debug)]
pub(super) enum Item {
    /// A row, and whether its event has been shown already.
    Row { row: Row<LogRow>, is_shown: bool },
    /// An event whose row has not come yet.
    Event(AgentEvent),
    /// The run has ended.
    End(Ending),
}

/// A statement of an agent.
pub(super) enum Said<'a> {
    /// An event of its program.
    Event(Event, Place<'a>),
    /// A text that is no event: an event that was cut, or other output of the program.
    Text(&'a str, Place<'a>),
}

impl Item {
    /// The event of the item, unless it was shown already: its type, data and place.
    pub(super) fn told(&self) -> Option<(&str, &RawValue, Place<'_>)> {
        let (kind, data, timestamp, sequence) = match self {
            Self::Event(event) => {
                let sequence = Some(event.sequence);
                (&*event.kind, &*event.data, &event.timestamp, sequence)
            }
            Self::Row { row, is_shown } if !is_shown => {
                let (kind, data) = row.value.told()?;
                let sequence = row.value.event.as_ref().map(|event| event.sequence);
                (kind, data, &row.value.timestamp, sequence)
            }
            Self::Row { .. } | Self::End(_) => return None,
        };
        let place = Place {
            timestamp,
            sequence,
        };
        Some((kind, data, place))
    }

    /// The agent's statement, unless it was shown already.
    pub(super) fn said(&self) -> Option<Said<'_>> {
        let told = self.told();
        if let Self::Row { row, is_shown } = self
            && !is_shown
            && row.value.kind == "agent"
            // Of an event without its data, the message has the beginning.
            && told.is_none_or(|(_, data, _)| data.get() == "null" && !row.value.message.is_empty())
        {
            let place = Place {
                timestamp: &row.value.timestamp,
                sequence: told.and_then(|(.., place)| place.sequence),
            };
            return Some(Said::Text(&row.value.message, place));
        }
        let (kind, data, place) = told?;
        Some(Said::Event(Event::read(kind, data.get()), place))
    }
}

/// Appends an item to a file other than the transcript.
pub(super) fn render(view: LogView, item: &Item, out: &mut String) {
    match (view, item) {
        (LogView::Jsonl, Item::Row { row, .. }) => push_json_line(out, row.raw.get()),
        (LogView::Jsonl, _) => {}
        (LogView::Events, _) => {
            if let Some((kind, data, place)) = item.told() {
                push_event_line(out, kind, data, place);
            }
        }
        _ => push_text(view, item, out),
    }
}

/// Appends the lines of an item to a text file.
fn push_text(view: LogView, item: &Item, out: &mut String) {
    let kind = match item {
        Item::Row { row, .. } => row.value.kind.as_str(),
        Item::Event(_) => "agent",
        Item::End(_) => return,
    };
    let is_wanted = match view {
        LogView::Agent => kind == "agent",
        LogView::System => kind == "system",
        LogView::Network => kind == "network",
        _ => true,
    };
    if !is_wanted {
        return;
    }
    match (item.said(), item) {
        (Some(Said::Event(event, place)), _) => {
            let (level, message) = drawn::message(&event);
            drawn::push(out, [place.timestamp, kind, level.word()], &message);
        }
        (Some(Said::Text(text, place)), Item::Row { row, .. }) => {
            let words = [place.timestamp, kind, &row.value.level];
            drawn::push(out, words, &drawn::text(text));
        }
        (None, Item::Row { row, is_shown }) if !is_shown => {
            let row = &row.value;
            drawn::push(out, [&row.timestamp, kind, &row.level], &row.message);
        }
        _ => {}
    }
}
