//! Locks as the rest of the program uses them: those of the standard library, where a
//! thread that panicked while it held one does not make it unusable. Each lock guards
//! one map for the length of one lookup or insertion, so that what it guards is whole
//! at any moment; and a fetch that panics must not take the mount with it.

use std::{
    sync::{self, LockResult, PoisonError, TryLockError},
    time::Duration,
};

pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

fn sound<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// A mutex.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// What it guards, where no thread can hold it any more.
    pub fn into_inner(self) -> T {
        sound(self.0.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until this thread has it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        sound(self.0.lock())
    }

    /// Takes it if no other thread has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no thread writes.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        sound(self.0.read())
    }

    /// Waits until this thread has it alone.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        sound(self.0.write())
    }
}

/// A condition that threads wait for with a [`Mutex`] in hand.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition for which no thread waits.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Waits until another thread notifies.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        sound(self.0.wait(guard))
    }

    /// The same for so long at the most; and whether that time has passed.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, timeout) = sound(self.0.wait_timeout(guard, time));
        (guard, timeout.timed_out())
    }

    /// Wakes one thread that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_lock_outlives_a_panic_of_the_thread_that_held_it() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        thread::scope(|scope| {
            let died = scope
                .spawn(|| {
                    let (mut held, mut written) = (mutex.lock(), lock.write());
                    (*held, *written) = (2, 2);
                    panic!("on purpose");
                })
                .join();
            assert!(died.is_err());
        });
        assert_eq!((*mutex.lock(), *lock.read()), (2, 2));
        assert_eq!(mutex.try_lock().map(|guard| *guard), Some(2));
        let held = mutex.lock();
        assert!(mutex.try_lock().is_none());
        drop(held);
        assert_eq!(mutex.into_inner(), 2);
    }
}
