//! However a mount ends, it ends in order and within two seconds, whatever hangs.

mod following;
mod hanging;
mod signals;
mod unread;
