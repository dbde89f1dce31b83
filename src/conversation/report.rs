//! `report.html`: one self-contained page of a run, for a browser. It has no
//! script and fetches nothing; all that an agent or a user wrote is escaped.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod page;
mod pieces;
mod text;
mod threads;

pub(crate) use page::{Facts, page};
pub(crate) use threads::Threads;

#[cfg(test)]
mod tests;
