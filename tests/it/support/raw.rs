//! Servers on raw sockets: every byte of an answer is the test's own.

use super::{SIGNATURE, TOKEN};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many requests for the same method and path came before it.
    pub before: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The offset that a range request starts at.
    pub fn range_start(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// A server of one request a connection.
pub struct Raw {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    /// Their heads as they arrived.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    /// Answers each request with `answer`, in a thread of its own.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    /// The same at an address that was free a moment ago.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(TcpListener::bind(address).unwrap(), answer)
    }

    fn serve(
        listener: TcpListener,
        answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        let head_log = Arc::clone(&heads);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let head_log = Arc::clone(&head_log);
                std::thread::spawn(move || {
                    let Some((mut request, head)) = read_with_head(&stream) else {
                        return;
                    };
                    {
                        let mut log = log.lock().unwrap();
                        let same = |other: &&Request| {
                            other.method == request.method && other.path() == request.path()
                        };
                        request.before = log.iter().filter(same).count();
                        log.push(request.clone());
                        head_log.lock().unwrap().push(head);
                    }
                    answer(&request, &mut stream);
                });
            }
        });
        Self {
            address,
            seen,
            heads,
        }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far, and the request line and the headers of each as they arrived, with their line ends.
    pub fn seen_with_heads(&self) -> Vec<(Request, String)> {
        let seen = self.seen.lock().unwrap();
        let heads = self.heads.lock().unwrap();
        seen.iter().cloned().zip(heads.iter().cloned()).collect()
    }

    /// How many requests came with this method for paths that contain `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let seen = self.seen();
        seen.iter()
            .filter(|request| request.method == method && request.path().contains(part))
            .count()
    }
}

/// A server whose connections are kept: each is served by `serve`, which is told its number.
pub fn keeping(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(number, stream));
        }
    });
    base
}

/// The next request on a connection.
pub fn read(stream: &TcpStream) -> Option<Request> {
    Some(read_with_head(stream)?.0)
}

/// The next request on a connection, and its head as it arrived.
fn read_with_head(stream: &TcpStream) -> Option<(Request, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut head = line.clone();
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        head.push_str(&line);
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
        before: 0,
    };
    let length = request
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some((request, head))
}

/// Sends a whole answer.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    head(stream, status, headers, Some(body.len()));
    let _ = stream.write_all(body);
}

/// Sends a whole answer, after which the connection can be used again.
pub fn keep(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes());
}

/// Sends the head of an answer; the body is the caller's.
pub fn head(
    stream: &mut impl Write,
    status: &str,
    headers: &[(&str, &str)],
    length: Option<usize>,
) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    if let Some(length) = length {
        text.push_str(&format!("Content-Length: {length}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes());
}

/// The first and the last byte that a request asks for; none for the whole.
pub fn asked(request: &Request, total: usize) -> Option<(usize, usize)> {
    let range = request.header("range")?;
    let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
    Some((first.parse().unwrap(), last.parse().unwrap_or(total - 1)))
}

/// Answers as an object storage does, with the requested range.
pub fn serve(request: &Request, stream: &mut impl Write, content: &[u8], tag: &str) {
    send_part(request, stream, content, tag, content.len());
}

/// The same, but only up to `most` bytes of the body; then the connection closes.
pub fn send_part(
    request: &Request,
    stream: &mut impl Write,
    content: &[u8],
    tag: &str,
    most: usize,
) {
    let total = content.len();
    let wanted = request.header("if-range").is_none_or(|known| known == tag);
    let body = match asked(request, total).filter(|_| wanted) {
        Some((first, _)) if first >= total => {
            let range = format!("bytes */{total}");
            let headers = [("Content-Range", &*range)];
            head(stream, "416 Range Not Satisfiable", &headers, Some(0));
            return;
        }
        Some((first, last)) => {
            let range = format!("bytes {first}-{last}/{total}");
            let headers = [("ETag", tag), ("Content-Range", &range)];
            let length = Some(last + 1 - first);
            head(stream, "206 Partial Content", &headers, length);
            &content[first..=last]
        }
        None => {
            head(stream, "200 OK", &[("ETag", tag)], Some(total));
            content
        }
    };
    let _ = stream.write_all(&body[..body.len().min(most)]);
}

/// Closes a connection with a reset.
pub fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}

/// A presigned URL at a storage.
pub fn presigned(storage: &str, path: &str) -> String {
    format!("{storage}{path}?X-Sig={SIGNATURE}")
}

/// Answers an API request as both providers do, the document being at `url`.
pub fn api(request: &Request, stream: &mut TcpStream, url: &str) {
    match (request.method.as_str(), request.path()) {
        ("POST", "/o/token/") => {
            let token = format!(
                r#"{{"access_token":"{TOKEN}","expires_in":3600,"token_type":"Bearer","scope":"read"}}"#
            );
            reply(
                stream,
                "200 OK",
                &[("Content-Type", "application/json")],
                token.as_bytes(),
            );
        }
        ("GET", path) if path.ends_with("/download/") => {
            reply(stream, "302 Found", &[("Location", url)], b"")
        }
        ("POST", path) if path.ends_with("/download_uri") => {
            let json = serde_json::json!({"download_uri": url, "expires_in_hours": 1}).to_string();
            reply(
                stream,
                "200 OK",
                &[("Content-Type", "application/json")],
                json.as_bytes(),
            );
        }
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    }
}

/// As [`api`], while the route for metadata is broken: docfetch knows neither the name nor the size of a document,
/// and cannot tell whether the document exists.
pub fn api_without_metadata(request: &Request, stream: &mut TcpStream, url: &str) {
    let is_metadata = request.method == "GET" && !request.path().ends_with("/download/");
    if is_metadata {
        return reply(stream, "503 Service Unavailable", &[], b"{}");
    }
    api(request, stream, url);
}

/// An API whose documents are all at `path` of a storage that answers with `storage`.
pub fn both(
    path: &'static str,
    storage: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> (Raw, Raw) {
    let storage = Raw::start(storage);
    let url = presigned(&storage.base(), path);
    let api = Raw::start(move |request, stream| api(request, stream, &url));
    (api, storage)
}
