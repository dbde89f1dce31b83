//! What is written down of orders for the next worker, above all that one is about to
//! be sent.

use crate::{
    handover::{Fields, Reader},
    tree::node::Control,
};
use jiff::Timestamp;

/// What has happened to an order.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    /// A process has given it through a file.
    Given(u64, Control),
    /// It is about to be sent.
    Sending(u64),
    /// It has been carried out: the run that it started, and when.
    Done(u64, Option<(String, Timestamp)>),
    /// It has failed, with this number and in these words.
    Failed(u64, i32, String),
}

const GIVEN: u8 = 1;
const SENDING: u8 = 2;
const DONE: u8 = 3;
const FAILED: u8 = 4;

impl Record {
    pub(super) fn write(&self) -> Fields {
        let (kind, order) = match self {
            Self::Given(order, _) => (GIVEN, order),
            Self::Sending(order) => (SENDING, order),
            Self::Done(order, _) => (DONE, order),
            Self::Failed(order, ..) => (FAILED, order),
        };
        let record = Fields::new().byte(kind).number(*order);
        match self {
            Self::Given(_, Control::Start(id)) => record.byte(0).text(id),
            Self::Given(_, Control::Cancel(id)) => record.byte(1).text(id),
            Self::Sending(_) | Self::Done(_, None) => record,
            Self::Done(_, Some((run, at))) => record.text(run).text(&at.to_string()),
            Self::Failed(_, errno, message) => {
                record.number(u64::from(errno.unsigned_abs())).text(message)
            }
        }
    }

    pub(super) fn read(record: &mut Reader<'_>) -> Option<Self> {
        let (kind, order) = (record.byte()?, record.number()?);
        Some(match kind {
            GIVEN => {
                let kind = record.byte()?;
                let id = record.text()?.into();
                let control = match kind {
                    0 => Control::Start(id),
                    _ => Control::Cancel(id),
                };
                Self::Given(order, control)
            }
            SENDING => Self::Sending(order),
            DONE => {
                let run = record.text().map(str::to_owned);
                let at = record.text().and_then(|at| at.parse().ok());
                Self::Done(order, run.zip(at))
            }
            FAILED => {
                let errno = i32::try_from(record.number()?).ok()?;
                Self::Failed(order, errno, record.text()?.to_owned())
            }
            _ => return None,
        })
    }
}
