//! Extended attributes `user.vm0.*`. They are answered from what is known
//! wherever that is enough: `ls -l` and file managers ask for attributes of
//! every file they show.

use super::{
    Answer, View, Want,
    node::{Node, RunFile},
    rows::{Age, Files},
};
use crate::{
    api::types::StorageKind,
    error::Error,
    store::{Index, NodeKind, Verified},
};
use std::sync::Arc;

/// The one kind of attributes that files here can have.
const USER: &[u8] = b"user.";

/// What all names begin with.
const PREFIX: &str = "user.vm0.";

/// Names without the prefix, with values.
type Attributes = Vec<(&'static str, Vec<u8>)>;

impl View<'_> {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// ENODATA where the node has no such attribute, EOPNOTSUPP where nothing
    /// here can have one of that kind.
    pub fn getxattr(&self, ino: u64, name: &[u8]) -> Answer<Vec<u8>> {
        // `ls -l` asks each file for its SELinux label and its access list,
        // which the kernel passes on every time: two thirds of a listing. Told
        // that there is no such thing here, it asks once for the whole mount.
        if !name.starts_with(USER) {
            return Err(Error::NotSupported.into());
        }
        let name = str::from_utf8(name)
            .ok()
            .and_then(|name| name.strip_prefix(PREFIX))
            .ok_or(Error::NoAttribute)?;
        let attributes = self.xattrs(&self.node(ino)?)?;
        let value = attributes.into_iter().find(|(each, _)| *each == name);
        Ok(value.map(|(_, value)| value).ok_or(Error::NoAttribute)?)
    }

    /// The names of a node's extended attributes, each ended by NUL.
    pub fn listxattr(&self, ino: u64) -> Answer<Vec<u8>> {
        let attributes = self.xattrs(&self.node(ino)?)?;
        Ok(attributes
            .iter()
            .flat_map(|(name, _)| format!("{PREFIX}{name}\0").into_bytes())
            .collect())
    }

    fn xattrs(&self, node: &Node) -> Answer<Attributes> {
        let failure = |want: Want| self.failure(&want);
        let mut out = Attributes::new();
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                out.push((name, value.into_bytes()));
            }
        };
        match node {
            Node::Agents => add("last_error", failure(Want::Agents)),
            Node::Runs => add("last_error", failure(Want::Runs)),
            Node::Storages(kind) => add("last_error", failure(Want::Storages(*kind))),
            Node::Agent(id) => {
                let (_, row, _) = self.agent_item(id)?;
                add("id", Some(id.to_string()));
                add("version", row.value.current_version_id.clone());
                add("last_error", failure(Want::Agent(id.clone())));
            }
            Node::Run(id) => {
                self.run(id, Age::Any)?;
                add("id", Some(id.to_string()));
                add("last_error", failure(Want::Run(id.clone())));
            }
            Node::RunFile(id, file) => {
                let want = match file {
                    RunFile::Status | RunFile::Json | RunFile::Prompt | RunFile::Error => Want::Run,
                    RunFile::MetricsJson | RunFile::MetricsCsv | RunFile::MetricsSvg => {
                        Want::Metrics
                    }
                    _ => Want::Logs,
                };
                add("last_error", failure(want(id.clone())));
            }
            Node::Control(control) => add("last_error", self.last_refusal(control)),
            Node::Storage(kind, id) => {
                let (_, row, _) = self.storage_item(*kind, id)?;
                add("id", Some(id.to_string()));
                add("version", row.value.current_version_id.clone());
                add(
                    "file_count",
                    row.value.file_count.map(|count| count.to_string()),
                );
                add("size", row.value.size.map(|size| size.to_string()));
                add("last_error", failure(Want::Versions(*kind, id.clone())));
            }
            Node::Entry(kind, id, version, 0) => return self.version_xattrs(*kind, id, version),
            Node::Entry(kind, id, version, number) => {
                if let Files::Sealed(sealed) = self.files(*kind, id, version)?
                    && let Some(entry) = sealed.index().node(*number)
                    // The kernel gives no `user.*` attribute of a symlink to
                    // anybody, so none is listed either.
                    && entry.kind != NodeKind::Symlink
                {
                    add("version", Some(version.to_string()));
                    out.extend(leading_out(sealed.index(), *number));
                }
            }
            _ => {}
        }
        Ok(out)
    }

    fn failure(&self, want: &Want) -> Option<String> {
        self.tree.last_failure(want).map(|error| error.to_string())
    }

    fn version_xattrs(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &Arc<str>,
    ) -> Answer<Attributes> {
        let row = self.version_row(kind, id, version)?;
        // Only what is on disk: asking whether it is cached must not cache it.
        let key = self.tree.version_key(kind, id, version);
        let sealed = self.tree.store.version(&key);
        let cached = match &sealed {
            Some(sealed) if sealed.has_content() => "yes",
            Some(_) => "tree",
            None if row.file_count == Some(0) => "yes",
            None => "no",
        };
        let verified = match sealed.as_ref().map(|sealed| sealed.meta().verified) {
            Some(Verified::Yes) => Some("yes"),
            Some(Verified::No) => Some("no"),
            Some(Verified::NotApplicable) => Some("n/a"),
            None => None,
        };
        let transfer = self.tree.transfers.of(&(kind, id.clone(), version.clone()));
        let transfer = transfer.map(|(bytes, all)| format!("{bytes} {}", all.unwrap_or(0)));
        let values = [
            ("id", Some(version.to_string())),
            ("version", Some(version.to_string())),
            ("message", row.message),
            ("created_by", row.created_by),
            ("file_count", row.file_count.map(|count| count.to_string())),
            ("size", row.size.map(|size| size.to_string())),
            ("cached", Some(cached.to_owned())),
            ("verified", verified.map(str::to_owned)),
            // The version's name in the cache directory.
            ("key", Some(key.directory())),
            // Bytes that have come and are to come in all (0: not known), while
            // it is downloaded.
            ("transfer", transfer),
            (
                "last_error",
                self.failure(&Want::Content(kind, id.clone(), version.clone())),
            ),
        ];
        let values = values.into_iter();
        let symlinks = sealed.and_then(|sealed| leading_out(sealed.index(), 0));
        Ok(values
            .filter_map(|(name, value)| Some((name, value?.into_bytes())))
            .chain(symlinks)
            .collect())
    }
}

/// The longest value that the kernel passes on (`XATTR_SIZE_MAX` of Linux).
const LONGEST: usize = 65_536;

/// The symlinks of a directory that lead out of their version: what `readlink`
/// refuses, for people to look at. A line each, `name -> target`, as far as
/// the kernel lets an attribute go; control characters and `\` as `\xNN`.
fn leading_out(index: &Index, directory: u32) -> Option<(&'static str, Vec<u8>)> {
    let more = "...\n".as_bytes();
    let mut lines = Vec::new();
    for position in 0..index.child_count(directory) {
        let Some((name, number)) = index.child_at(directory, position) else {
            break;
        };
        let escapes = index.node(number).is_some_and(|node| node.escapes);
        let Some(target) = index.target(number).filter(|_| escapes) else {
            continue;
        };
        let line = [&visible(name), b" -> ".as_slice(), &visible(target), b"\n"].concat();
        if lines.len() + line.len() + more.len() > LONGEST {
            lines.extend_from_slice(more);
            break;
        }
        lines.extend(line);
    }
    (!lines.is_empty()).then_some(("symlinks", lines))
}

fn visible(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_control() || byte == b'\\' {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}
