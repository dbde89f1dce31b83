//! JSON as YAML, with every number as it was sent: a config can hold ids of more
//! digits than a double or 64 bits have.

use crate::error::{Error, Result};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::Value;
use std::cell::RefCell;

/// The YAML of a value.
///
/// # Errors
/// [`Error::Internal`] where the YAML library refuses it.
pub(super) fn yaml(value: &Value) -> Result<String> {
    let json = value.to_string();
    // The library writes numbers of the types that Rust has. In the place of any
    // other a word is written that is found nowhere in the value.
    let mut marks = (0_u64..).map(|n| format!("vm0fsNumber{n}x"));
    let mark = marks.find(|mark| !json.contains(mark)).unwrap_or_default();
    let numbers = RefCell::default();
    let part = Part {
        value,
        mark: &mark,
        numbers: &numbers,
    };
    let text = serde_saphyr::to_string(&part)
        .map_err(|error| Error::Internal(format!("config as YAML: {error}")))?;
    let mut pieces = text.split(mark.as_str());
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for (piece, number) in pieces.zip(numbers.into_inner()) {
        out.push_str(&number);
        out.push_str(piece);
    }
    Ok(out)
}

/// A value on its way to YAML.
struct Part<'a> {
    value: &'a Value,
    mark: &'a str,
    /// The numbers that marks stand for, in the order in which they are written.
    numbers: &'a RefCell<Vec<String>>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = |value| Part { value, ..*self };
        match self.value {
            Value::Array(values) => serializer.collect_seq(values.iter().map(part)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, part(value))))
            }
            Value::Number(number) => {
                let text = number.to_string();
                match text.parse::<i64>() {
                    Ok(number) if number.to_string() == text => serializer.serialize_i64(number),
                    _ => {
                        let numbers = self.numbers.try_borrow_mut();
                        numbers.map_err(S::Error::custom)?.push(plain(&text));
                        serializer.serialize_str(self.mark)
                    }
                }
            }
            other => other.serialize(serializer),
        }
    }
}

/// A JSON number as every YAML reader takes it for one: YAML 1.1 wants a point
/// before an exponent, and the exponent's sign (`tag:yaml.org,2002:float`).
fn plain(number: &str) -> String {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else {
        return number.to_owned();
    };
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) {
        ""
    } else {
        "+"
    };
    format!("{digits}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let json = r#"{"int": -7, "zero": -0, "wide": 18446744073709551616,
            "long": 0.12345678901234567890123, "money": 1.50, "list": [1e5, 1E-400, 2.5e+9],
            "text": "vm0fsNumber0x", "vm0fsNumber1x": 123456789012345678901234567890}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        let expected = "int: -7\nzero: -0\nwide: 18446744073709551616\n\
            long: 0.12345678901234567890123\nmoney: 1.50\nlist:\n- 1.0e+5\n- 1.0e-400\n\
            - 2.5e+9\ntext: vm0fsNumber0x\nvm0fsNumber1x: 123456789012345678901234567890\n";
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.trim().to_owned()).collect()
        };
        assert_eq!(lines(&yaml(&value).unwrap()), lines(expected));
    }

    #[test]
    fn other_values_are_written_as_the_library_writes_them() {
        let json = r#"{"a": null, "b": [], "c": {}, "d": ["x: y", "- z", "true", "1", "two\nlines"],
            "e": {"f": {"g": [{"h": false}, ["f"]]}}, "": "\u001b"}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        let text = yaml(&value).unwrap();
        assert_eq!(text, serde_saphyr::to_string(&value).unwrap());
    }
}
