//! stub
#![allow(missing_docs, clippy::missing_errors_doc, unused_variables)]
pub mod types;
use crate::{error::Result, progress::Progress};
use serde_json::value::RawValue;
use types::*;
pub struct Client;
#[derive(Default, Clone)]
pub struct RunFilter {
    pub status: Option<RunStatus>,
}
#[derive(Default, Clone, Debug)]
pub struct Calls {
    pub made: u64,
    pub failed: u64,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    pub reset: Option<u64>,
    pub last_request_id: Option<String>,
}
impl Client {
    pub fn origin(&self) -> &str {
        todo!()
    }
    pub fn agents(&self, p: &Progress) -> Result<Vec<Row<Agent>>> {
        todo!()
    }
    pub fn agent(&self, id: &str, p: &Progress) -> Result<Row<Agent>> {
        todo!()
    }
    pub fn agent_versions(&self, id: &str, p: &Progress) -> Result<Vec<Box<RawValue>>> {
        todo!()
    }
    pub fn runs(&self, filter: &RunFilter, p: &Progress) -> Result<Vec<Row<Run>>> {
        todo!()
    }
    pub fn run(&self, id: &str, p: &Progress) -> Result<Row<Run>> {
        todo!()
    }
    pub fn run_logs(&self, id: &str, p: &Progress) -> Result<Vec<Row<LogRow>>> {
        todo!()
    }
    pub fn run_metrics(&self, id: &str, p: &Progress) -> Result<Box<RawValue>> {
        todo!()
    }
    pub fn storages(&self, kind: StorageKind, p: &Progress) -> Result<Vec<Row<Storage>>> {
        todo!()
    }
    pub fn storage(&self, kind: StorageKind, id: &str, p: &Progress) -> Result<Row<Storage>> {
        todo!()
    }
    pub fn storage_versions(
        &self,
        kind: StorageKind,
        id: &str,
        p: &Progress,
    ) -> Result<Vec<Row<StorageVersion>>> {
        todo!()
    }
    pub fn download_url(
        &self,
        kind: StorageKind,
        id: &str,
        version: &str,
        p: &Progress,
    ) -> Result<url::Url> {
        todo!()
    }
    pub fn calls(&self) -> Calls {
        todo!()
    }
}
