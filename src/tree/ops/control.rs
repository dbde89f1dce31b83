//! Control files: what a process writes to one becomes an order to the service,
//! which is given once.
//!
//! `agents/<name>/run` starts a run with all that is written until the last writer
//! closes it; any byte written to `runs/<id>/cancel` cancels the run.

use crate::{
    error::Error,
    tree::{
        cache::Lookup,
        fetch_key::{Answer, FetchKey, Fetchable, Miss},
        node::{Control, Node},
        ops::attributes::Stat,
        orders::{WriteRequest, Writing, not_yours},
        view::View,
    },
};

impl View<'_> {
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
            return Err(not_yours().into());
        }
        if let Some((writing, size)) = cut {
            writing.truncate(size)?;
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

    /// Takes a write to a control file.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has started its run; ENOSPC where
    /// it cannot be kept for the next worker; what a cancel fails with.
    pub fn write(&self, writing: &Writing, write: &WriteRequest<'_>) -> Answer<()> {
        if write.data.is_empty() {
            return Ok(());
        }
        match self.tree.orders.write(writing, write)? {
            Some(order) => self.outcome(writing.control(), order),
            None => Ok(()),
        }
    }

    /// Ends the writing of a control file: what was written becomes an order.
    ///
    /// # Errors
    /// EINVAL for a request that is not valid, and what the order fails with.
    pub fn finish(&self, writing: &Writing) -> Answer<()> {
        let (tree, control) = (self.tree, writing.control());
        let failures = tree.answers.failures();
        let refused = |error: &Error| failures.note(&control.to_string(), error);
        match tree.orders.finish(writing).inspect_err(refused)? {
            Some(order) => self.outcome(control, order),
            None => Ok(()),
        }
    }

    /// What came of an order; asks for it to be carried out where nothing has.
    fn outcome(&self, control: &Control, order: u64) -> Answer<()> {
        match self.tree.orders.outcome(order, self.since) {
            Lookup::Fresh(..) => Ok(()),
            Lookup::Failed(error) => Err(error.into()),
            Lookup::Missing => {
                let order = Fetchable::Order(control.clone(), order);
                Err(Miss::Fetch(FetchKey(order)))
            }
        }
    }
}
