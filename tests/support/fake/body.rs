//! The body of an answer: it counts its bytes, and stops, breaks off or slows down
//! as a fault asks.

use super::journal::Exchange;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// What happens to a body on its way.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The body stops after so many bytes.
    pub(super) stall: Option<u64>,
    /// The connection is cut after so many bytes.
    pub(super) truncate: Option<u64>,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
    /// Whether hyper must not know the length: it insists on the true one.
    pub(super) hides_length: bool,
}

/// How long a cut waits, so that the bytes before it arrive.
const CUT_DELAY: Duration = Duration::from_millis(30);

/// A body that counts its bytes and follows a [`Plan`].
pub(super) struct Served {
    inner: Body,
    plan: Plan,
    exchange: Arc<Exchange>,
    sent: u64,
    started: Instant,
    /// Taken from `inner`, not yet given.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the wait before a cut is over.
    cut: bool,
}

impl Served {
    pub(super) fn new(inner: Body, plan: Plan, exchange: Arc<Exchange>) -> Self {
        if inner.is_end_stream() {
            exchange.finish();
        }
        Self {
            inner,
            plan,
            exchange,
            sent: 0,
            started: Instant::now(),
            rest: Bytes::new(),
            sleep: None,
            cut: false,
        }
    }

    /// Bytes that may be sent at once; `None` when the plan allows no more.
    fn allowance(&self) -> Option<u64> {
        let end = [self.plan.stall, self.plan.truncate]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX);
        let left = end.saturating_sub(self.sent);
        // Twenty pieces a second are smooth enough, with few timers.
        let piece = self.plan.rate.map_or(u64::MAX, |rate| (rate / 20).max(1));
        (left > 0).then_some(left.min(piece))
    }
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if let Some(sleep) = &mut this.sleep {
            ready!(sleep.as_mut().poll(context));
            this.sleep = None;
        }
        let Some(allowance) = this.allowance() else {
            if this.plan.stall.is_some_and(|after| after <= this.sent) {
                return Poll::Pending;
            }
            if !this.cut {
                this.cut = true;
                let mut sleep = Box::pin(tokio::time::sleep(CUT_DELAY));
                if sleep.as_mut().poll(context).is_pending() {
                    this.sleep = Some(sleep);
                    return Poll::Pending;
                }
            }
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault");
            return Poll::Ready(Some(Err(error.into())));
        };
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => this.rest = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.exchange.finish();
                    return Poll::Ready(None);
                }
            }
        }
        let length = usize::try_from(allowance)
            .unwrap_or(usize::MAX)
            .min(this.rest.len());
        let piece = this.rest.split_to(length);
        this.sent += piece.len() as u64;
        this.exchange.sent(this.sent);
        if this.rest.is_empty() && this.inner.is_end_stream() {
            this.exchange.finish();
        }
        if let Some(rate) = this.plan.rate {
            let due = Duration::from_micros(this.sent.saturating_mul(1_000_000) / rate);
            this.sleep = Some(Box::pin(tokio::time::sleep_until(this.started + due)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.plan.hides_length && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.plan.hides_length {
            return SizeHint::default();
        }
        let mut hint = self.inner.size_hint();
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + self.rest.len() as u64);
        }
        hint
    }
}
