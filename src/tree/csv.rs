//! Rows of CSV (RFC 4180), for programs and for spreadsheets.
//!
//! A row is a line (`wc -l`, `grep`, `tail -f`): control characters in a cell
//! become spaces. Lines end as Unix tools have it and as every reader of CSV
//! allows, without a carriage return: `cut` and `awk` would take that for a part
//! of the last column. There is no byte order mark: `sqlite3`, `jq` and `awk`
//! would take it for a part of the first name.
//!
//! # Formulas
//!
//! What agents and users write reaches spreadsheets, which run a cell that begins
//! with `=`, `+`, `-` or `@` (or with the wide form that Japanese keyboards give)
//! as a formula, and a formula can start programs or send a file away (OWASP, "CSV
//! Injection"). Such a cell gets a `'` in front, which spreadsheets know as the
//! mark of text. Where a comma is the decimal point, spreadsheets take `;` for what
//! separates cells, in quotes too: a `;` with the beginning of a formula behind
//! it gets the same mark. Numbers stay numbers.

use std::borrow::Cow;

/// What a formula begins with.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Appends a row with so many cells; `None` is an empty one.
pub(super) fn push_row<'a>(out: &mut String, cells: impl IntoIterator<Item = Option<&'a str>>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        push_cell(out, cell.unwrap_or_default());
    }
    out.push('\n');
}

fn push_cell(out: &mut String, cell: &str) {
    let mut cell = Cow::from(cell);
    if cell.contains(char::is_control) {
        cell = cell.replace(char::is_control, " ").into();
    }
    if !is_number(&cell) {
        cell = marked(cell);
    }
    if cell.contains([',', ';', '"']) {
        out.extend(["\"", &cell.replace('"', "\"\""), "\""]);
    } else {
        out.push_str(&cell);
    }
}

/// Whether spreadsheets take it for a number, with a sign or without.
fn is_number(cell: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    cell.chars().all(is_part) && cell.parse::<f64>().is_ok()
}

/// Whether a formula begins there, behind what spreadsheets pass over.
fn begins_formula(text: &str) -> bool {
    text.trim_start_matches([' ', '"']).starts_with(FORMULA)
}

/// The text with a `'` before each beginning of a formula, and before a space at
/// its beginning: some programs drop that with what follows.
fn marked(cell: Cow<'_, str>) -> Cow<'_, str> {
    let first = cell.starts_with(' ') || begins_formula(&cell);
    let has_more = cell.split(';').skip(1).any(begins_formula);
    if !first && !has_more {
        return cell;
    }
    let mut out = String::with_capacity(cell.len() + 8);
    for (number, part) in cell.split(';').enumerate() {
        if number > 0 {
            out.push(';');
        }
        if number == 0 && first || number > 0 && begins_formula(part) {
            out.push('\'');
        }
        out.push_str(part);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_a_formula() {
        for (cell, written) in [
            ("", ""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\r\nb\tc\u{1b}", "a  b c "),
            ("-1.5", "-1.5"),
            ("+3e2", "+3e2"),
            ("-inf", "'-inf"),
            ("=1+1", "'=1+1"),
            ("\t=1+1", "' =1+1"),
            ("\"=1+1\"", "\"'\"\"=1+1\"\"\""),
            ("＝1+1", "'＝1+1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("- one - two", "'- one - two"),
            ("a;b", "\"a;b\""),
            ("a;=1+1;b", "\"a;'=1+1;b\""),
            ("a; \"-1+1", "\"a;' \"\"-1+1\""),
            ("1;-2", "\"1;'-2\""),
        ] {
            let mut out = String::new();
            push_row(&mut out, [Some(cell), None]);
            assert_eq!(out, format!("{written},\n"), "{cell:?}");
        }
    }
}
