//! How the rest of an hour's rate limit is spent: refreshes slow down, so that calls
//! are left for what no process has read yet.

use crate::api::RateLimit;

/// Answers stay fresh this many times longer when this share of the limit, in
/// percent, or more is left.
const STEPS: [(u64, u32); 4] = [(20, 1), (10, 2), (5, 5), (0, 10)];

/// How many times longer than usual an answer stays fresh at `now`, in Unix seconds.
pub(super) fn slowdown(told: Option<RateLimit>, now: u64) -> u32 {
    let Some(told) = told.filter(|told| told.limit > 0 && told.reset > now) else {
        return 1;
    };
    let left = told.remaining.saturating_mul(100) / told.limit;
    let step = STEPS.iter().find(|(share, _)| left >= *share);
    step.map_or(1, |(_, times)| *times)
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
            slowdown(Some(told), 99)
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
        assert_eq!(slowdown(Some(over), 99), 1, "the hour is over");
        assert_eq!(slowdown(None, 99), 1);
    }
}
