//! A proxy on loopback that speaks SOCKS4, 4a and 5, and HTTP for plain HTTP. It
//! connects to this machine for every host, and notes what was asked.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Who may use it, where it asks: a user and a password.
pub(crate) const LOGIN: (&str, &str) = ("someone", "p@ss");

/// The proxy. It ends with the process.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts one; whether those who speak SOCKS5 have to log in.
    pub(crate) fn start(login: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = record.clone();
                thread::spawn(move || drop(serve(stream, login, &record)));
            }
        });
        Self { port, asked }
    }

    /// The hosts that connections were asked for to, in their order.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, login: bool, record: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut input = BufReader::new(client.try_clone()?);
    let mut output = client.try_clone()?;
    let first = input.fill_buf()?.first().copied();
    let (host, port, answer, passed_on): (_, _, &[u8], _) = match first {
        Some(5) => {
            let (host, port) = socks5(&mut input, &mut output, login)?;
            (host, port, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], Vec::new())
        }
        Some(4) => {
            let (host, port) = socks4(&mut input)?;
            (host, port, &[0, 90, 0, 0, 0, 0, 0, 0], Vec::new())
        }
        _ => {
            // The line with the whole address goes on to the server as it is.
            let mut line = String::new();
            input.read_line(&mut line)?;
            let address = line.split(' ').nth(1).unwrap_or_default();
            let url: url::Url = address.parse().map_err(io::Error::other)?;
            let host = url.host_str().unwrap_or_default().to_owned();
            let port = url.port_or_known_default().unwrap_or(80);
            (host, port, &[], line.into_bytes())
        }
    };
    record.lock().unwrap().push(host);
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    output.write_all(answer)?;
    let (mut there, mut back) = (server.try_clone()?, server);
    there.write_all(&passed_on)?;
    thread::spawn(move || {
        let _ = io::copy(&mut back, &mut output);
        let _ = output.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut input, &mut there);
    let _ = there.shutdown(Shutdown::Write);
    Ok(())
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(input: &mut impl Read) -> io::Result<String> {
    let [length] = bytes(input)?;
    let mut text = vec![0; length.into()];
    input.read_exact(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// RFC 1928, and the login of RFC 1929.
fn socks5(
    input: &mut impl Read,
    output: &mut impl Write,
    login: bool,
) -> io::Result<(String, u16)> {
    let [_, methods] = bytes(input)?;
    let mut offered = vec![0; methods.into()];
    input.read_exact(&mut offered)?;
    let method = if login { 2 } else { 0 };
    if !offered.contains(&method) {
        output.write_all(&[5, 0xff])?;
        return Err(io::Error::other("no way to log in"));
    }
    output.write_all(&[5, method])?;
    if login {
        let [_] = bytes(input)?;
        let given = (text(input)?, text(input)?);
        let is_right = (&*given.0, &*given.1) == LOGIN;
        output.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Err(io::Error::other("a wrong login"));
        }
    }
    let [_, _, _, kind] = bytes(input)?;
    let host = match kind {
        1 => Ipv4Addr::from(bytes::<4>(input)?).to_string(),
        3 => text(input)?,
        _ => return Err(io::Error::other("an address of another kind")),
    };
    Ok((host, u16::from_be_bytes(bytes(input)?)))
}

/// As OpenSSH describes SOCKS 4 and 4a.
fn socks4(input: &mut impl BufRead) -> io::Result<(String, u16)> {
    let [_, _] = bytes(input)?;
    let port = u16::from_be_bytes(bytes(input)?);
    let address = bytes::<4>(input)?;
    let mut rest = Vec::new();
    input.read_until(0, &mut rest)?;
    // An address that cannot be stands for the name that follows.
    if !address.starts_with(&[0, 0, 0]) {
        return Ok((Ipv4Addr::from(address).to_string(), port));
    }
    rest.clear();
    input.read_until(0, &mut rest)?;
    rest.pop();
    Ok((String::from_utf8(rest).map_err(io::Error::other)?, port))
}
