//! How the last of an hour's allowance is spent: refreshes slow down, so that
//! what nobody has read yet can still be asked for.

use crate::{api::RateLimit, tree::Tree};
use std::time::Duration;

/// So many times longer do answers stand when this share of the allowance, in
/// percent, or more is left.
const STEPS: [(u64, u32); 4] = [(20, 1), (10, 2), (5, 5), (0, 10)];

/// By how much refreshes slow down at `now`, in Unix seconds.
fn factor(told: Option<RateLimit>, now: u64) -> u32 {
    let Some(told) = told.filter(|told| told.limit > 0 && told.reset > now) else {
        return 1;
    };
    let left = told.remaining.saturating_mul(100) / told.limit;
    let step = STEPS.iter().find(|(share, _)| left >= *share);
    step.map_or(1, |(_, factor)| *factor)
}

impl Tree {
    /// How many times longer than usual an answer stands.
    pub(in crate::tree) fn thrift(&self) -> u32 {
        let now = u64::try_from(self.api.now().as_second()).unwrap_or(0);
        factor(self.api.calls().rate_limit, now)
    }

    /// For how long listings and live objects stand.
    pub(in crate::tree) fn list_ttl(&self) -> Duration {
        self.options.list_ttl * self.thrift()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_slower() {
        let left = |remaining| {
            let told = RateLimit {
                limit: 5_000,
                remaining,
                reset: 100,
            };
            factor(Some(told), 99)
        };
        assert_eq!(
            [5_000, 1_000, 999, 500, 499, 250, 249, 0].map(left),
            [1, 1, 2, 2, 5, 5, 10, 10]
        );
        let over = RateLimit {
            limit: 5_000,
            remaining: 0,
            reset: 99,
        };
        assert_eq!(factor(Some(over), 99), 1, "the hour is over");
        assert_eq!(factor(None, 99), 1);
    }
}
