//! The server as a client sees it, over plain HTTP.

#![allow(clippy::unwrap_used)]

mod downloads;
mod faults;
mod lists;
mod logs;
mod runs;

use super::*;
use crate::fake::Server;
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    redirect::Policy,
};
use serde_json::Value;

/// For what must happen, and does within a moment unless something is wrong.
const SOON: Duration = Duration::from_secs(20);

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(SOON)
        .build()
        .unwrap()
}

struct Api {
    server: Server,
    client: Client,
}

impl Api {
    fn new(world: World) -> Self {
        Self {
            server: Server::start(world).unwrap(),
            client: client(),
        }
    }

    fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.server.api_url()))
            .bearer_auth(self.server.token())
            .send()
            .unwrap()
    }

    fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_str(&response.text().unwrap()).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.server.api_url()))
            .bearer_auth(self.server.token())
            .body(body.to_string())
            .send()
            .unwrap();
        let status = response.status();
        (
            status,
            serde_json::from_str(&response.text().unwrap()).unwrap(),
        )
    }

    fn presigned(&self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status(), StatusCode::FOUND, "{path}");
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    fn object(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().unwrap()
    }
}

fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().unwrap()).unwrap();
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

/// A world with one artifact of two versions, the older one empty.
fn stored() -> (World, String, String, Vec<u8>) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "report");
    world.add_version(&id, VersionSpec::files(Vec::new()));
    let noise: String = (0..20_000).map(|n: u32| uuid(&n.to_string())).collect();
    let version = world.add_version(&id, VersionSpec::files(vec![File::new("noise", noise)]));
    let bytes = world
        .version(Kind::Artifact, "report", &version)
        .unwrap()
        .archive_bytes();
    (world, id, version, bytes)
}
