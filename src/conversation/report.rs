//! `report.html`: one self-contained page of a run, for a browser. It has no
//! script and fetches nothing; all that an agent or a user wrote is escaped.

mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod page;
mod pieces;
mod text;
mod threads;

pub(crate) use facts::Facts;
pub(crate) use page::page;
pub(crate) use threads::Threads;

#[cfg(test)]
mod tests;
