//! Stores that speak S3: a real one, which `scripts/test` installs, and one that does
//! nothing right.

use super::SOON;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// The secret key of the real store.
pub(crate) const SECRET: &str = "the-secret-key-of-the-store-5d20";

/// A variable for how many milliseconds a lookup waits for a store: a busy machine's is
/// late.
pub(crate) const PATIENCE: &str = "VM0FS_SHARED_PATIENCE";

/// `s3s-fs` with a bucket `fleet`. It ends when it is dropped.
pub(crate) struct S3 {
    child: Child,
    port: u16,
    root: PathBuf,
}

impl S3 {
    /// Starts it with its files in a new folder of `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let root = dir.join("s3");
        fs::create_dir_all(root.join("fleet")).unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let program = target.join("s3s-fs/bin/s3s-fs");
        let child = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(["--access-key", "key", "--secret-key", SECRET])
            .arg(&root)
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            let program = program.display();
            panic!("{program}: {error}: run the tests with scripts/test")
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, or the store would block on a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let port = line
                    .split_once("127.0.0.1:")
                    .map(|(_, rest)| rest.to_owned());
                let _ = port.map(|port| tell.send(port));
            }
        });
        let told = told.recv_timeout(SOON).unwrap();
        let digits = told
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(told.len());
        let port = told[..digits].parse().unwrap();
        Self { child, port, root }
    }

    /// Its port of this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the environment of a machine that may use it has.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        environment(self.port)
    }

    /// Its objects' files, and what they hold.
    pub(crate) fn objects(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.root.join("fleet")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push((path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What leads to a store on this port, with the right key.
pub(crate) fn environment(port: u16) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_REGION", "eu-1".into()),
        ("AWS_ACCESS_KEY_ID", "key".into()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
    ]
}

/// How a faulty store answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// With this status and S3's code for it.
    Status(u16, &'static str),
    /// Never.
    Silent,
    /// With a hundred bytes of the thousand it promises.
    Cut,
    /// The same, and keeps the connection.
    Stalls,
    /// With bytes that are no object of vm0fs.
    Foreign,
    /// That it has nothing, and no conditional put.
    Plain,
    /// As the store on this port, but it lets nothing be written.
    ReadOnly(u16),
}

/// A store with a fault. It ends with the process.
pub(crate) struct FaultyStore {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl FaultyStore {
    /// Starts one.
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let held = Arc::new(Mutex::new(Vec::new()));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, held) = (Arc::clone(&count), Arc::clone(&held));
                thread::spawn(move || {
                    let answered = answer(&stream, fault, &count);
                    if answered.is_ok_and(|answered| !answered) {
                        held.lock().unwrap().push(stream);
                    }
                });
            }
        });
        Self { port, requests }
    }

    /// What leads to it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        environment(self.port)
    }

    /// Requests so far that it has not answered well.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers one request; gives false where it does not.
fn answer(stream: &TcpStream, fault: Fault, count: &AtomicUsize) -> io::Result<bool> {
    let mut input = BufReader::new(stream);
    let (mut length, mut is_conditional) = (0, false);
    let (mut request, mut head) = (String::new(), String::new());
    input.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(true);
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        is_conditional |= line.starts_with("if-none-match:");
    }
    if !(request.starts_with("PUT") && matches!(fault, Fault::Cut | Fault::Stalls | Fault::Foreign))
    {
        count.fetch_add(1, Ordering::Relaxed);
    }
    io::copy(&mut input.take(length), &mut io::sink())?;
    let fault = match fault {
        Fault::ReadOnly(port) if request.starts_with("GET") => {
            let mut store = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            write!(store, "{request}Connection: close\r\n{head}\r\n")?;
            let mut output = stream;
            return io::copy(&mut store, &mut output).map(|_| true);
        }
        Fault::ReadOnly(_) => Fault::Status(403, "AccessDenied"),
        Fault::Plain if is_conditional => Fault::Status(501, "NotImplemented"),
        Fault::Plain if request.starts_with("GET") => Fault::Status(404, "NoSuchKey"),
        fault => fault,
    };
    let (status, body, promised) = match fault {
        Fault::Silent | Fault::ReadOnly(_) => return Ok(false),
        Fault::Plain => (200, Vec::new(), 0),
        Fault::Status(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>");
            let length = body.len();
            (status, body.into_bytes(), length)
        }
        Fault::Cut | Fault::Stalls => (200, vec![b'x'; 100], 1000),
        Fault::Foreign => (200, vec![b'x'; 1000], 1000),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {promised}\r\n\
         ETag: \"x\"\r\nLast-Modified: Mon, 30 Nov 2026 00:00:00 GMT\r\n\r\n"
    );
    let mut output = stream;
    output.write_all(head.as_bytes())?;
    output.write_all(&body)?;
    Ok(!matches!(fault, Fault::Stalls))
}
