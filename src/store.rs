//! stub
#![allow(missing_docs, unused_variables)]
use crate::{error::Result, progress::Progress};
use std::sync::Arc;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VersionKey {
    pub origin: Arc<str>,
    pub kind: &'static str,
    pub storage_id: Arc<str>,
    pub version_id: Arc<str>,
}
pub struct Store;
pub struct FetchRequest<'a> {
    pub key: VersionKey,
    pub declared_size: Option<u64>,
    pub declared_files: Option<u64>,
    pub url: &'a (dyn Fn() -> Result<url::Url> + Sync),
}
pub struct Usage {
    pub bytes: u64,
    pub ceiling: u64,
    pub versions: u64,
    pub with_content: u64,
}
pub struct Version;
pub struct Content;
pub struct Index;
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    Directory,
    File,
    Symlink,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    Yes,
    No,
    NotApplicable,
}
pub struct Meta {
    pub verified: Verified,
}
pub struct Node {
    pub kind: NodeKind,
    pub size: u64,
    pub mtime: (i64, u32),
    pub executable: bool,
    pub nlink: u32,
    pub parent: u32,
    pub escapes: bool,
}
impl Store {
    pub fn version(&self, key: &VersionKey) -> Option<Arc<Version>> {
        todo!()
    }
    pub fn fetch(&self, r: &FetchRequest<'_>, p: &Progress) -> Result<Arc<Version>> {
        todo!()
    }
    pub fn usage(&self) -> Usage {
        todo!()
    }
}
impl Version {
    pub fn index(&self) -> &Index {
        todo!()
    }
    pub fn meta(&self) -> &Meta {
        todo!()
    }
    pub fn has_content(&self) -> bool {
        todo!()
    }
    pub fn open(&self, node: u32) -> Result<Option<Content>> {
        todo!()
    }
}
impl Content {
    pub fn size(&self) -> u64 {
        todo!()
    }
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        todo!()
    }
}
impl Index {
    pub fn node(&self, node: u32) -> Option<Node> {
        todo!()
    }
    pub fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        todo!()
    }
    pub fn child_count(&self, dir: u32) -> u32 {
        todo!()
    }
    pub fn child_at(&self, dir: u32, p: u32) -> Option<(&[u8], u32)> {
        todo!()
    }
    pub fn target(&self, node: u32) -> Option<&[u8]> {
        todo!()
    }
}
