//! Values as people write them: sizes (`50MB`, `10GiB`) and durations (`500ms`,
//! `2m`).

use crate::humanize::size;
use std::{str::FromStr, time::Duration};

/// Bytes in each unit. A bare letter is binary, as in `du`, `ls` and systemd.
const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Milliseconds in an hour.
pub const HOUR: u64 = 3_600_000;

/// Milliseconds in each unit.
const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", HOUR),
    ("d", 86_400_000),
];

/// A number of bytes, written `4096`, `1_000`, `50MB`, `1.5 GiB`, `10g`; when it is read, no
/// smaller one than `LEAST` is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize<const LEAST: u64 = 0>(pub u64);

impl<const LEAST: u64> FromStr for ByteSize<LEAST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse(text, &SIZES) {
            Some(bytes) if bytes < LEAST => {
                Err(format!("{text:?} is too small: at least {}", size(LEAST)))
            }
            Some(bytes) => Ok(Self(bytes)),
            None => Err(format!(
                "{text:?} is not a size; write it like 50MB, 10GiB or 4096"
            )),
        }
    }
}

/// A length of time, written with its unit: `500ms`, `3s`, `1.5m`, `1h`; when it is read,
/// none is taken that is shorter than `LEAST` or longer than `MOST`, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<const LEAST: u64 = 0, const MOST: u64 = { u64::MAX }>(pub Duration);

impl<const LEAST: u64, const MOST: u64> FromStr for Span<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(milliseconds) = parse(text, &DURATIONS) else {
            return Err(format!(
                "{text:?} is not a duration; write it like 500ms, 3s, 2m, 1h or 7d"
            ));
        };
        let [time, least, most] = [milliseconds, LEAST, MOST].map(Duration::from_millis);
        if time < least {
            return Err(format!("{text:?} is too short: at least {}", shown(least)));
        }
        if time > most {
            return Err(format!("{text:?} is too long: at most {}", shown(most)));
        }
        Ok(Self(time))
    }
}

impl<const LEAST: u64, const MOST: u64> From<Span<LEAST, MOST>> for Duration {
    fn from(span: Span<LEAST, MOST>) -> Self {
        span.0
    }
}

/// A bound as users write it.
fn shown(time: Duration) -> String {
    match time.as_secs() / 3600 {
        0 => format!("{time:?}"),
        hours => format!("{hours}h"),
    }
}

/// `number unit` in the units' base, rounded down; the unit in any case.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let is_meant = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
    let &(_, factor) = units.iter().find(is_meant)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| {
        let valid = part.starts_with(|c: char| c.is_ascii_digit()) && !part.ends_with('_');
        valid.then(|| part.replace('_', ""))
    };
    let (whole, fraction) = (digits(whole)?, digits(fraction)?);
    // Nine digits are finer than a byte of a gigabyte.
    let fraction = fraction.get(..fraction.len().min(9))?;
    let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / u128::from(scale);
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Reads a number of rows or lines.
///
/// # Errors
/// For anything else, as a sentence for the user.
pub fn whole_number(text: &str) -> Result<usize, String> {
    let number = text.parse();
    number.map_err(|_| format!("{text:?} is not a whole number; write it like 20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_units_of_a_thousand_and_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1_000", 1000),
            ("50MB", 50_000_000),
            ("50 mb", 50_000_000),
            ("10GiB", 10 << 30),
            ("10g", 10 << 30),
            ("1.5KiB", 1536),
            ("0.1b", 0),
            ("2TB", 2_000_000_000_000),
            ("1.9999999999999999999KB", 1999),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1e3",
            "10 apples",
            "1..2",
            ".5",
            "1.",
            "_1",
            "1_",
            "99999999TB",
            "18446744073709551616",
            "１MB",
            "10GiBB",
            "0x10",
        ] {
            let message = text.parse::<ByteSize>().expect_err(text);
            assert!(message.contains("10GiB"), "{message}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("3s", 3_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1.5S", 1_500),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(
                text.parse::<Span>().map(Duration::from),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "s",
            "3 weeks",
            "1m30s",
            "-3s",
            "99999999999999999999s",
        ] {
            let message = text.parse::<Span>().expect_err(text);
            assert!(message.contains("500ms"), "{message}");
        }
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_the_bound() {
        let told = |result: Result<(), String>| result.expect_err("it is out of bounds");
        let read = |text: &str| text.parse::<ByteSize<4096>>().map(drop);
        assert_eq!(read("4KiB"), Ok(()));
        assert_eq!(
            told(read("4095")),
            "\"4095\" is too small: at least 4.0 KiB"
        );
        let read = |text: &str| text.parse::<Span<100, { 2 * HOUR }>>().map(drop);
        assert_eq!((read("100ms"), read("2h")), (Ok(()), Ok(())));
        assert_eq!(told(read("99ms")), "\"99ms\" is too short: at least 100ms");
        assert_eq!(told(read("1d")), "\"1d\" is too long: at most 2h");
        let read = |text: &str| text.parse::<Span<HOUR>>().map(drop);
        assert_eq!(told(read("59m")), "\"59m\" is too short: at least 1h");
    }
}
