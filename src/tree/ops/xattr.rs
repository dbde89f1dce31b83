//! Extended attributes `user.vm0.*`. They are answered from what is known
//! wherever that is enough: `ls -l` and file managers ask for attributes of
//! every file they show.

use crate::{
    error::Error,
    store::{Index, Meta, NodeKind, Present},
    text::hex,
    tree::{
        answers::{Agent, Agents, Registered, Run, RunLogs, RunMetrics, Runs, Storages, Versions},
        content::Files,
        fetch_key::{Answer, Need},
        live::Show,
        node::{Node, RunFile, VersionId},
        view::View,
    },
};
use std::time::Duration;

/// A process that reads this attribute of a version has all of its content fetched, and
/// waits for that. It is read and not set, since nothing can be set in a mount that is
/// read-only to the kernel, and listed nowhere, since it costs a fetch.
pub const FETCH_ALL: &str = "user.vm0.fetch-all";

/// The same for the hashes of all of its files: its index is whole then.
pub const FETCH_HASHES: &str = "user.vm0.fetch-hashes";

/// The same of the folder of runs has them listed anew: what the mount then tells of them is
/// no older than the question.
pub const LIST_ANEW: &str = "user.vm0.list-anew";

/// The SHA-256 of a file of a version, in hexadecimal digits. Listed once the version is
/// sealed and, where its index is from a fleet, its hashes have come; what asks for it by
/// name before that waits.
const DIGEST: &str = "sha256";

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
        let node = self.node(ino)?;
        let is = |attribute: &str| attribute.strip_prefix(PREFIX) == Some(name);
        match &node {
            Node::Runs if is(LIST_ANEW) => return self.list_anew(),
            Node::Entry(version, _) if is(FETCH_ALL) => return self.fetch_all(version),
            Node::Entry(..) if is(FETCH_HASHES) => return self.version(ino).map(|_| Vec::new()),
            _ => {}
        }
        if name == DIGEST
            && let Node::Entry(version, number @ 1..) = &node
        {
            match self.files(version)? {
                Files::Sealed(sealed) if !sealed.index().is_hashed(*number) => {}
                _ => self.version(ino).map(drop)?,
            }
        }
        let attributes = self.xattrs(&node)?;
        let value = attributes.into_iter().find(|(each, _)| *each == name);
        Ok(value.map(|(_, value)| value).ok_or(Error::NoAttribute)?)
    }

    /// Waits until all content of a version is there; how many bytes have come for that, where
    /// any were to.
    fn fetch_all(&self, version: &VersionId) -> Answer<Vec<u8>> {
        match self.files(version)? {
            Files::None => Ok(Vec::new()),
            Files::Sealed(sealed) if sealed.has_content() => {
                let brought = self.tree.content.brought(version, self.since);
                let brought = brought.map(|bytes| bytes.to_string());
                Ok(brought.unwrap_or_default().into_bytes())
            }
            Files::Partial(_) => Err(self.content_miss(version)),
            Files::Sealed(_) => Err(self.miss(version, Need::All)),
        }
    }

    /// Lists the runs anew. In an outage that fails, where the last listing would be shown.
    fn list_anew(&self) -> Answer<Vec<u8>> {
        let known = self.tree.answers.of::<Runs>();
        known.expire(&(), self.since, Duration::ZERO);
        self.need::<Runs>(&())?;
        Ok(Vec::new())
    }

    /// The names of a node's extended attributes, each ended by NUL.
    pub fn listxattr(&self, ino: u64) -> Answer<Vec<u8>> {
        let attributes = self.xattrs(&self.node(ino)?)?;
        Ok(attributes
            .iter()
            .flat_map(|(name, _)| format!("{PREFIX}{name}\0").into_bytes())
            .collect())
    }

    /// The attributes of a node, as many bytes of them as a disk takes.
    fn xattrs(&self, node: &Node) -> Answer<Attributes> {
        Ok(fitted(self.all_xattrs(node)?))
    }

    fn all_xattrs(&self, node: &Node) -> Answer<Attributes> {
        let mut out = Attributes::new();
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                out.push((name, value.into_bytes()));
            }
        };
        match node {
            Node::Root => {
                let outage = self.tree.answers.service().outage();
                add("last_error", outage.map(|error| error.to_string()));
            }
            Node::Agents => add("last_error", self.failure::<Agents>(())),
            Node::Runs => add("last_error", self.failure::<Runs>(())),
            Node::Storages(kind) => add("last_error", self.failure::<Storages>(*kind)),
            Node::Agent(id) => {
                let (row, _) = self.agent_item(id)?;
                add("id", Some(id.to_string()));
                add("version", row.value.current_version_id.clone());
                add("last_error", self.failure::<Agent>(id.clone()));
            }
            Node::Run(id) => {
                self.run(id, Show::Last)?;
                add("id", Some(id.to_string()));
                add("last_error", self.failure::<Run>(id.clone()));
            }
            Node::RunFile(id, file) => {
                let id = id.clone();
                let failure = match file {
                    RunFile::Status | RunFile::Json | RunFile::Prompt | RunFile::Error => {
                        self.failure::<Run>(id)
                    }
                    RunFile::MetricsJson | RunFile::MetricsCsv | RunFile::MetricsSvg => {
                        self.failure::<RunMetrics>(id)
                    }
                    _ => self.failure::<RunLogs>(id),
                };
                add("last_error", failure);
            }
            Node::Control(control) => {
                let failure = self.tree.orders.last_failure(control);
                add("last_error", failure.map(|error| error.to_string()));
            }
            Node::Storage(kind, id) => {
                let (row, _) = self.storage_item(*kind, id)?;
                add("id", Some(id.to_string()));
                add("version", row.value.current_version_id.clone());
                add(
                    "file_count",
                    row.value.file_count.map(|count| count.to_string()),
                );
                add("size", row.value.size.map(|size| size.to_string()));
                add("last_error", self.failure::<Versions>((*kind, id.clone())));
            }
            Node::Entry(version, 0) => return self.version_xattrs(version),
            Node::Entry(version, number) => {
                if let Files::Sealed(sealed) = self.files(version)?
                    && let Some(entry) = sealed.index().node(*number)
                    // The kernel never passes on `user.*` attributes of a symlink, so
                    // none is listed either.
                    && entry.kind != NodeKind::Symlink
                {
                    add("version", Some(version.id.to_string()));
                    let digest = sealed.index().digest(*number);
                    add(DIGEST, digest.map(|digest| hex(&digest)));
                    out.extend(leading_out(sealed.index(), *number));
                    out.extend(shortened(sealed.index(), *number));
                }
            }
            _ => {}
        }
        Ok(out)
    }

    /// Why the last fetch of an answer failed, if it did.
    fn failure<R: Registered>(&self, key: R::Key) -> Option<String> {
        let failure = self.tree.answers.of::<R>().last_failure(&key);
        failure.map(|error| error.to_string())
    }

    fn version_xattrs(&self, version: &VersionId) -> Answer<Attributes> {
        let row = self.version_row(version)?;
        // Only what is on disk: asking whether it is cached must not cache it.
        let content = &self.tree.content;
        let sealed = content.sealed(version);
        let cached = match sealed.as_ref().map(|sealed| sealed.shown()) {
            Some(Present::Whole) => "yes",
            Some(Present::Partly) => "partly",
            Some(Present::None) => "tree",
            None if row.file_count == Some(0) => "yes",
            None => "no",
        };
        let verified = sealed
            .as_ref()
            .map(|sealed| sealed.meta().verified.as_str());
        let failure = content.last_failure(version);
        let transfer = content.transfer(version);
        let transfer = transfer.map(|(bytes, all)| format!("{bytes} {}", all.unwrap_or(0)));
        let values = [
            ("id", Some(version.id.to_string())),
            ("version", Some(version.id.to_string())),
            ("message", row.message),
            ("created_by", row.created_by),
            ("file_count", row.file_count.map(|count| count.to_string())),
            ("size", row.size.map(|size| size.to_string())),
            ("cached", Some(cached.to_owned())),
            ("verified", verified.map(str::to_owned)),
            // The version's name in the cache directory.
            ("key", Some(content.key(version).directory())),
            // Bytes that have come and are to come in all (0: not known), while
            // it is downloaded.
            ("transfer", transfer),
            ("last_error", failure.map(|error| error.to_string())),
        ];
        let values = values.into_iter();
        let of_root = sealed.as_ref().map(|sealed| {
            let index = sealed.index();
            [
                leading_out(index, 0),
                shortened(index, 0),
                left_out(sealed.meta()),
            ]
        });
        Ok(values
            .filter_map(|(name, value)| Some((name, value?.into_bytes())))
            .chain(of_root.into_iter().flatten().flatten())
            .collect())
    }
}

/// The most that all attributes of a file take together, in bytes of a disk. ext4
/// and its like keep them in a block of 4 KiB, of which other attributes take a
/// part: past that a copy of the file fails, with all that is copied along.
const MOST: usize = 2_000;

/// The bytes of a disk that an attribute takes (`fs/ext4/xattr.h` of Linux: a head
/// of 16, and name and value in fours).
fn cost(name: &str, value: usize) -> usize {
    let name = PREFIX.len() + name.len();
    16 + name.next_multiple_of(4) + value.next_multiple_of(4)
}

/// The attributes in [`MOST`] bytes: where they are longer, the longest values
/// are cut to one length.
fn fitted(mut attributes: Attributes) -> Attributes {
    let all = |longest: usize| -> usize {
        let costs = attributes
            .iter()
            .map(|(name, value)| cost(name, value.len().min(longest)));
        costs.sum()
    };
    let mut longest = MOST;
    while longest > 0 && all(longest) > MOST {
        longest -= 1;
    }
    for (name, value) in &mut attributes {
        if value.len() > longest {
            *value = cut(name, value, longest);
        }
    }
    attributes
}

/// The beginning of a value that is longer than `length` bytes, with where all of
/// it is: whole lines of a list, whole characters of a text.
fn cut(name: &str, value: &[u8], length: usize) -> Vec<u8> {
    let end = match name {
        "message" | "created_by" => "... [cut: .versions.json has all of it]",
        "last_error" => "... [cut: .vm0fs/errors has all of it]",
        "symlinks" => "... [cut: --allow-external-symlinks shows all]",
        _ => "... [cut]",
    };
    let is_list = value.ends_with(b"\n");
    let mut kept = length.saturating_sub(end.len() + usize::from(is_list));
    let may_end = |kept: usize| match is_list {
        true => value[..kept].ends_with(b"\n"),
        false => value.get(kept).is_none_or(|byte| byte & 0xc0 != 0x80),
    };
    while kept > 0 && !may_end(kept) {
        kept -= 1;
    }
    let newline: &[u8] = if is_list { b"\n" } else { b"" };
    let mut out = [&value[..kept], end.as_bytes(), newline].concat();
    // Only where there is room for next to nothing.
    out.truncate(length);
    out
}

/// The symlinks of a directory that lead out of their version: what `readlink`
/// refuses, for people to look at. A line each, `name -> target`, somewhat more of
/// them than are shown; control characters and `\` as `\xNN`.
fn leading_out(index: &Index, directory: u32) -> Option<(&'static str, Vec<u8>)> {
    let mut lines = Vec::new();
    for position in 0..index.child_count(directory) {
        let Some((name, number)) = index.child_at(directory, position) else {
            break;
        };
        let escapes = index.node(number).is_some_and(|node| node.escapes);
        let Some(target) = index.target(number).filter(|_| escapes) else {
            continue;
        };
        lines.extend([&visible(name), b" -> ".as_slice(), &visible(target), b"\n"].concat());
        if lines.len() > MOST {
            break;
        }
    }
    (!lines.is_empty()).then_some(("symlinks", lines))
}

/// The most that the names of a directory, and what was left out of a version, may
/// take: a disk has some 4 kB for all attributes of a file together, and programs that
/// copy them fail beyond that. The longest name of macOS takes 765.
const NAMES: usize = 900;
const LEFT_OUT: usize = 500;

/// The archive's own names of what a directory shows under shortened ones. A line
/// each, `~hash.extension = own`, by how the shown one ends, as far as there is room;
/// control characters and `\` as `\xNN`.
fn shortened(index: &Index, directory: u32) -> Option<(&'static str, Vec<u8>)> {
    if index.shortened() == 0 {
        return None;
    }
    let lines = (0..index.child_count(directory)).filter_map(|position| {
        let own = index.original(directory, position)?;
        let (name, _) = index.child_at(directory, position)?;
        // The hash is the last thing in it that begins so.
        let end = name.iter().rposition(|byte| *byte == b'~').unwrap_or(0);
        Some([&visible(&name[end..]), b" = ".as_slice(), &visible(own)].concat())
    });
    Some(("names", bounded(lines, NAMES)?))
}

/// Entries of the archive that the version does not show: how many, and which.
fn left_out(meta: &Meta) -> Option<(&'static str, Vec<u8>)> {
    let count = match meta.skipped {
        0 => return None,
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let count = format!("{count} of the archive cannot be shown:").into_bytes();
    let told = meta.omitted.iter().map(|line| visible(line.as_bytes()));
    let more = (meta.omitted.len() as u64) < meta.skipped;
    let more = more.then(|| b"...".to_vec());
    let lines = [count].into_iter().chain(told).chain(more);
    Some(("left_out", bounded(lines, LEFT_OUT)?))
}

/// Lines, as many as `most` bytes hold; `...` stands for the rest. `None` where
/// there are none.
fn bounded(lines: impl Iterator<Item = Vec<u8>>, most: usize) -> Option<Vec<u8>> {
    let more = b"...\n";
    let mut out = Vec::new();
    for line in lines {
        if out.len() + line.len() + 1 + more.len() > most {
            out.extend_from_slice(more);
            break;
        }
        out.extend(line);
        out.push(b'\n');
    }
    (!out.is_empty()).then_some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn total(attributes: &Attributes) -> usize {
        let costs = attributes
            .iter()
            .map(|(name, value)| cost(name, value.len()));
        costs.sum()
    }

    #[test]
    fn attributes_that_fit_are_not_cut() {
        let short: Attributes = vec![("id", vec![b'a'; 64]), ("message", vec![b'm'; 1_800])];
        assert!(fitted(short.clone()) == short);
    }

    #[test]
    fn the_longest_attributes_are_cut_and_say_so() {
        let message = "🦀".repeat(2_400);
        let symlinks = "name -> /elsewhere\n".repeat(150);
        let long: Attributes = vec![
            ("id", vec![b'a'; 64]),
            ("message", message.clone().into_bytes()),
            ("symlinks", symlinks.clone().into_bytes()),
            ("last_error", vec![b'e'; 5_000]),
            ("size", b"12".to_vec()),
        ];
        let fitted = fitted(long.clone());
        assert!(
            ((MOST - 100)..=MOST).contains(&total(&fitted)),
            "{}",
            total(&fitted)
        );
        for (short, (name, whole)) in fitted.iter().zip(&long) {
            let text = str::from_utf8(&short.1).unwrap();
            let (kept, end) = text.split_once("... [cut").unwrap_or((text, ""));
            assert!(whole.starts_with(kept.as_bytes()), "{name}");
            assert_eq!(end.is_empty(), whole.len() < 100, "{name}");
        }
        let text = |n: usize| String::from_utf8(fitted[n].1.clone()).unwrap();
        assert!(text(1).ends_with("🦀... [cut: .versions.json has all of it]"));
        assert!(text(2).ends_with("where\n... [cut: --allow-external-symlinks shows all]\n"));
        assert!(text(3).ends_with("e... [cut: .vm0fs/errors has all of it]"));
    }

    #[test]
    fn attributes_of_any_length_fit() {
        for length in [0, 1, 20, 60, 2_000, 70_000] {
            let all: Attributes = ["id", "message", "symlinks", "key", "created_by"]
                .map(|name| (name, vec![b'\n'; length]))
                .into();
            assert!(total(&fitted(all)) <= MOST, "{length}");
        }
    }
}
