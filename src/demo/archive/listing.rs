//! Which files of a tree a maker lists, which decides the version's id, and which
//! entries its archive has, in which order.

use super::{
    file::{Body, File, Maker},
    headers::Header,
};
use std::collections::{BTreeMap, HashMap};

/// A listed file: its path, and the file whose content it has.
pub(crate) type Listed<'a> = (String, &'a File);

/// A path's file, and the tree below it.
#[derive(Debug, Default)]
struct Node<'a> {
    file: Option<&'a File>,
    children: BTreeMap<&'a str, Node<'a>>,
}

/// Symbolic links that are followed one after the other, as in the kernel.
const MOST_LINKS: u32 = 40;

/// Names that no sandbox stores, and how a path begins that the CLI leaves out.
const LEFT_OUT: [&str; 2] = [".git", ".vm0"];
const LEFT_OUT_BY_CLI: &str = ".vm0";

fn is_kept(file: &File, maker: Maker) -> bool {
    match maker {
        Maker::NodeTar => !file.path.starts_with(LEFT_OUT_BY_CLI),
        Maker::Sandbox | Maker::RustTar => {
            !file.path.split('/').any(|name| LEFT_OUT.contains(&name))
        }
    }
}

fn tree(files: &[File], maker: Maker) -> Node<'_> {
    let mut root = Node::default();
    for file in files.iter().filter(|file| is_kept(file, maker)) {
        let mut node = &mut root;
        for name in names(&file.path) {
            node = node.children.entry(name).or_default();
        }
        node.file = Some(file);
    }
    root
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

impl<'a> Node<'a> {
    fn at(&self, path: &[&str]) -> Option<&Self> {
        let mut node = self;
        for name in path {
            node = node.children.get(*name)?;
        }
        Some(node)
    }

    fn is_folder(&self) -> bool {
        self.file
            .is_none_or(|file| matches!(file.body, Body::Folder))
    }

    /// The newest time in it, in unix seconds.
    fn modified(&self) -> u64 {
        let newest = self.children.values().map(Node::modified).max();
        self.file
            .map_or(newest, |file| Some(file.modified))
            .unwrap_or(0)
    }

    /// The node that a path leads to from a folder; `None` outside of the tree and for
    /// a path that does not exist. Call it on the root.
    fn resolve(&self, from: &[&'a str], path: &'a str, links: u32) -> Option<Vec<&'a str>> {
        if path.starts_with('/') || links > MOST_LINKS {
            return None;
        }
        let mut at = from.to_vec();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(at.pop()?),
                name => {
                    at.push(name);
                    if let Some(Body::Symlink(target)) = self.at(&at)?.file.map(|file| &file.body) {
                        at.pop();
                        at = self.resolve(&at, target, links + 1)?;
                    }
                }
            }
        }
        Some(at)
    }

    /// The path that holds a path's content: another path for a hard link.
    fn content(&self, at: &[&'a str]) -> Vec<&'a str> {
        let mut at = at.to_vec();
        for _ in 0..MOST_LINKS {
            match self
                .at(&at)
                .and_then(|node| node.file)
                .map(|file| &file.body)
            {
                Some(Body::HardLink(of)) => at = names(of).collect(),
                _ => break,
            }
        }
        at
    }
}

/// The files that a maker lists, with their content: hard links as copies. The
/// sandbox follows symbolic links, into linked folders too; the CLI follows those
/// to files, for their content; the Rust crate takes none.
pub(crate) fn listed(files: &[File], maker: Maker) -> Vec<Listed<'_>> {
    if files.iter().all(File::is_regular) {
        let kept = files.iter().filter(|file| is_kept(file, maker));
        return kept.map(|file| (file.path.clone(), file)).collect();
    }
    let root = tree(files, maker);
    let mut walk = Walk {
        root: &root,
        maker,
        all: Vec::new(),
    };
    walk.folder(&[], "", &mut Vec::new());
    walk.all
}

struct Walk<'n, 'a> {
    root: &'n Node<'a>,
    maker: Maker,
    all: Vec<Listed<'a>>,
}

impl<'a> Walk<'_, 'a> {
    /// Lists what is in the folder `real`, under the path `shown`. `above` are the
    /// real folders that it is in, to which no link leads again.
    fn folder(&mut self, real: &[&'a str], shown: &str, above: &mut Vec<Vec<&'a str>>) {
        let Some(node) = self.root.at(real) else {
            return;
        };
        above.push(real.to_vec());
        for (name, child) in &node.children {
            let shown = match shown {
                "" => (*name).to_owned(),
                shown => format!("{shown}/{name}"),
            };
            let path = [real, &[*name]].concat();
            let (target, is_link) = match child.file.map(|file| &file.body) {
                Some(Body::Symlink(_)) if self.maker == Maker::RustTar => continue,
                Some(Body::Symlink(target)) => (self.root.resolve(real, target, 1), true),
                _ => (Some(path), false),
            };
            let Some(target) = target else { continue };
            let target = self.root.content(&target);
            match self.root.at(&target) {
                Some(found) if found.is_folder() => {
                    let may = !is_link || self.maker == Maker::Sandbox;
                    if may && !above.contains(&target) {
                        self.folder(&target, &shown, above);
                    }
                }
                Some(found) => self.all.extend(found.file.map(|file| (shown, file))),
                None => {}
            }
        }
        above.pop();
    }
}

/// The entries of the archive that `maker` makes of `files`.
pub(super) fn entries(files: &[File], maker: Maker) -> Vec<Header<'_>> {
    match maker {
        Maker::RustTar => {
            let listed = listed(files, maker).into_iter();
            listed
                .map(|(path, file)| Header::regular(path, file))
                .collect()
        }
        Maker::NodeTar => {
            let root = tree(files, maker);
            let mut written = HashMap::new();
            let kept = files.iter().filter(|file| is_kept(file, maker));
            kept.filter_map(|file| {
                let path = names(&file.path).collect::<Vec<_>>();
                entry(&root, file.path.clone(), &path, file, &mut written)
            })
            .collect()
        }
        Maker::Sandbox => {
            let root = tree(files, maker);
            let mut all = vec![Header::folder("./".into(), root.modified(), 0o755)];
            below(&root, &root, &mut Vec::new(), &mut HashMap::new(), &mut all);
            all
        }
    }
}

/// Where each content was written first, by the path whose content it is.
type Written<'a> = HashMap<Vec<&'a str>, String>;

/// The entry of a file or a link.
fn entry<'a>(
    root: &Node<'a>,
    name: String,
    path: &[&'a str],
    file: &'a File,
    written: &mut Written<'a>,
) -> Option<Header<'a>> {
    match &file.body {
        Body::Folder => None,
        Body::Symlink(target) => Some(Header::symlink(name, target, file.modified)),
        _ => {
            let content = root.content(path);
            let of = root.at(&content)?.file.filter(|file| file.is_regular())?;
            if let Some(first) = written.get(&content) {
                return Some(Header::hard_link(name, first, of));
            }
            written.insert(content, name.clone());
            Some(Header::regular(name, of))
        }
    }
}

/// Everything below a folder, a folder before what is in it, by name.
fn below<'a>(
    root: &Node<'a>,
    node: &Node<'a>,
    path: &mut Vec<&'a str>,
    written: &mut Written<'a>,
    all: &mut Vec<Header<'a>>,
) {
    for (name, child) in &node.children {
        path.push(name);
        let shown = format!("./{}", path.join("/"));
        if child.is_folder() {
            let mode = child.file.and_then(|file| file.mode).unwrap_or(0o755);
            all.push(Header::folder(format!("{shown}/"), child.modified(), mode));
            below(root, child, path, written, all);
        } else if let Some(file) = child.file {
            all.extend(entry(root, shown, path, file, written));
        }
        path.pop();
    }
}
