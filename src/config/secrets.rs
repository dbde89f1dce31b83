//! Secrets stay in this process: not in the environment of what it starts, not in a
//! core file.

use super::environment::{AWS_SECRETS, Environment, TOKENS};
use crate::error::{Error, Result};
use nix::sys::resource::{Resource, setrlimit};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    ffi::OsString,
    fs::File,
    io::{Seek, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::FileExt,
        },
    },
};

/// The longest text of secrets: a few tokens of some hundred bytes.
const LONGEST: usize = 64 << 10;

/// Takes the secrets' variables out of the environment that children inherit
/// (`fusermount3` and the like have no use for it), and forbids core files, which
/// hold all that is in memory. To be called while the process has one thread,
/// after the environment was read.
pub fn keep() {
    for variable in TOKENS.iter().chain(&AWS_SECRETS) {
        // SAFETY: changing the environment is safe while no other thread can read it:
        // none has been started yet.
        #[expect(unsafe_code, reason = "there is no safe way to do it")]
        unsafe {
            std::env::remove_var(variable);
        }
    }
    // One byte, not none: then the kernel gives no core to a program either
    // (`core_pattern` with a pipe), for which none is no limit (`fs/coredump.c`).
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 1, 1) {
        tracing::debug!("core files stay possible: {error}");
    }
}

/// The secrets' variables that are set.
pub fn set(environment: &Environment) -> impl Iterator<Item = (&OsString, &OsString)> {
    let names = TOKENS.iter().chain(&AWS_SECRETS).map(OsString::from);
    names.filter_map(|name| environment.variables.get_key_value(&name))
}

/// The secrets' variables in a file in memory, for a process that hands them on and
/// need not know them; `None` where there are none.
///
/// # Errors
/// Where there is no memory.
pub fn hand_on(environment: &Environment) -> Result<Option<OwnedFd>> {
    let mut text = Vec::new();
    for (name, value) in set(environment) {
        let parts = [name.as_bytes(), b"=", value.as_bytes(), b"\0"];
        parts.iter().for_each(|part| text.extend_from_slice(part));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let file = memfd_create("vm0fs-secrets", MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
    let written = file.and_then(|fd| {
        let mut file = File::from(fd);
        file.write_all(&text)?;
        file.rewind()?;
        Ok(file.into())
    });
    written
        .map(Some)
        .map_err(|error| Error::io("handing on the token", error))
}

/// Adds to the environment what [`hand_on`] wrote. The file stays as it is: it is read
/// again by the next process.
///
/// # Errors
/// Where it cannot be read.
pub fn receive(file: &OwnedFd, environment: &mut Environment) -> Result<()> {
    let unreadable = |error| Error::io("reading the token that was handed on", error);
    let fd = file.as_fd().try_clone_to_owned().map_err(unreadable)?;
    let mut text = vec![0; LONGEST];
    let length = File::from(fd).read_at(&mut text, 0).map_err(unreadable)?;
    for variable in text[..length].split(|byte| *byte == 0) {
        if let Some(end) = variable.iter().position(|byte| *byte == b'=') {
            let [name, value] = [&variable[..end], &variable[end + 1..]]
                .map(|part| OsString::from_vec(part.to_vec()));
            environment.variables.insert(name, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_reach_another_process_and_nothing_else_does() {
        let mut environment = Environment::default();
        assert!(hand_on(&environment).unwrap().is_none());
        for (name, value) in [
            ("VM0_TOKEN", "a=b\n"),
            ("AWS_SECRET_ACCESS_KEY", "k"),
            ("HOME", "h"),
        ] {
            environment.variables.insert(name.into(), value.into());
        }
        let file = hand_on(&environment).unwrap().unwrap();
        for _ in 0..2 {
            let mut other = Environment::default();
            receive(&file, &mut other).unwrap();
            environment.variables.remove(&OsString::from("HOME"));
            assert_eq!(other.variables, environment.variables);
        }
    }
}
