//! Files that are written: what somebody writes becomes an order to the
//! service, which is given once.
//!
//! `agents/<name>/run` takes all that is written until its last writer closes
//! it, for the text of a run to be started; `runs/<id>/cancel` takes any byte.

use crate::{
    error::Error,
    tree::{
        cache::Lookup,
        fetch_key::{Answer, FetchKey, Miss},
        node::{Control, Node},
        ops::handle::{Handle, Opened},
        ops::stat::Stat,
        orders::Writing,
        view::View,
    },
};

/// What is done through a control file is done with the token of whoever has
/// mounted.
pub(super) fn not_yours() -> Miss {
    Miss::Error(Error::Denied(
        "only whoever has mounted may use this".into(),
    ))
}

impl View<'_> {
    /// Opens a file to be written.
    ///
    /// # Errors
    /// EROFS for all but the control files; EACCES for a user who has not mounted.
    pub fn open_to_write(&self, ino: u64, is_owner: bool) -> Answer<Opened> {
        let node = self.node(ino)?;
        let Node::Control(control) = node else {
            return Err(Error::ReadOnly.into());
        };
        if !is_owner {
            return Err(not_yours());
        }
        Ok(Opened {
            handle: Handle::Control(Writing::new(control)),
            is_final: false,
        })
    }

    /// Lets mode, owner, times and length of a control file be set, which changes
    /// nothing but what has been written so far: programs that copy a file keep
    /// these, and would report a run that has started as a failure.
    ///
    /// # Errors
    /// EROFS for any other node; EACCES for a user who has not mounted.
    pub fn touch(&self, ino: u64, is_owner: bool, cut: Option<(&Writing, u64)>) -> Answer<Stat> {
        let node = self.node(ino)?;
        if !matches!(node, Node::Control(_)) {
            return Err(Error::ReadOnly.into());
        }
        if !is_owner {
            return Err(not_yours());
        }
        if let Some((writing, size)) = cut {
            writing.truncate(size);
        }
        self.stat(&node)
    }

    /// Why no extended attribute of a node can be set or removed. A control file
    /// is like one of a file system without any, so that programs which keep
    /// attributes go on without them.
    ///
    /// # Errors
    /// ESTALE for an unknown number.
    pub fn xattr_refusal(&self, ino: u64) -> Answer<Error> {
        Ok(match self.node(ino)? {
            Node::Control(_) => Error::NotSupported,
            _ => Error::ReadOnly,
        })
    }

    /// Takes what is written to a control file: at an offset, or at the end of
    /// what has been written so far. A file that is appended to says the latter:
    /// where the kernel takes its end to be depends on who looks at it meanwhile.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has done its work; for a
    /// cancel, whatever it fails with.
    pub fn write(&self, writing: &Writing, offset: Option<u64>, data: &[u8]) -> Answer<()> {
        if data.is_empty() {
            return Ok(());
        }
        match self.tree.orders.write(writing, offset, data)? {
            Some(order) => self.outcome(writing.control(), order),
            None => Ok(()),
        }
    }

    /// Ends the writing of a control file: what was written is ordered.
    ///
    /// # Errors
    /// EINVAL for a request that cannot be, and whatever the order fails with.
    pub fn finish(&self, writing: &Writing) -> Answer<()> {
        let Some((order, refused)) = self.tree.orders.finish(writing) else {
            return Ok(());
        };
        let control = writing.control();
        if let Some(error) = refused {
            let failures = self.tree.answers.failures();
            failures.note(&control.to_string(), &error);
        }
        self.outcome(control, order)
    }

    /// What came of an order; asks for it to be carried out where nothing has.
    fn outcome(&self, control: &Control, order: u64) -> Answer<()> {
        match self.tree.orders.outcome(order, self.since) {
            Lookup::Fresh(..) => Ok(()),
            Lookup::Failed(error) => Err(error.into()),
            Lookup::Missing => Err(Miss::Fetch(FetchKey::order(control.clone(), order))),
        }
    }
}
