//! However a mount ends, it ends in order and within two seconds, even while requests hang.

mod following;
mod hanging;
mod signals;
mod unread;
