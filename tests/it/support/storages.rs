//! Real storages that others built, each with a document behind signed links of its own kind.

use super::tools::{skip, works};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::hmac;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the storages sign with.
const KEY: &str = "the key of a storage";
/// The name of the document.
pub const NAME: &str = "a.bin";

/// A storage that serves as long as it is held.
pub struct Storage {
    pub address: SocketAddr,
    /// What comes after the address in a link that ends then, in seconds since 1970.
    pub link: fn(end: i64) -> String,
    /// What makes a link one: no output may show its value.
    pub signature: &'static str,
    process: Child,
    _folder: TempDir,
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a program; its output is dropped, except for a first line where `is_telling`.
fn start(program: &Path, arguments: &[&str], is_telling: bool) -> Child {
    let output = if is_telling {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn first_line_with(process: &mut Child, text: &str) -> String {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    lines.find(|line| line.contains(text)).unwrap()
}

/// What CI installed below `target/`.
fn installed(path: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(path);
    if program.exists() {
        return Some(program);
    }
    skip(&format!("{} is not there", program.display()));
    None
}

fn in_time(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// nginx with `secure_link`: 410 for a link that is over, 403 for one that is wrong.
pub fn nginx(content: &[u8]) -> Option<Storage> {
    let probe = "nginx -V 2>&1 | grep -q http_secure_link_module";
    if !works("nginx with secure_link", &["sh", "-c", probe]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    fs::create_dir(folder.path().join("documents")).unwrap();
    fs::write(folder.path().join("documents").join(NAME), content).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/errors; events {{}}
         http {{ access_log off; {temporary} server {{ listen {address}; location / {{
           root {root}; secure_link $arg_md5,$arg_expires;
           secure_link_md5 \"$secure_link_expires$uri {KEY}\";
           if ($secure_link = \"\") {{ return 403; }}
           if ($secure_link = \"0\") {{ return 410; }} }} }} }}"
    );
    let path = format!("{root}/nginx.conf");
    fs::write(&path, configuration).unwrap();
    let process = start(Path::new("nginx"), &["-c", &path, "-e", "/dev/null"], false);
    in_time("nginx", || TcpStream::connect(address).is_ok());
    Some(Storage {
        address,
        link: |end| {
            use md5::Digest as _;
            let path = format!("/documents/{NAME}");
            let md5 = md5::Md5::digest(format!("{end}{path} {KEY}"));
            format!("{path}?md5={}&expires={end}", URL_SAFE_NO_PAD.encode(md5))
        },
        signature: "md5",
        process,
        _folder: folder,
    })
}

/// `OpenStack` Swift with temporary URLs: 401 for one that is over or wrong.
pub fn swift(content: &[u8]) -> Option<Storage> {
    let python = installed("ci-swift/bin/python")?;
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join(NAME);
    fs::write(&document, content).unwrap();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/support/openstack_swift.py"
    );
    let place = folder.path().to_str().unwrap();
    let arguments = [script, place, KEY, document.to_str().unwrap()];
    let mut process = start(&python, &arguments, true);
    let container = first_line_with(&mut process, "http://");
    let (address, _) = container["http://".len()..].split_once('/').unwrap();
    Some(Storage {
        address: address.parse().unwrap(),
        link: |end| {
            let path = format!("/v1/AUTH_test/documents/{NAME}");
            let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
            let signature = hmac::sign(&key, format!("GET\n{end}\n{path}").as_bytes());
            let signature = signature.as_ref().iter().map(|byte| format!("{byte:02x}"));
            let signature: String = signature.collect();
            format!("{path}?temp_url_sig={signature}&temp_url_expires={end}")
        },
        signature: "temp_url_sig",
        process,
        _folder: folder,
    })
}

/// The account of Azurite, and its key, which its documentation gives away.
const AZURE: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// A shared access signature of the account, as "Create an account SAS" of Azure Storage says.
fn shared_access(permissions: &str, end: i64) -> String {
    let (account, key) = AZURE;
    let end = Timestamp::from_second(end).unwrap();
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let version = "2018-11-09";
    let signed = format!("{account}\n{permissions}\nb\nsco\n\n{end}\n\n\n{version}\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
    let signature = hmac::sign(&key, signed.as_bytes());
    let query: String = [
        ("sv", version),
        ("ss", "b"),
        ("srt", "sco"),
        ("sp", permissions),
        ("se", &end),
        ("sig", &STANDARD.encode(signature)),
    ]
    .map(|(name, value)| {
        let value =
            percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        format!("&{name}={value}")
    })
    .concat();
    query[1..].to_owned()
}

/// Azurite, Microsoft's emulator of Azure Storage: 403 for a signature that is over or wrong.
pub fn azurite(content: &[u8]) -> Option<Storage> {
    let program = installed("ci-azurite/node_modules/.bin/azurite-blob")?;
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        ["--blobPort", "0"],
        ["--inMemoryPersistence", "--skipApiVersionCheck"],
        ["--silent", "--disableTelemetry"],
    ]
    .concat();
    let mut process = start(&program, &arguments, true);
    let listening = first_line_with(&mut process, "successfully listens");
    let (_, address) = listening.split_once("http://").unwrap();
    let address: SocketAddr = address.trim().parse().unwrap();
    let all = shared_access("rwc", Timestamp::now().as_second() + 600);
    let container = format!("/{}/documents", AZURE.0);
    let put = |target: String, headers: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    };
    put(format!("{container}?restype=container&{all}"), "", b"");
    let kind = "x-ms-blob-type: BlockBlob\r\n";
    put(format!("{container}/{NAME}?{all}"), kind, content);
    Some(Storage {
        address,
        link: |end| format!("/{}/documents/{NAME}?{}", AZURE.0, shared_access("r", end)),
        signature: "sig",
        process,
        _folder: folder,
    })
}

/// A way to a storage whose first answer of more than so many bytes breaks there, at that time.
pub fn breaking(storage: SocketAddr, bytes: usize, at: Instant) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let has_broken = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in listener.incoming().flatten() {
                let has_broken = &has_broken;
                scope.spawn(move || {
                    let server = TcpStream::connect(storage).unwrap();
                    let (mut from, mut to) =
                        (client.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                    let first = std::io::copy(&mut (&server).take(bytes as u64), &mut &client);
                    let is_long = first.is_ok_and(|sent| sent == bytes as u64);
                    if is_long && !has_broken.swap(true, std::sync::atomic::Ordering::SeqCst) {
                        std::thread::sleep(at.saturating_duration_since(Instant::now()));
                    } else {
                        let _ = std::io::copy(&mut &server, &mut &client);
                    }
                    let _ = client.shutdown(std::net::Shutdown::Both);
                    let _ = server.shutdown(std::net::Shutdown::Both);
                });
            }
        });
    });
    address
}
