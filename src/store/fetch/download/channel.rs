//! The way of a part's bytes from the task that fetches them to the reader.

use super::get::Failed;
use bytes::Bytes;
use std::{future, mem, pin::pin};
use tokio::{select, sync::mpsc};

/// Chunks of a part on their way: with the default sizes all of a part and its end, so
/// that a part can end before the reader reaches it. The first part, which is larger, is
/// read first.
const CHUNKS: usize = 18;

/// A part as the reader gets it: an empty chunk is its end.
pub(super) type Chunks = mpsc::Receiver<Result<Bytes, Failed>>;

/// Where the bytes of a part come in.
pub(super) struct Outlet {
    chunks: mpsc::Sender<Result<Bytes, Failed>>,
    /// Bytes that the reader does not wait for are joined to chunks of one size: the
    /// buffers in which they came from the network take several times their memory.
    joined: Vec<u8>,
    size: usize,
}

impl Outlet {
    /// The channel of a part.
    pub(super) fn new(size: usize) -> (Self, Chunks) {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let outlet = Self {
            chunks: sender,
            joined: Vec::new(),
            size,
        };
        (outlet, chunks)
    }

    /// Sends bytes: at once if the reader has taken all bytes before them.
    pub(super) async fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.joined.is_empty() && self.chunks.capacity() == CHUNKS {
            return self.send(Ok(chunk)).await;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let room = self.size - self.joined.len();
            self.joined.reserve_exact(room);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.joined.extend_from_slice(now);
            if self.joined.len() == self.size {
                self.flush().await;
            }
            rest = later;
        }
    }

    /// Ends the part, by a failure or because it is complete.
    pub(super) async fn end(mut self, result: Result<(), Failed>) {
        self.flush().await;
        self.send(result.map(|()| Bytes::new())).await;
    }

    /// Waits for `event`. What was joined is sent meanwhile if the reader waits for it.
    pub(super) async fn meanwhile<T>(&mut self, event: impl Future<Output = T>) -> T {
        let mut event = pin!(event);
        loop {
            select! {
                biased;
                value = &mut event => return value,
                () = self.wanted() => self.flush().await,
            }
        }
    }

    /// Waits until there are joined bytes, and the reader has taken all before them.
    async fn wanted(&self) {
        match self.joined.is_empty() {
            true => future::pending().await,
            false => drop(self.chunks.reserve_many(CHUNKS).await),
        }
    }

    async fn flush(&mut self) {
        if !self.joined.is_empty() {
            let chunk = mem::take(&mut self.joined).into();
            self.send(Ok(chunk)).await;
        }
    }

    async fn send(&self, chunk: Result<Bytes, Failed>) {
        // Without a reader, the task is about to be ended.
        let _ = self.chunks.send(chunk).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::time::Duration;
    use tokio::{runtime, time::timeout};

    fn block_on<T>(event: impl Future<Output = T>) -> T {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build().unwrap();
        // Longer than anything here takes, shorter than a hang.
        runtime.block_on(async { timeout(Duration::from_secs(10), event).await.unwrap() })
    }

    fn bytes(from: usize, to: usize) -> Bytes {
        (from..to).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn a_whole_part_fits_however_it_was_cut() {
        const SIZE: usize = 100;
        for step in [1, 7, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE, 16 * SIZE] {
            block_on(async {
                let (mut outlet, mut chunks) = Outlet::new(SIZE);
                for at in (0..16 * SIZE).step_by(step) {
                    outlet.push(bytes(at, (at + step).min(16 * SIZE))).await;
                }
                outlet.end(Ok(())).await;
                let mut came = Vec::new();
                loop {
                    let chunk = chunks.recv().await.unwrap().unwrap();
                    if chunk.is_empty() {
                        break;
                    }
                    came.extend_from_slice(&chunk);
                }
                assert!(came == bytes(0, 16 * SIZE), "steps of {step}");
                assert!(chunks.recv().await.is_none());
            });
        }
    }

    #[test]
    fn the_reader_gets_what_came_without_waiting_for_more() {
        block_on(async {
            let (mut outlet, mut chunks) = Outlet::new(100);
            outlet.push(bytes(0, 10)).await;
            outlet.push(bytes(10, 12)).await;
            outlet.push(Bytes::new()).await;
            outlet.push(bytes(12, 20)).await;
            let reader = async {
                let first = chunks.recv().await.unwrap().unwrap();
                (first, chunks.recv().await.unwrap().unwrap())
            };
            // Not at once, but although nothing more comes.
            let came = outlet.meanwhile(reader).await;
            assert_eq!(came, (bytes(0, 10), bytes(10, 20)));
            outlet.push(bytes(20, 25)).await;
            let failed = Error::NotFound("object".into()).into();
            outlet.end(Err(failed)).await;
            assert_eq!(chunks.recv().await.unwrap().unwrap(), bytes(20, 25));
            let failed = chunks.recv().await.unwrap().unwrap_err();
            assert!(failed.error.is_not_found());
        });
    }

    #[test]
    fn a_part_waits_for_a_reader_that_is_behind_and_ends_without_one() {
        block_on(async {
            let (mut outlet, mut chunks) = Outlet::new(100);
            let pushed = timeout(Duration::from_millis(50), async {
                for at in 0.. {
                    outlet.push(bytes(at, at + 1)).await;
                }
            });
            assert!(pushed.await.is_err());
            let mut count = 0;
            while let Ok(chunk) = chunks.try_recv() {
                count += chunk.unwrap().len();
            }
            assert_eq!(count, 1 + (CHUNKS - 1) * 100);
            drop(chunks);
            outlet.push(bytes(0, 1000)).await;
            outlet.end(Ok(())).await;
        });
    }
}
