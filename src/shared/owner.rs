//! Whose a file is, in words.

use nix::unistd::{Uid, User};
use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// The name of the user that a file belongs to; where the machine knows none, the number.
pub(super) fn owner(about: &Metadata) -> String {
    let user = User::from_uid(Uid::from_raw(about.uid()));
    match user {
        Ok(Some(user)) => user.name,
        _ => format!("user {}", about.uid()),
    }
}
