//! Tokens that a session uses, and what they cost.

use serde_json::{Value, json};

/// Tokens, as the API of Claude counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) cache_creation: u64,
    pub(super) cache_read: u64,
    pub(super) output: u64,
}

/// Dollars for a million tokens: input, written to the cache, read from the
/// cache, output.
type Prices = [f64; 4];

/// The two models that the demo's agents use, and their list prices.
pub(super) const SONNET: (&str, Prices) = ("claude-sonnet-4-5-20250929", [3.0, 3.75, 0.3, 15.0]);
pub(super) const HAIKU: (&str, Prices) = ("claude-haiku-4-5-20251001", [1.0, 1.25, 0.1, 5.0]);

impl Usage {
    pub(super) fn add(&mut self, other: Self) {
        self.input += other.input;
        self.cache_creation += other.cache_creation;
        self.cache_read += other.cache_read;
        self.output += other.output;
    }

    /// Dollars, to a hundredth of a cent.
    pub(super) fn cost(self, prices: Prices) -> f64 {
        let tokens = [
            self.input,
            self.cache_creation,
            self.cache_read,
            self.output,
        ];
        let pairs = tokens.into_iter().zip(prices);
        let millionths: f64 = pairs.map(|(tokens, price)| tokens as f64 * price).sum();
        (millionths / 100.0).round() / 10_000.0
    }

    /// As a message and a result report it.
    pub(super) fn json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_creation,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_creation,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": self.output,
            "service_tier": "standard",
        })
    }

    /// As a result reports it for each model.
    pub(super) fn of_model(self, prices: Prices) -> Value {
        json!({
            "inputTokens": self.input,
            "outputTokens": self.output,
            "cacheReadInputTokens": self.cache_read,
            "cacheCreationInputTokens": self.cache_creation,
            "webSearchRequests": 0,
            "costUSD": self.cost(prices),
            "contextWindow": 200_000,
        })
    }
}
