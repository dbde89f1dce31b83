//! How an agent's work ended and what it cost: by what its program tells at the end of
//! each query or turn, and until then by the model's messages.

use super::event::{End, Event, ModelUse, Part, Speaker, Spent, Tokens, sum};
use crate::humanize::dollars;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Add,
};

/// The sum of the ends so far.
#[derive(Clone, Debug, Default)]
struct Ended {
    turns: Option<u64>,
    milliseconds: Option<u64>,
    /// The queries whose numbers no later end counts again.
    closed: Sum,
    /// The last query, whose numbers a later end may count again.
    last: Sum,
}

/// Tokens and cost.
#[derive(Clone, Debug, Default)]
struct Sum {
    dollars: Option<f64>,
    tokens: Option<Tokens>,
    models: BTreeMap<String, ModelUse>,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.dollars = sum(self.dollars, other.dollars, f64::add);
        self.add_tokens(other.tokens.as_ref());
        for (name, usage) in &other.models {
            let total = self.models.entry(name.clone()).or_default();
            total.tokens.add(&usage.tokens);
            total.dollars = sum(total.dollars, usage.dollars, f64::add);
        }
    }

    fn add_tokens(&mut self, tokens: Option<&Tokens>) {
        if let Some(tokens) = tokens {
            self.tokens.get_or_insert_default().add(tokens);
        }
    }
}

/// An agent's work as a whole, added up from its events in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    ended: Ended,
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
    /// US dollars.
    pub(crate) cost_usd: Option<f64>,
    /// See [`Tokens`].
    pub(crate) input_tokens: Option<u64>,
    /// See [`Tokens`].
    pub(crate) output_tokens: Option<u64>,
    /// See [`Tokens`].
    pub(crate) cache_read_input_tokens: Option<u64>,
    /// See [`Tokens`].
    pub(crate) cache_creation_input_tokens: Option<u64>,
    /// The same by model, with those of subagents and of the program's own helpers.
    pub(crate) models: BTreeMap<String, ModelUse>,
}

impl Usage {
    /// The facts that people ask for first, each with its name, as far as events tell
    /// them.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tokens = self.input_tokens.zip(self.output_tokens);
        let tokens = tokens.map(|(input, output)| Tokens {
            input,
            output,
            cached: self.cache_read_input_tokens.unwrap_or(0),
            stored: self.cache_creation_input_tokens,
        });
        let facts = [
            ("Turns", self.turns.map(|turns| turns.to_string())),
            ("Tokens", tokens.map(|tokens| tokens.line(""))),
            ("Cost", self.cost_usd.map(dollars)),
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
        let ended = &mut self.ended;
        ended.turns = sum(ended.turns, end.turns, u64::saturating_add);
        ended.milliseconds = sum(ended.milliseconds, end.milliseconds, u64::saturating_add);
        let sum = Sum {
            dollars: end.dollars,
            tokens: end.tokens,
            models: end.models.clone(),
        };
        let counts_again = self.counts_again(end);
        let last = std::mem::replace(&mut self.ended.last, sum);
        if !counts_again {
            self.ended.closed.add(&last);
        }
        self.since.clear();
    }

    /// Whether an end's numbers include those of the end before: a program that goes on
    /// counts on, and one that was started again for a continued run counts from zero.
    fn counts_again(&self, end: &End) -> bool {
        let (Some(tokens), Some(last)) = (&end.tokens, &self.ended.last.tokens) else {
            return false;
        };
        if !tokens.continues(last) {
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
        let mut sum = self.ended.closed.clone();
        sum.add(&self.ended.last);
        // The messages that no end has counted yet.
        let mut rest = Sum::default();
        for spent in self.since.iter().filter_map(|id| self.messages.get(id)) {
            rest.add_tokens(Some(&spent.tokens));
            if let Some(model) = &spent.model {
                rest.models
                    .entry(model.clone())
                    .or_default()
                    .tokens
                    .add(&spent.tokens);
            }
        }
        sum.add(&rest);
        let tokens = sum.tokens;
        Usage {
            turns: self.ended.turns,
            duration_ms: self.ended.milliseconds,
            cost_usd: sum.dollars,
            input_tokens: tokens.map(|tokens| tokens.input),
            output_tokens: tokens.map(|tokens| tokens.output),
            cache_read_input_tokens: tokens.map(|tokens| tokens.cached),
            cache_creation_input_tokens: tokens.and_then(|tokens| tokens.stored),
            models: sum.models,
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
        assert_eq!(usage.input_tokens, Some(17));
        assert_eq!((usage.turns, usage.cost_usd), (None, None));
        assert_eq!(usage.models["m"].tokens.input, 17);
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
            assert_eq!(usage.input_tokens, Some(250));
            assert_eq!(usage.cost_usd, Some(1.25));
            assert_eq!(usage.models["m"].dollars, Some(1.25));
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
            (usage.input_tokens, usage.output_tokens),
            (Some(290), Some(50))
        );
        assert_eq!(usage.cache_read_input_tokens, Some(10));
        assert_eq!(
            (usage.turns, usage.cache_creation_input_tokens),
            (Some(2), None)
        );
        add(&mut summary, &message("not the end"));
        add(
            &mut summary,
            &json!({"type": "turn.failed", "error": {"message": "cut"}}),
        );
        assert_eq!(summary.answer(), Some("second"));
    }
}
