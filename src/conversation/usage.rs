//! How an agent's work ended and what it cost: by what its program tells at the end of
//! each query or turn, and until then by the model's messages.

use super::event::{self, End, Event, Part, Speaker, Spent, Sum};
use crate::humanize::dollars;
use serde::Serialize;
use std::{collections::HashMap, mem};

/// An agent's work as a whole, added up from its events in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    turns: Option<u64>,
    milliseconds: Option<u64>,
    /// The queries whose numbers no later end counts again.
    closed: Sum,
    /// The last query, whose numbers a later end may count again.
    last: Sum,
    /// The last text of the agent itself.
    said: Option<String>,
    answer: Option<String>,
    /// The usage of each message, and the messages since the last end.
    messages: HashMap<String, Spent>,
    since: Vec<String>,
    /// The tokens that all messages of the agent itself have read.
    main_read: u64,
}

/// The content of `usage.json`: null where no event tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Turns of the agent.
    pub(crate) turns: Option<u64>,
    /// Time that the agent's program counted, in milliseconds.
    pub(crate) duration_ms: Option<u64>,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

impl Usage {
    /// The facts that people ask for first, each with its name, as far as events tell
    /// them.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tokens = &self.sum.tokens;
        let facts = [
            ("Turns", self.turns.map(|turns| turns.to_string())),
            ("Tokens", tokens.input.map(|_| tokens.line(""))),
            ("Cost", self.sum.dollars.map(dollars)),
        ];
        facts
            .into_iter()
            .filter_map(|(name, fact)| Some((name, fact?)))
    }
}

impl Summary {
    /// Counts an event.
    pub(crate) fn add(&mut self, event: &Event) {
        if let Some(spent) = &event.spent {
            let before = self.messages.insert(spent.message.clone(), spent.clone());
            let before_read = before.as_ref().map_or(0, Spent::main_read);
            let others = self.main_read.saturating_sub(before_read);
            self.main_read = others.saturating_add(spent.main_read());
            if before.is_none() {
                self.since.push(spent.message.clone());
            }
        }
        for part in &event.parts {
            match part {
                Part::Text(Speaker::Agent, said) if event.parent.is_none() => {
                    self.said = Some(said.clone());
                }
                Part::End(end) => self.end(end),
                _ => {}
            }
        }
    }

    fn end(&mut self, end: &End) {
        if end.failure.is_none() || end.answer.is_some() {
            let said = self.said.take().filter(|_| end.is_turn);
            self.answer = end.answer.clone().or(said).or(self.answer.take());
        }
        event::add(&mut self.turns, end.turns, u64::saturating_add);
        event::add(
            &mut self.milliseconds,
            end.milliseconds,
            u64::saturating_add,
        );
        let counts_again = self.counts_again(end);
        let last = mem::replace(&mut self.last, end.sum.clone());
        if !counts_again {
            self.closed.add(&last);
        }
        self.since.clear();
    }

    /// Whether an end's numbers include those of the end before: a program that goes on
    /// counts on, and one that was started again for a continued run counts from zero.
    fn counts_again(&self, end: &End) -> bool {
        let (tokens, last) = (&end.sum.tokens, &self.last.tokens);
        let are_known = tokens.input.is_some() && last.input.is_some();
        if !are_known || !tokens.continues(last) {
            return false;
        }
        if end.is_turn {
            // Codex gives the total of its thread (`total_token_usage`).
            return true;
        }
        // The sum of its own messages tells which of the two.
        let since = self.since.iter().filter_map(|id| self.messages.get(id));
        let since = since.fold(0_u64, |sum, spent| sum.saturating_add(spent.main_read()));
        let all = self.main_read;
        all.abs_diff(tokens.read()) < since.abs_diff(tokens.read())
    }

    /// The final answer, once there is one.
    pub(crate) fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// What it cost so far.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = self.closed.clone();
        sum.add(&self.last);
        // The messages that no end has counted yet.
        for spent in self.since.iter().filter_map(|id| self.messages.get(id)) {
            sum.tokens.add(&spent.tokens);
            if let Some(model) = &spent.model {
                let model = sum.models.entry(model.clone()).or_default();
                model.tokens.add(&spent.tokens);
            }
        }
        Usage {
            turns: self.turns,
            duration_ms: self.milliseconds,
            sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn add(summary: &mut Summary, event: &Value) {
        let kind = event["type"].as_str().unwrap();
        summary.add(&Event::read(kind, &event.to_string()));
    }

    fn said(id: &str, text: &str, input: u64) -> Value {
        json!({"type": "assistant", "message": {
            "id": id, "model": "m", "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": input, "output_tokens": 1},
        }})
    }

    fn result(answer: &str, input: u64, cost: f64) -> Value {
        json!({
            "type": "result", "subtype": "success", "is_error": false, "result": answer,
            "duration_ms": 1000, "num_turns": 2, "total_cost_usd": cost,
            "usage": {"input_tokens": input, "output_tokens": 5},
            "modelUsage": {"m": {"inputTokens": input, "outputTokens": 5, "costUSD": cost}},
        })
    }

    #[test]
    fn a_message_that_comes_in_several_events_counts_once() {
        let mut summary = Summary::default();
        add(&mut summary, &said("a", "one", 10));
        add(&mut summary, &said("a", "two", 10));
        add(&mut summary, &said("b", "three", 7));
        let usage = summary.usage();
        assert_eq!(usage.sum.tokens.input, Some(17));
        assert_eq!((usage.turns, usage.sum.dollars), (None, None));
        assert_eq!(usage.sum.models["m"].tokens.input, Some(17));
        assert_eq!(summary.answer(), None);
    }

    #[test]
    fn an_end_that_begins_anew_is_added_and_one_that_goes_on_is_not() {
        let mut anew = Summary::default();
        let mut on = Summary::default();
        for summary in [&mut anew, &mut on] {
            add(summary, &said("a", "one", 100));
            add(summary, &result("first", 100, 0.5));
            add(summary, &said("b", "two", 150));
        }
        add(&mut anew, &result("second", 150, 0.75));
        add(&mut on, &result("second", 250, 1.25));
        for summary in [anew, on] {
            let usage = summary.usage();
            assert_eq!(usage.sum.tokens.input, Some(250));
            assert_eq!(usage.sum.dollars, Some(1.25));
            assert_eq!(usage.sum.models["m"].dollars, Some(1.25));
            assert_eq!((usage.turns, usage.duration_ms), (Some(4), Some(2000)));
            assert_eq!(summary.answer(), Some("second"));
        }
    }

    #[test]
    fn codex_counts_its_thread_and_its_last_message_is_the_answer() {
        let mut summary = Summary::default();
        let turn = |input, output| {
            json!({"type": "turn.completed", "usage": {
                "input_tokens": input, "cached_input_tokens": 10, "output_tokens": output}})
        };
        let message = |text| {
            json!({"type": "item.completed", "item": {
                "id": "item_1", "type": "agent_message", "text": text}})
        };
        add(
            &mut summary,
            &json!({"type": "thread.started", "thread_id": "t"}),
        );
        add(&mut summary, &message("working"));
        add(&mut summary, &message("first"));
        assert_eq!(summary.answer(), None, "not before the turn has ended");
        add(&mut summary, &turn(100, 20));
        add(&mut summary, &message("second"));
        add(&mut summary, &turn(300, 50));
        assert_eq!(summary.answer(), Some("second"));
        let usage = summary.usage();
        assert_eq!(
            (usage.sum.tokens.input, usage.sum.tokens.output),
            (Some(290), Some(50))
        );
        assert_eq!(usage.sum.tokens.cached, Some(10));
        assert_eq!((usage.turns, usage.sum.tokens.stored), (Some(2), None));
        add(&mut summary, &message("not the end"));
        add(
            &mut summary,
            &json!({"type": "turn.failed", "error": {"message": "cut"}}),
        );
        assert_eq!(summary.answer(), Some("second"));
    }
}
