//! Proxies: one rule for calls and downloads.

use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::{
    commands::finish,
    doctor::{alone, tells},
    support::{
        Bench, SOON, Who,
        proxy::{LOGIN, Proxy},
        reason::UNREACHABLE,
    },
};

/// Nothing listens there.
const NO_SERVER: &str = "127.0.0.1:9";

/// A world with a file in `artifacts/report/latest`, and the artifact's id.
fn world() -> (World, String) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "report");
    world.add_version(&id, VersionSpec::files(vec![File::new("f", "content\n")]));
    (world, id)
}

const FILE: &str = "artifacts/report/latest/f";

#[test]
fn this_machine_is_never_asked_through_a_proxy() {
    for variable in ["http_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"] {
        for scheme in ["http", "socks5h"] {
            let bench = Bench::new(world().0);
            let mount = bench
                .mount()
                .env(variable, format!("{scheme}://{NO_SERVER}"))
                .start();
            assert_eq!(mount.cat(FILE), "content\n", "{variable} {scheme}");
            mount.unmount();
        }
    }
}

/// Where an archive is, by the name of another host.
fn link(bench: &Bench, artifact: &str, host: &str) -> String {
    let builder = vm0fs::http::builder("vm0fs/test", SOON).unwrap();
    let client = reqwest::blocking::ClientBuilder::from(builder).build();
    let client = client.unwrap();
    let url = format!(
        "{}/v1/artifacts/{artifact}/download",
        bench.server.api_url()
    );
    let answer = client.get(url).bearer_auth(bench.server.token()).send();
    let location = answer.unwrap().headers()["location"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(location.contains("127.0.0.1"), "{location}");
    location.replace("127.0.0.1", host)
}

#[test]
fn calls_and_downloads_go_through_the_same_proxy() {
    let login = format!("{}:{}@", LOGIN.0, LOGIN.1.replace('@', "%40"));
    for (variable, scheme, api, store) in [
        // Names that only the proxy knows.
        ("ALL_PROXY", "socks5h://", "api.vm0.test", "store.vm0.test"),
        ("all_proxy", "socks4a://", "api.vm0.test", "store.vm0.test"),
        ("http_proxy", "http://", "api.vm0.test", "store.vm0.test"),
        ("http_proxy", "", "api.vm0.test", "store.vm0.test"),
        // Of networks that are kept free for documentation (RFC 5737).
        ("ALL_PROXY", "socks5://", "203.0.113.7", "198.51.100.7"),
        ("http_proxy", "socks4://", "203.0.113.7", "198.51.100.7"),
        (
            "ALL_PROXY",
            "socks5h://LOGIN",
            "api.vm0.test",
            "store.vm0.test",
        ),
    ] {
        let (world, artifact) = world();
        let bench = Bench::new(world);
        let proxy = Proxy::start(scheme.contains("LOGIN"));
        let address = format!(
            "{}127.0.0.1:{}",
            scheme.replace("LOGIN", &login),
            proxy.port
        );
        let location = link(&bench, &artifact, store);
        let path = format!("/v1/artifacts/{artifact}/download");
        let redirect = Action::redirect(302, &location);
        bench.server.fault(Fault::api_exact(&path, redirect));
        let url = bench.server.api_url().replace("127.0.0.1", api);
        let mount = bench
            .mount()
            .with(["--allow-http", "--api-url", &url])
            .env(variable, &address)
            .start();
        assert_eq!(mount.cat(FILE), "content\n", "{variable}={address}");
        let hosts = proxy.hosts();
        assert!(hosts.iter().any(|host| host == api), "{hosts:?}");
        assert!(hosts.iter().any(|host| host == store), "{hosts:?}");
        assert!(hosts.iter().all(|host| [api, store].contains(&&**host)));
        let log = mount.unmount().join("\n");
        assert!(!log.contains(LOGIN.1) && !log.contains("p%40ss"), "{log}");
    }
}

#[test]
fn an_unreachable_proxy_is_named() {
    let bench = Bench::new(world().0);
    let mount = bench
        .mount()
        .with(["--allow-http", "--api-url", "http://api.vm0.test"])
        .env("all_proxy", format!("socks5h://me:secret@{NO_SERVER}"))
        .start();
    mount.fails("ls agents", UNREACHABLE);
    let errors = mount.cat(".vm0fs/errors");
    let words = "through the proxy socks5h://127.0.0.1:9 (all_proxy)";
    assert!(errors.contains(words), "{errors}");
    assert!(!errors.contains("secret"), "{errors}");
}

#[test]
fn an_invalid_proxy_is_refused() {
    let bench = Bench::new(world().0);
    for value in ["ftp://secret@x:1", "http://", "socks9://h:1"] {
        let mut command = bench.command(Who::Myself);
        command
            .env("https_proxy", value)
            .args(["run", "writer", "Go"]);
        let said = finish(&mut command);
        said.failed(&["https_proxy", "socks5h"]);
        assert!(!said.err.contains("secret"), "{said:?}");
    }
    assert_eq!(bench.api_calls().len(), 0);
}

#[test]
#[ignore = "needs root"]
fn doctor_says_which_proxy_is_used() {
    let bench = Bench::new(world().0);
    let script = "export ALL_PROXY=socks5h://me:secret@127.0.0.1:9; vm0fs doctor";
    let said = alone(&bench, Who::Myself, script);
    tells(&said, "ok", "proxy", &["none", "directly"]);
    let script = format!("{script} --allow-http --api-url http://api.vm0.test");
    let said = alone(&bench, Who::Myself, &script);
    tells(
        &said,
        "ok",
        "proxy",
        &["socks5h://127.0.0.1:9", "ALL_PROXY"],
    );
    assert!(!said.out.contains("secret"), "{said:?}");
    let script = format!("export NO_PROXY=vm0.test; {script}");
    let said = alone(&bench, Who::Myself, &script);
    tells(&said, "ok", "proxy", &["none", "directly"]);
}
