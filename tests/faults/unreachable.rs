//! No answer: no host of that name, no listener, no TLS; and a service that is
//! down is left in peace.

use super::{ARGUMENTS, Deed, Scene};
use crate::support::fake::{Action, Agent, Fault, File, Kind, Run, VersionSpec, World};
use crate::{
    doctor::{OWN_ETC, alone},
    support::{Bench, Mount, Who, reason::UNREACHABLE},
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A certificate for 127.0.0.1 that no authority has signed, valid from 2020 to 2120,
/// and its key.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBWzCCAQGgAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDAp2bTBmcyB0
ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DAp2bTBmcyB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpkS9OSpyEQ7g
PB1f68sZzh2krCjNnusqmwZpfLkrbL7n3wnqnaoIYrCv7YTb0BK0QJofV4SLMX7A
haiyT7IZpaNAMD4wDwYDVR0RBAgwBocEfwAAATAMBgNVHRMBAf8EAjAAMB0GA1Ud
DgQWBBQQtGXfd8Pz1x4EWaaphr3wW9rDLDAKBggqhkjOPQQDAgNIADBFAiEA+TSb
LLoCLniIpYKfTIkp/uDFj3o/SvsS+1+qj1Ig9pkCICYMUcpaYAa7Tks9/pqsy6+2
J9kHq1P8HRmQ1fIbWhuo
-----END CERTIFICATE-----
";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg95+RMN4JkDHbvan0
aWxRT+YqAAQKexvdvWmyRoN1XlmhRANCAASmRL05KnIRDuA8HV/ryxnOHaSsKM2e
6yqbBml8uStsvuffCeqdqghisK/thNvQErRAmh9XhIsxfsCFqLJPshml
-----END PRIVATE KEY-----
";

/// A listener that counts who connects, and what it receives in plain text.
struct Listener {
    address: String,
    connections: Arc<AtomicUsize>,
    received: Arc<AtomicUsize>,
}

impl Listener {
    /// Each connection is given to `answer`, which gives the bytes that came.
    fn new(answer: impl Fn(TcpStream) -> usize + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, received) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (connections.clone(), received.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counts.0.fetch_add(1, Ordering::Relaxed);
                counts.1.fetch_add(answer(stream), Ordering::Relaxed);
            }
        });
        Self {
            address,
            connections,
            received,
        }
    }

    /// One that answers in plain text, and once `is_well`, speaks TLS with the
    /// certificate and passes on to `server` what it is asked.
    fn ill_at_first(server: String, is_well: Arc<AtomicBool>) -> Self {
        let config = tls();
        Self::new(move |mut stream| {
            if !is_well.load(Ordering::Relaxed) {
                return refuse(&mut stream);
            }
            let (config, server) = (config.clone(), server.clone());
            thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                // The test sees what breaks.
                let _ = pass_on(StreamOwned::new(connection, stream), &server);
            });
            0
        })
    }

    /// One that speaks TLS, with the unsigned certificate.
    fn with_tls() -> Self {
        let config = tls();
        Self::new(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut text = Vec::new();
            // Ends with the client's refusal.
            let _ = StreamOwned::new(connection, stream).read_to_end(&mut text);
            text.len()
        })
    }

    /// One that answers every request in plain text.
    fn in_plain_text() -> Self {
        Self::new(|mut stream| refuse(&mut stream))
    }
}

/// What TLS needs to serve the certificate.
fn tls() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

/// Answers in plain text.
fn refuse(stream: &mut TcpStream) -> usize {
    // A connection that is closed before all is read can take the answer with it.
    let _ = stream.read(&mut [0; 16 << 10]);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    0
}

/// Passes one request without a body on, and its answer back.
fn pass_on(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    server: &str,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(server)?;
    server.write_all(&head)?;
    std::io::copy(&mut server, &mut client)?;
    client.conn.send_close_notify();
    client.flush()
}

/// What each command says where no server can be reached, and the error's words.
#[track_caller]
fn all_commands_fail(mount: &Mount, words: &[&str]) {
    let run = vm0fs::demo::uuid("some run");
    let started = Instant::now();
    for script in [
        "ls artifacts".to_owned(),
        format!("cat runs/{run}/status"),
        format!("cat runs/{run}/logs"),
        "/bin/echo go > agents/writer/run".into(),
    ] {
        mount.fails(&script, UNREACHABLE);
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let errors = mount.cat(".vm0fs/errors");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for word in words {
        assert!(errors.contains(word), "no {word:?} in {errors}");
    }
}

#[test]
fn an_unknown_host_is_reported() {
    let bench = Bench::new(World::empty());
    let url = "https://nobody.invalid";
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", url])
        .start();
    all_commands_fail(&mount, &["the network", url, "cannot connect"]);
}

#[test]
fn plain_text_instead_of_tls_is_reported() {
    let bench = Bench::new(World::empty());
    let listener = Listener::in_plain_text();
    let url = format!("https://{}", listener.address);
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", &url])
        .start();
    all_commands_fail(&mount, &[&url, "is http:// meant?"]);
}

#[test]
fn tls_that_comes_to_work_is_noticed() {
    let mut world = World::empty();
    world.add_storage(Kind::Artifact, "report");
    let bench = Bench::new(world);
    let server = bench.server.api_url().replace("http://", "");
    let is_well = Arc::new(AtomicBool::new(false));
    let listener = Listener::ill_at_first(server, is_well.clone());
    // It has signed itself, and here that is enough.
    let roots = bench.dir().join("roots.pem");
    std::fs::write(&roots, CERTIFICATE).unwrap();
    let url = format!("https://{}", listener.address);
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", &url])
        .env("SSL_CERT_FILE", roots)
        .start();
    all_commands_fail(&mount, &[&url]);
    is_well.store(true, Ordering::Relaxed);
    super::recovers(&mount, "ls artifacts/report", "TLS");
}

#[test]
fn plain_http_needs_no_certificates() {
    let mut world = World::empty();
    let report = world.add_storage(Kind::Artifact, "report");
    let files = vec![File::new("f", "content\n")];
    world.add_version(&report, VersionSpec::files(files));
    let bench = Bench::new(world);
    let mount = bench.mount().env("SSL_CERT_FILE", "/nonexistent").start();
    assert_eq!(mount.cat("artifacts/report/latest/f"), "content\n");
}

// Only root can change what names mean, for itself.
#[test]
#[ignore = "needs root"]
fn a_name_that_comes_to_be_known_is_noticed() {
    let mut world = World::empty();
    world.add_storage(Kind::Artifact, "report");
    let bench = Bench::new(world);
    let url = bench
        .server
        .api_url()
        .replace("127.0.0.1", "vm0fs-test.invalid");
    let script = format!(
        r#"{OWN_ETC} export VM0_API_URL={url}
        vm0fs mount --allow-http --timeout 2s "$MNT"; server=$(pgrep -f "mount .*$MNT")
        ls "$MNT/artifacts"; cat "$MNT/.vm0fs/errors"
        echo 127.0.0.1 vm0fs-test.invalid >> /etc/hosts
        for n in $(seq 100); do ls "$MNT/artifacts" && break; sleep 0.2; done"#
    );
    let said = alone(&bench, Who::Myself, &script);
    assert!(said.err.contains(UNREACHABLE), "{said:?}");
    assert!(said.out.contains("cannot connect"), "{said:?}");
    assert!(said.out.ends_with("\nreport\n"), "{said:?}");
}

#[test]
fn an_unsigned_certificate_is_refused() {
    let bench = Bench::new(World::empty());
    let listener = Listener::with_tls();
    let url = format!("https://{}", listener.address);
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", &url])
        .start();
    all_commands_fail(&mount, &[&url, "certificate"]);
    assert_eq!(
        listener.received.load(Ordering::Relaxed),
        0,
        "not a byte of a request"
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let bench = Bench::new(World::empty());
    let listener = Listener::with_tls();
    // The certificate is trusted here, but it is one for 127.0.0.1.
    let roots = bench.dir().join("roots.pem");
    std::fs::write(&roots, CERTIFICATE).unwrap();
    let url = format!("https://{}", listener.address);
    let url = url.replace("127.0.0.1", "localhost");
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", &url])
        .env("SSL_CERT_FILE", roots)
        .start();
    all_commands_fail(&mount, &[&url, "not valid for name"]);
    let received = listener.received.load(Ordering::Relaxed);
    assert_eq!(received, 0, "not a byte of a request");
}

#[test]
fn a_download_behind_an_unsigned_certificate_is_refused() {
    let mut world = World::empty();
    let report = world.add_storage(Kind::Artifact, "report");
    let files = vec![File::new("f", "content\n")];
    world.add_version(&report, VersionSpec::files(files));
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--timeout", "5s"]).start();
    mount.run("ls artifacts/report");
    let listener = Listener::with_tls();
    let link = format!("https://{}/f", listener.address);
    let action = Action::redirect(302, &link);
    bench.server.fault(Fault::api("/v1/artifacts/", action));
    mount.fails("cat artifacts/report/latest/f", UNREACHABLE);
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("certificate"), "{errors}");
    assert!(listener.connections.load(Ordering::Relaxed) > 0);
    let received = listener.received.load(Ordering::Relaxed);
    assert_eq!(received, 0, "not a byte of a request");
}

#[test]
fn a_service_that_cannot_be_reached_is_tried_now_and_then() {
    let bench = Bench::new(World::empty());
    let listener = Listener::in_plain_text();
    let url = format!("https://{}", listener.address);
    let mount = bench
        .mount()
        .with(ARGUMENTS)
        .with(["--api-url", &url])
        .start();
    let before = listener.connections.load(Ordering::Relaxed);
    let began = Instant::now();
    let mut commands = 0;
    while began.elapsed() < Duration::from_secs(5) || commands <= 20 {
        let run = vm0fs::demo::uuid(&commands.to_string());
        mount.fails(&format!("cat runs/{run}/status"), UNREACHABLE);
        commands += 1;
    }
    let tries = listener.connections.load(Ordering::Relaxed) - before;
    // One failure or probe at first, and probes after 1, 2, 4 s and so on, all but the
    // first by up to a quarter earlier, three connections each: 9 in 5 s.
    let past = |millis: &u64| began.elapsed() >= Duration::from_millis(*millis);
    let probes = [0, 1_000, 2_500, 5_500, 11_500, 23_500, 46_000]
        .iter()
        .filter(|at| past(at))
        .count();
    assert!(
        tries <= 3 * probes,
        "{tries} connections for {commands} commands in {:?}",
        began.elapsed()
    );
    assert!(tries > 0 && commands > 20, "{tries} for {commands}");
}

#[test]
fn a_service_that_is_down_behind_its_gateway_is_left_in_peace() {
    let mut world = World::empty();
    world.add_agent(Agent::new("writer", world.ago(9_000)));
    let runs: Vec<String> = (0..60)
        .map(|n| world.add_run(Run::new("writer", world.ago(9_000 + n))))
        .collect();
    world.add_storage(Kind::Artifact, "report");
    let bench = Bench::new(world);
    let mount = bench.mount().with(ARGUMENTS).start();
    mount.run("ls runs artifacts");
    bench.server.fault(Fault::everywhere(Action::bad_gateway()));
    bench.server.clear_requests();
    for run in &runs {
        let output = mount.try_run(&format!("cat runs/{run}/logs"));
        assert!(!output.status.success(), "{output:?}");
    }
    let calls = bench.api_calls().len();
    assert!(calls <= 30, "{calls} calls for {} runs", runs.len());
    bench.server.clear_faults();
    super::recovers(&mount, &format!("cat runs/{}/logs", runs[0]), "the gateway");
    // One part that is broken is no reason to leave the rest alone.
    bench
        .server
        .fault(Fault::api("/v1/runs/", Action::bad_gateway()));
    for run in &runs[1..20] {
        mount.try_run(&format!("cat runs/{run}/logs"));
    }
    bench.server.clear_requests();
    mount.run("ls volumes");
}

#[test]
fn an_order_to_an_unreachable_service_fails_and_is_not_kept() {
    let mut scene = Scene::new();
    scene
        .mount
        .run(&format!("cat runs/{}/status", scene.runs[3]));
    let address = scene.bench.end_server();
    scene.mount.fails(&scene.script(Deed::Start), UNREACHABLE);
    scene.mount.fails(&scene.script(Deed::Cancel), UNREACHABLE);
    let errors = scene.mount.cat(".vm0fs/errors");
    for subject in ["start of a run", "cancel of run"] {
        assert!(errors.contains(subject), "{subject}: {errors}");
    }
    let server = crate::support::fake::Server::start_on(World::empty(), address).unwrap();
    // It does not come late.
    thread::sleep(Duration::from_secs(3));
    scene.mount.try_run("ls volumes");
    let posts = server
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 0);
}
