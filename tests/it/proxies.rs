//! Proxies: which URLs use one, which kinds there are, and what errors say of them.

use super::support::proxies::{PASSWORD, Proxy, Speaks, Targets, USER};
use super::support::raw::{Raw, Request, api, keeping, presigned, reply, serve};
use super::support::services::Service;
use super::support::tls::{Authority, Leaf, front};
use super::support::tools::{networks, works};
use super::support::{World, each_at_once, noise};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

pub(super) const API: &str = "api.example.com";
const STORAGE: &str = "storage.example.com";

/// An API and a storage behind TLS, whose names only a proxy resolves.
pub(super) struct Site {
    pub(super) api: Raw,
    storage: Raw,
    pub(super) content: Vec<u8>,
    pub(super) authority: Authority,
    pub(super) targets: Targets,
}

pub(super) fn site() -> Site {
    let content = noise(50_000);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| serve(request, stream, &body, "\"1\""));
    let url = presigned(&format!("https://{STORAGE}"), "/x.bin");
    let api = Raw::start(move |request, stream| api(request, stream, &url));
    let authority = Authority::new();
    let targets = vec![
        (API, front(authority.leaf_for(API), api.address)),
        (STORAGE, front(authority.leaf_for(STORAGE), storage.address)),
    ];
    Site {
        api,
        storage,
        content,
        authority,
        targets,
    }
}

impl Site {
    /// A world that trusts the servers, and must not show the proxy's credentials.
    pub(super) fn world(&self) -> World {
        use base64::Engine as _;
        let mut world = World::new(&format!("https://{API}"));
        let file = world.home().join("ca.pem");
        std::fs::write(&file, self.authority.pem()).unwrap();
        world.set("DOCFETCH_CA_CERT", file.to_str().unwrap());
        world.hide(PASSWORD);
        let credentials = format!("{USER}:{PASSWORD}");
        world.hide(&base64::engine::general_purpose::STANDARD.encode(credentials));
        world
    }
}

/// An address at which nothing listens.
fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn documents_come_through_every_kind_of_proxy() {
    let site = site();
    for (speaks, scheme, password) in [
        (Speaks::Http, "http", false),
        (Speaks::Http, "http", true),
        (Speaks::Http, "https", true),
        (Speaks::Socks5, "socks5h", false),
        (Speaks::Socks5, "socks5h", true),
        (Speaks::Socks4, "socks4a", false),
    ] {
        let proxy = Proxy::start(speaks, password, site.targets.clone());
        let address = match scheme {
            "https" => {
                let port = front(site.authority.leaf(Leaf::Good), proxy.address).port();
                format!("localhost:{port}")
            }
            _ => proxy.address.to_string(),
        };
        let credentials = match password {
            true => format!("{USER}:{PASSWORD}@"),
            false => String::new(),
        };
        let url = format!("{scheme}://{credentials}{address}");
        let mut world = site.world();
        world.set("ALL_PROXY", &url);
        let paid = site.api.count("POST", "/download_uri");
        for provider in ["sm", "onecodex"] {
            let run = world.run(&[provider, "doc1", "-o", provider, "-v"]);
            run.exits(0);
            assert_eq!(world.read(provider), site.content, "{url}");
        }
        assert_eq!(site.api.count("POST", "/download_uri"), paid + 1, "{url}");
        let asked = proxy.asked();
        assert!(asked.contains(&format!("{API}:443")), "{asked:?}");
        assert!(asked.contains(&format!("{STORAGE}:443")), "{asked:?}");
    }
    for request in [site.api.seen(), site.storage.seen()].concat() {
        assert_eq!(request.header("proxy-authorization"), None);
    }
}

#[test]
fn a_socks_proxy_that_gets_addresses_gets_those_that_the_rules_permit() {
    if !networks() {
        return;
    }
    let script = "set -e; ip link set lo up; ip addr add 10.1.2.3/32 dev lo
        ip addr add fd00::3/128 dev lo; mount -t tmpfs none /mnt
        printf '127.0.0.1 localhost api.example.com\n10.1.2.3 storage.example.com\n' >/mnt/hosts
        printf 'fd00::3 storage.example.com\n169.254.169.254 rebind.example.com\n' >>/mnt/hosts
        mount --bind /mnt/hosts /etc/hosts; exec \"$0\" --ignored --exact \"$1\"";
    let output = Command::new("unshare")
        .args(["-mn", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg("proxies::socks_with_addresses")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "another test runs it in a network of its own"]
fn socks_with_addresses() {
    let site = site();
    let [(_, api_front), (_, storage)] = site.targets[..] else {
        panic!()
    };
    for (scheme, speaks) in [
        ("socks5", Speaks::Socks5),
        ("socks4", Speaks::Socks4),
        ("socks", Speaks::Socks4),
    ] {
        let targets = vec![
            ("127.0.0.1", api_front),
            ("10.1.2.3", storage),
            ("fd00::3", storage),
        ];
        let proxy = Proxy::start(speaks, false, targets);
        let url = format!("{scheme}://{}", proxy.address);
        let world = site.world();
        world.run(&["sm", "a", "--proxy", &url]).exits(0);
        assert_eq!(world.read("x.bin"), site.content, "{scheme}");
        let asked = proxy.asked();
        assert!(asked.contains(&"127.0.0.1:443".to_owned()), "{asked:?}");
        // A name that docfetch resolves is judged by its address, before the proxy is asked.
        let url_of_rebind = presigned("https://rebind.example.com", "/x");
        let forged = Raw::start(move |request, stream| api(request, stream, &url_of_rebind));
        let targets = vec![(
            "127.0.0.1",
            front(site.authority.leaf_for(API), forged.address),
        )];
        let proxy = Proxy::start(speaks, false, targets);
        let url = format!("{scheme}://{}", proxy.address);
        let run = site.world().run(&["sm", "a", "--proxy", &url, "--json"]);
        assert_eq!(run.exits(9).error_code(), "private_address", "{scheme}");
        let asked = proxy.asked();
        assert!(
            asked.iter().all(|asked| asked == "127.0.0.1:443"),
            "{asked:?}"
        );
    }
}

/// The HTTP library cannot check the certificate of an IPv6 address behind a proxy.
#[test]
fn https_to_an_ipv6_address_through_a_proxy_is_refused_in_words() {
    let site = site();
    let url = presigned("https://[2001:db8::3]", "/x.bin");
    let forger = Raw::start(move |request, stream| api(request, stream, &url));
    for (speaks, scheme) in [(Speaks::Http, "http"), (Speaks::Socks5, "socks5h")] {
        let targets = vec![(API, front(site.authority.leaf_for(API), forger.address))];
        let proxy = Proxy::start(speaks, false, targets);
        let url = format!("{scheme}://{}", proxy.address);
        let run = site.world().run(&["sm", "a", "--proxy", &url]);
        run.exits(5).is_prompt();
        run.says("cannot connect to [2001:db8::3] through the proxy")
            .says("IPv6 address")
            .says("name 2001:db8::3 in NO_PROXY");
        let asked = proxy.asked();
        assert!(
            asked.iter().all(|asked| !asked.contains("2001")),
            "{asked:?}"
        );
    }
}

/// The storage may need the proxy, and docfetch learns that only after it paid.
#[test]
fn nothing_is_paid_while_the_proxy_of_storages_cannot_be_used() {
    for (provider, exempt, code) in [
        ("onecodex", API, "config"),
        ("onecodex", "*", "network"),
        ("sm", API, "network"),
    ] {
        let mut world = World::new(&format!("https://{API}"));
        world.set("HTTPS_PROXY", "ftp://x");
        world.set("NO_PROXY", exempt);
        let run = world.run(&[provider, "a", "--retries", "0", "--json"]);
        assert_eq!(run.error_code(), code, "{provider} {exempt} {run:?}");
    }
}

#[test]
fn a_proxy_that_no_url_would_use_does_no_harm() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    for (number, variables) in [
        &[("ALL_PROXY", "socks5h://127.0.0.1:1080")][..],
        &[("all_proxy", "nonsense://x"), ("https_proxy", "http://[")],
        &[("http_proxy", "ftp://x"), ("no_proxy", "*")],
        &[("DOCFETCH_PROXY", "a b c"), ("HTTPS_PROXY", ":::")],
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = service.world();
        for (name, value) in variables {
            world.set(name, value);
        }
        let file = format!("{number}.bin");
        world.run(&["sm", "doc1", "-o", &file]).exits(0);
        assert_eq!(world.read(&file), content);
    }
    // The values of the scheme win over ALL_PROXY, which no URL would use then.
    let proxy = Raw::start(|_, stream| reply(stream, "502 No", &[], b""));
    let mut world = World::new("https://api.example.com");
    world.set("ALL_PROXY", "nonsense://x");
    world.set("HTTPS_PROXY", &proxy.address.to_string());
    let run = world.run(&["sm", "a", "--retries", "0"]);
    run.exits(5).says("(HTTPS_PROXY)");
    assert!(proxy.count("CONNECT", "api.example.com") > 0);
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_by_its_setting() {
    for (name, value) in [
        ("ALL_PROXY", "nonsense://user:proxy-passw0rd@x"),
        ("all_proxy", "http://user:proxy-passw0rd@"),
        ("HTTPS_PROXY", "http://user:proxy-passw0rd@[x"),
        ("https_proxy", "socks4://user:proxy-passw0rd@127.0.0.1"),
        ("https_proxy", "ftp://x"),
        ("DOCFETCH_PROXY", "http://a b"),
    ] {
        let mut world = World::new("https://api.example.com");
        world.hide(PASSWORD);
        world.set(name, value);
        let run = world.run(&["sm", "a", "-v", "--json"]);
        assert_eq!(run.exits(2).error_code(), "config", "{value}");
        let named = format!("the proxy of {name}");
        assert!(
            run.stderr.contains(&named) || run.stdout.contains(&named),
            "{run:?}"
        );
    }
    let world = World::new("https://api.example.com");
    let run = world.run(&["sm", "a", "--proxy", "ftp://x"]);
    run.exits(2).says("the proxy of --proxy").says("socks5h");
}

#[test]
fn variables_are_read_as_curl_reads_them() {
    let proxy = Raw::start(|_, stream| reply(stream, "502 No", &[], b""));
    let (used, other) = (proxy.base(), "http://127.0.0.1:9");
    let address = proxy.address.to_string();
    for (variables, source) in [
        (
            &[("https_proxy", used.as_str()), ("HTTPS_PROXY", other)][..],
            Some("https_proxy"),
        ),
        (
            &[("https_proxy", ""), ("HTTPS_PROXY", &used)],
            Some("HTTPS_PROXY"),
        ),
        (
            &[("https_proxy", " "), ("all_proxy", &used)],
            Some("all_proxy"),
        ),
        (
            &[("ALL_PROXY", &address), ("http_proxy", other)],
            Some("ALL_PROXY"),
        ),
        (
            &[("https_proxy", other), ("DOCFETCH_PROXY", &used)],
            Some("DOCFETCH_PROXY"),
        ),
        (&[("HTTP_PROXY", &used), ("http_proxy", &used)], None),
        (&[("https_proxy", &used), ("NO_PROXY", "example.com")], None),
        (
            &[("https_proxy", &used), ("NO_PROXY", "x"), ("no_proxy", "*")],
            None,
        ),
    ] {
        let mut world = World::new("https://api.example.com");
        for (name, value) in variables {
            world.set(name, value);
        }
        let before = proxy.seen().len();
        let run = world.run(&["sm", "a", "--retries", "0"]);
        let seen = proxy.seen().len() - before;
        assert_eq!(seen > 0, source.is_some(), "{variables:?} {run:?}");
        if let Some(source) = source {
            run.exits(5)
                .says(&format!("the proxy {address} ({source})"));
        }
        // The flag wins; an empty flag stands for no proxy.
        let run = world.run(&["sm", "a", "--retries", "0", "--proxy", ""]);
        assert!(!run.stderr.contains("proxy"), "{run:?}");
    }
    let mut world = World::new("https://api.example.com");
    world.set("https_proxy", other);
    let run = world.run(&["sm", "a", "--retries", "0", "--proxy", &used]);
    run.exits(5).says(&format!("the proxy {address} (--proxy)"));
}

#[test]
fn a_proxy_that_wants_other_credentials_is_tried_once() {
    for (speaks, scheme) in [(Speaks::Http, "http"), (Speaks::Socks5, "socks5h")] {
        for (credentials, says) in [
            ("", "requires a user name and a password"),
            ("user:proxy-passw0rd-2@", "does not accept the user name"),
        ] {
            let proxy = Proxy::start(speaks, true, Vec::new());
            let mut world = World::new("https://api.example.com");
            world.hide("proxy-passw0rd-2");
            let url = format!("{scheme}://{credentials}{}", proxy.address);
            world.set("HTTPS_PROXY", &url);
            for provider in ["sm", "onecodex"] {
                let run = world.run(&[provider, "a", "-v"]);
                run.exits(3).is_prompt().says(says).says("(HTTPS_PROXY)");
                run.says(&format!("the proxy {}", proxy.address));
            }
            // Nothing was sent, so that nothing is recorded as paid.
            let run = world.run(&["ledger", "list"]);
            assert!(!run.exits(0).stdout.contains("onecodex"), "{run:?}");
        }
    }
}

#[test]
fn a_proxy_in_trouble_is_named_and_no_paid_request_left() {
    let refuses = |status: &'static str| {
        Raw::start(move |_, stream| reply(stream, status, &[], b"no")).base()
    };
    let site = site();
    let stranger = Authority::new();
    let proxy = Proxy::start(Speaks::Http, false, site.targets.clone()).address;
    let untrusted = front(stranger.leaf(Leaf::Good), proxy).port();
    let socks = Proxy::start(Speaks::Socks5, false, Vec::new()).address;
    let hangs_up = Raw::start(|_, _| {}).base();
    let plain = keeping(|_, mut stream| reply(&mut stream, "400 No", &[], b""));
    let plain = plain.trim_start_matches("http://");
    let cases = [
        (
            refuses("403 Forbidden"),
            5,
            "did not connect to api.example.com",
        ),
        (
            refuses("502 Bad Gateway"),
            5,
            "did not connect to api.example.com",
        ),
        (refuses("503 Busy"), 5, "did not connect to api.example.com"),
        (hangs_up, 5, "closed the connection before it answered"),
        (
            format!("http://{}", closed()),
            5,
            "cannot connect to the proxy",
        ),
        (
            format!("socks5h://{}", closed()),
            5,
            "the proxy refused the connection",
        ),
        (
            "http://proxy.invalid:3128".into(),
            5,
            "cannot connect to the proxy proxy.invalid:3128",
        ),
        (
            "socks5h://proxy.invalid".into(),
            5,
            "did not find the name of the proxy",
        ),
        (
            format!("https://{plain}"),
            5,
            "write http:// in https_proxy",
        ),
        (
            format!("https://localhost:{untrusted}"),
            9,
            "hint: if you trust the proxy, pass the certificate of the authority that issued it with --ca-cert\n",
        ),
        (
            format!("socks5h://{socks}"),
            5,
            "the proxy says: host unreachable",
        ),
        (
            format!("socks5h://{plain}"),
            5,
            "does not speak this version of SOCKS",
        ),
    ];
    each_at_once(cases, |(proxy, code, says)| {
        let mut world = site.world();
        world.set("https_proxy", &proxy);
        for provider in ["sm", "onecodex"] {
            let run = world.run(&[provider, "a", "--retries", "0"]);
            run.exits(code).is_prompt().says(says).says("(https_proxy)");
        }
        let run = world.run(&["ledger", "list"]);
        assert!(!run.exits(0).stdout.contains("doubt"), "{run:?}");
        assert!(!run.stdout.contains("attempting"), "{run:?}");
    });
    assert!(site.api.seen().is_empty());
}

#[test]
fn a_proxy_that_never_answers_ends_with_the_connect_timeout() {
    let silent = Raw::start(|_, _| std::thread::sleep(super::support::SILENCE));
    let mut world = World::new("https://api.example.com");
    world.set("https_proxy", &silent.base());
    let limits = ["--retries", "0", "--connect-timeout", "1s"];
    let run = world.run(&[&["onecodex", "a"][..], &limits].concat());
    run.exits(5).is_prompt().says("--connect-timeout");
    run.says(&format!(
        "through the proxy {} (https_proxy)",
        silent.address
    ));
}

#[test]
fn plain_http_through_a_proxy_names_the_proxy_too() {
    let world = || World::new("http://10.0.0.1");
    let arguments = [
        "onecodex",
        "a",
        "--allow-private",
        "--retries",
        "0",
        "--proxy",
    ];
    let run = |world: &World, proxy: &str| world.run(&[&arguments[..], &[proxy]].concat());
    let refused = run(&world(), &format!("http://{}", closed()));
    refused
        .exits(5)
        .says("cannot connect to the proxy")
        .says("(--proxy)");
    let down = run(&world(), "http://proxy.invalid:3128");
    down.exits(5)
        .says("cannot connect to the proxy proxy.invalid:3128");
    // Only the proxy saw the paid request: it was not charged.
    let wants = Raw::start(|_, stream| reply(stream, "407 Who", &[], b"no"));
    let paying = world();
    for _ in 0..2 {
        let rejected = run(&paying, &wants.base());
        rejected
            .exits(3)
            .says("requires a user name and a password")
            .says("DOCFETCH_PROXY=http://USER:PASSWORD@HOST:PORT");
    }
    assert!(wants.seen()[0].target.starts_with("http://10.0.0.1/"));
    // An answer of 5xx may come from the API.
    let fails = Raw::start(|_, stream| reply(stream, "502 No", &[], b""));
    run(&paying, &fails.base()).exits(8);
    run(&paying, &wants.base()).exits(8);
}

#[test]
fn a_proxy_that_replaces_certificates_is_named() {
    let (site, stranger) = (site(), Authority::new());
    let targets = vec![(API, front(stranger.leaf_for(API), site.api.address))];
    let proxy = Proxy::start(Speaks::Http, false, targets);
    let mut world = site.world();
    world.set("https_proxy", &format!("http://{}", proxy.address));
    let run = world.run(&["onecodex", "a"]);
    run.exits(9)
        .says("the certificate of api.example.com through the proxy");
    run.says("--ca-cert");
    assert!(site.api.seen().is_empty());
}

/// curl 7.88 is the reference. It compares IPv6 addresses as text, which later versions do not.
#[test]
fn the_same_hosts_bypass_the_proxy_as_with_curl() {
    if !works("curl", &["curl", "--version"]) {
        return;
    }
    let proxy = Raw::start(|_, stream| reply(stream, "418 Proxy", &[], b""));
    let cases = [
        ("example.com", "http://x.example.com"),
        (".example.com", "http://example.com"),
        ("example.com.", "http://x.example.com"),
        ("EXAMPLE.com", "http://x.example.com"),
        ("a.com example.com", "http://x.example.com"),
        ("a.com , example.com", "http://x.example.com"),
        ("a.com;example.com", "http://x.example.com"),
        ("*.example.com", "http://x.example.com"),
        ("x.example.com:80", "http://x.example.com"),
        ("x.example.com:8443", "http://x.example.com:8443"),
        ("x.example.com", "http://x.example.com:8443"),
        ("foo,*", "http://x.example.com"),
        (" *", "http://x.example.com"),
        ("*", "http://x.example.com"),
        ("notexample.com", "http://example.com"),
        ("example.com", "http://notexample.com"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("10.0.0.1:80", "http://10.0.0.1"),
        ("10.0.0.0/8", "http://10.1.2.3"),
        ("10.0.0.0/16", "http://10.1.2.3"),
        ("10.0.0.0/0", "http://10.1.2.3"),
        ("10.0.0.0/33", "http://10.0.0.0"),
        ("10.", "http://10.1.2.3"),
        ("fd00::1", "http://[fd00::1]"),
        ("[fd00::1]", "http://[fd00::1]"),
    ];
    each_at_once(cases, |(list, url)| {
        let mut world = World::new(url);
        world.set("http_proxy", &proxy.base()).set("NO_PROXY", list);
        let resolve = [
            "--resolve",
            "*:80:127.0.0.1",
            "--resolve",
            "*:8443:127.0.0.1",
        ];
        let options = [
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--connect-timeout",
            "1",
        ];
        let by_curl = world.run_of("curl", &[&resolve[..], &options, &[url]].concat());
        let limits = [
            "--retries",
            "0",
            "--connect-timeout",
            "1s",
            "--allow-private",
            "--json",
        ];
        let run = world.run(&[&["sm", "a"][..], &limits].concat());
        // Plain http to a name through a proxy is refused, and says so.
        let all = format!("{}{}", run.stdout, run.stderr);
        let by_docfetch = all.contains("proxy") || all.contains("\"http_status\":418");
        assert_eq!(
            by_docfetch,
            by_curl.stdout == "418",
            "{list:?} {url} {run:?}"
        );
    });
}

#[test]
fn a_proxy_value_that_is_not_utf8_is_refused_and_not_passed_over() {
    use std::os::unix::ffi::OsStrExt as _;
    let proxy = Raw::start(|_, stream| reply(stream, "502 No", &[], b""));
    let value = [
        b"http://user:p\xe4ss@",
        proxy.address.to_string().as_bytes(),
    ]
    .concat();
    for name in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        let world = World::new("https://api.example.com");
        let mut command = world.command(&["sm", "a", "--retries", "0"]);
        command.env(name, std::ffi::OsStr::from_bytes(&value));
        let run = world.finish_with_input(command, "");
        run.exits(2)
            .says("not UTF-8")
            .says(&format!("the proxy of {name}"));
    }
    assert!(proxy.seen().is_empty());
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let mut command = world.command(&["sm", "doc1", "-o", "x"]);
    command.env("ALL_PROXY", std::ffi::OsStr::from_bytes(&value));
    world.finish_with_input(command, "").exits(0);
    assert_eq!(world.read("x"), content);
}

#[test]
fn a_wrong_password_is_tried_once_in_a_batch() {
    let documents: Vec<String> = (0..12).map(|number| format!("d{number}")).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    for base in ["https://api.example.com", "http://10.0.0.1"] {
        for provider in ["sm", "onecodex"] {
            let proxy = Raw::start(|_, stream| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                reply(stream, "407 Who", &[], b"");
            });
            let mut world = World::new(base);
            world.hide("proxy-passw0rd-2");
            let url = format!("http://user:proxy-passw0rd-2@{}", proxy.address);
            world.set("ALL_PROXY", &url);
            let options = [provider, "--allow-private", "-j", "4"];
            let run = world.run(&[&options[..], &documents].concat());
            run.exits(3).says("does not accept the user name");
            let seen = proxy.seen();
            let with_password =
                |request: &&Request| request.header("proxy-authorization").is_some();
            let tried = seen.iter().filter(with_password).count();
            assert_eq!(tried, 1, "{provider} {base} {run:?}");
        }
    }
}

#[test]
fn a_proxy_that_authenticates_otherwise_is_told_from_a_wrong_password() {
    use std::io::{Read as _, Write as _};
    for method in [0xff, 0] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 16]);
                let _ = client.write_all(&[5, method]);
            }
        });
        let mut world = World::new("https://api.example.com");
        world.hide(PASSWORD);
        world.set(
            "ALL_PROXY",
            &format!("socks5h://{USER}:{PASSWORD}@{address}"),
        );
        let run = world.run(&["sm", "a"]);
        run.exits(3)
            .is_prompt()
            .says("takes no user name and password");
        run.says("leave the user name and the password out of ALL_PROXY");
    }
    let proxy = Proxy::start(Speaks::Socks5, true, Vec::new());
    let mut world = World::new("https://api.example.com");
    world.set("ALL_PROXY", &format!("socks5h://{}", proxy.address));
    let run = world.run(&["sm", "a"]);
    run.exits(3)
        .says("ALL_PROXY=socks5h://USER:PASSWORD@HOST:PORT");
    for (challenges, says) in [
        (&["NTLM", "Negotiate"][..], "docfetch supports Basic"),
        (&["Digest realm=\"Basic\""], "docfetch supports Basic"),
        (&["NTLM", "bAsIc realm=\"x\""], "requires a user name"),
        (&["Negotiate, Basic realm=\"x\""], "requires a user name"),
    ] {
        let proxy = Raw::start(move |_, stream| {
            let fields: Vec<_> = challenges
                .iter()
                .map(|challenge| ("Proxy-Authenticate", *challenge))
                .collect();
            reply(stream, "407 Who", &fields, b"");
        });
        let world = World::new("http://10.0.0.1");
        let run = world.run(&["sm", "a", "--allow-private", "--proxy", &proxy.base()]);
        run.exits(3).says(says);
    }
}

#[test]
fn errors_name_the_party_that_may_be_wrong() {
    use std::io::Write as _;
    let site = site();
    let opens = |after: &'static [u8]| {
        let proxy = Raw::start(move |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            std::thread::sleep(std::time::Duration::from_millis(200)); // no part of the answer
            let _ = stream.write_all(after);
        });
        proxy.base()
    };
    let plain = Proxy::start(Speaks::Http, false, Vec::new()).address;
    let other = front(site.authority.leaf_for("other.example.com"), plain).port();
    let cases = [
        (opens(b""), 5, "check https_proxy and the host's address"),
        (
            opens(b"<html>Log in</html>"),
            5,
            "the proxy or the server does not speak TLS",
        ),
        (
            format!("http://{}", closed()),
            5,
            "the proxy refused the connection",
        ),
        (
            format!("https://localhost:{other}"),
            9,
            "tell the administrator of the proxy",
        ),
        (
            format!(
                "socks5://{}",
                Proxy::start(Speaks::Socks5, false, Vec::new()).address
            ),
            5,
            "write socks5h:// in https_proxy",
        ),
        (
            format!(
                "socks4://{}",
                Proxy::start(Speaks::Socks4, false, Vec::new()).address
            ),
            5,
            "write socks4a:// in https_proxy",
        ),
    ];
    each_at_once(cases, |(proxy, code, says)| {
        let mut world = site.world();
        world.set("STANDARD_METRICS_API_BASE", "https://unknown.invalid");
        world.set("https_proxy", &proxy);
        world
            .run(&["sm", "a", "--retries", "0"])
            .exits(code)
            .says(says);
    });
}

#[test]
fn a_malformed_proxy_value_is_explained() {
    for (value, says) in [
        ("http://h:65536", "from 1 to 65535"),
        ("h:0", "from 1 to 65535"),
        ("http://u:proxy-passw0rd#x@h:1", "write %23 for #"),
        ("http://u:12#proxy-passw0rd@h:1", "write %23 for #"),
        ("socks5h://u:a/proxy-passw0rd@h", "%2F for /"),
        ("u:a?proxy-passw0rd@h", "%3F for ?"),
    ] {
        let mut world = World::new("https://api.example.com");
        world.hide(PASSWORD);
        world.set("https_proxy", value);
        world.run(&["sm", "a", "-v"]).exits(2).says(says);
    }
}
