//! HTTP and SOCKS proxies on raw sockets.

use super::raw;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The user name and the password that a proxy may require.
pub const USER: &str = "proxy-user";
pub const PASSWORD: &str = "proxy-passw0rd";

/// A proxy that relays every connection to the server that a test names for the host.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Where the connections for a host lead.
pub type Targets = Vec<(&'static str, SocketAddr)>;

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Http,
    Socks4,
    Socks5,
}

impl Proxy {
    /// Serves; where `wants_password`, only for [`USER`] and [`PASSWORD`].
    pub fn start(speaks: Speaks, wants_password: bool, targets: Targets) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, targets) = (Arc::clone(&asked), Arc::new(targets));
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let (log, targets) = (Arc::clone(&log), Arc::clone(&targets));
                std::thread::spawn(move || {
                    let asked = match speaks {
                        Speaks::Http => http(&mut client, wants_password),
                        Speaks::Socks4 => socks4(&mut client),
                        Speaks::Socks5 => socks5(&mut client, wants_password),
                    };
                    let Some(asked) = asked else { return };
                    log.lock().unwrap().push(asked.clone());
                    let host = asked.rsplit_once(':').unwrap().0;
                    let target = targets.iter().find(|(known, _)| *known == host);
                    let server = target.and_then(|(_, server)| TcpStream::connect(server).ok());
                    answer(&mut client, speaks, server.is_some());
                    if let Some(server) = server {
                        relay(client, server);
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// The hosts and ports that clients asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Copies bytes in both directions until both have ended.
pub fn relay(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upward = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = upward.join();
}

fn answer(client: &mut TcpStream, speaks: Speaks, works: bool) {
    let answer: &[u8] = match (speaks, works) {
        (Speaks::Http, true) => b"HTTP/1.1 200 Connection established\r\n\r\n",
        (Speaks::Http, false) => b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        (Speaks::Socks4, true) => &[0, 90, 0, 0, 0, 0, 0, 0],
        (Speaks::Socks4, false) => &[0, 91, 0, 0, 0, 0, 0, 0],
        (Speaks::Socks5, true) => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        (Speaks::Socks5, false) => &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
    };
    let _ = client.write_all(answer);
}

fn http(client: &mut TcpStream, wants_password: bool) -> Option<String> {
    use base64::Engine as _;
    let request = raw::read(client)?;
    let credentials = format!("{USER}:{PASSWORD}");
    let basic = base64::engine::general_purpose::STANDARD.encode(credentials);
    let given = request.header("proxy-authorization");
    if wants_password && given != Some(&format!("Basic {basic}")) {
        raw::reply(client, "407 Proxy Authentication Required", &[], b"");
        return None;
    }
    (request.method == "CONNECT").then_some(request.target)
}

fn bytes<const N: usize>(client: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn text(client: &mut TcpStream, length: u8) -> Option<String> {
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// SOCKS 4, and 4a for names.
fn socks4(client: &mut TcpStream) -> Option<String> {
    let [version, command, high, low, a, b, c, d] = bytes(client)?;
    assert_eq!((version, command), (4, 1));
    let mut until_zero = || {
        let mut text = String::new();
        loop {
            let [byte] = bytes(client)?;
            if byte == 0 {
                return Some(text);
            }
            text.push(byte.into());
        }
    };
    assert_eq!(until_zero()?, "", "the user");
    let host = match [a, b, c] {
        [0, 0, 0] if d != 0 => until_zero()?,
        _ => Ipv4Addr::new(a, b, c, d).to_string(),
    };
    Some(format!("{host}:{}", u16::from_be_bytes([high, low])))
}

/// SOCKS 5 (RFC 1928), with the names and passwords of RFC 1929.
fn socks5(client: &mut TcpStream, wants_password: bool) -> Option<String> {
    let [version, count] = bytes(client)?;
    assert_eq!(version, 5);
    let offered = text(client, count)?.into_bytes();
    let method = if wants_password { 2 } else { 0 };
    if !offered.contains(&method) {
        client.write_all(&[5, 0xff]).unwrap();
        return None;
    }
    client.write_all(&[5, method]).unwrap();
    if wants_password {
        let [_, length] = bytes(client)?;
        let user = text(client, length)?;
        let [length] = bytes(client)?;
        let right = (user.as_str(), text(client, length)?.as_str()) == (USER, PASSWORD);
        client.write_all(&[1, u8::from(!right)]).unwrap();
        if !right {
            return None;
        }
    }
    let [_, command, _, kind] = bytes(client)?;
    assert_eq!(command, 1);
    let host = match kind {
        1 => Ipv4Addr::from(bytes(client)?).to_string(),
        4 => std::net::Ipv6Addr::from(bytes::<16>(client)?).to_string(),
        3 => {
            let [length] = bytes(client)?;
            text(client, length)?
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(bytes(client)?);
    Some(format!("{host}:{port}"))
}
