//! Descriptors that a process gets from the one that started it, by their numbers in
//! its arguments.

use crate::error::{Error, Result};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// In place of a descriptor that there is not.
const NONE: &str = "-";

/// The numbers of descriptors, as [`take`] reads them.
pub(super) fn numbers(fds: &[Option<BorrowedFd<'_>>]) -> String {
    let number = |fd: &Option<BorrowedFd<'_>>| match fd {
        Some(fd) => fd.as_raw_fd().to_string(),
        None => NONE.into(),
    };
    fds.iter().map(number).collect::<Vec<_>>().join(",")
}

/// Lets a program that this process starts inherit a descriptor, or no longer.
pub(super) fn pass_on(fd: &impl AsFd, does: bool) -> Result<()> {
    let flags = match does {
        true => FdFlags::empty(),
        false => FdFlags::CLOEXEC,
    };
    fcntl_setfd(fd, flags).map_err(|errno| Error::io("passing on a descriptor", errno.into()))
}

/// The descriptors that [`numbers`] names, which programs that this one starts do not
/// inherit.
///
/// # Errors
/// Where the text is not of so many numbers of open descriptors.
pub(super) fn take<const N: usize>(text: &str) -> Result<[Option<OwnedFd>; N]> {
    let foreign =
        || Error::Setup("this option is not for users: vm0fs starts itself with it".into());
    let words: Vec<&str> = text.split(',').collect();
    let words: [&str; N] = words.try_into().map_err(|_| foreign())?;
    let mut numbers = [None; N];
    for (number, word) in numbers.iter_mut().zip(words) {
        if word != NONE {
            let named: i32 = word.parse().map_err(|_| foreign())?;
            if named <= 2 {
                return Err(foreign());
            }
            *number = Some(named);
        }
    }
    // Only now, when all of it has a meaning: what is taken is closed.
    let mut fds = [const { None }; N];
    for (fd, number) in fds.iter_mut().zip(numbers) {
        let Some(number) = number else { continue };
        // SAFETY: the number was opened for this process by the one that started it,
        // which names each once; it is checked to be open before it is used.
        #[expect(unsafe_code, reason = "an inherited descriptor is a number")]
        let (borrowed, owned) = unsafe {
            let borrowed = BorrowedFd::borrow_raw(number);
            (borrowed, |()| OwnedFd::from_raw_fd(number))
        };
        fcntl_getfd(borrowed).map_err(|_| foreign())?;
        let owned = owned(());
        pass_on(&owned, false)?;
        *fd = Some(owned);
    }
    Ok(fds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_name_open_descriptors() {
        let (one, other) = rustix::pipe::pipe().unwrap();
        let text = numbers(&[Some(one.as_fd()), None, Some(other.as_fd())]);
        let raw = (one.as_raw_fd(), other.as_raw_fd());
        std::mem::forget((one, other));
        let [one, none, other] = take(&text).unwrap();
        assert_eq!((one.unwrap().as_raw_fd(), other.unwrap().as_raw_fd()), raw);
        assert!(none.is_none());
        // A number that is open would be one of another test, and closed.
        for wrong in ["", "0", "1,2,3", "99999,-,x", "-,-,-,-", "99999,-,-"] {
            assert!(take::<3>(wrong).is_err(), "{wrong}");
        }
    }
}
