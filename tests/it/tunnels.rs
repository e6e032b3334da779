//! Which answer of a proxy to a CONNECT request the user reads, and what docfetch does after the answer.

use super::proxies::{API, site};
use super::support::each_at_once;
use super::support::proxies::{PASSWORD, USER, relay};
use super::support::raw::{Raw, Request, reply};
use super::support::tls::{Authority, Leaf, front};
use std::net::TcpStream;

/// A proxy that answers each CONNECT request in the same way.
fn answering(status: &'static str, headers: &'static [(&str, &str)]) -> Raw {
    Raw::start(move |_, stream| reply(stream, status, headers, b"<html>no</html>"))
}

fn has_password(request: &Request) -> bool {
    request.header("proxy-authorization").is_some()
}

#[test]
fn the_status_of_a_refused_tunnel_is_said_and_decides_about_retries() {
    let site = site();
    let cases = [
        (
            "403 Forbidden",
            false,
            "HTTP 403 Forbidden: the proxy does not permit connections to this host",
        ),
        (
            "404 Not Found",
            false,
            "HTTP 404 Not Found: the server at this address may be no proxy",
        ),
        (
            "501 Unsupported",
            false,
            "the server at this address may be no proxy",
        ),
        ("511 Log in", false, "the network requires a login"),
        (
            "499 Odd",
            false,
            "the proxy answered HTTP 499: the proxy opened no tunnel",
        ),
        ("500 Oops", true, "HTTP 500 Internal Server Error"),
        (
            "502 Bad Gateway",
            true,
            "HTTP 502 Bad Gateway: the proxy has no connection to the host",
        ),
        (
            "503 Busy",
            true,
            "HTTP 503 Service Unavailable: the proxy is overloaded",
        ),
        (
            "504 Late",
            true,
            "the host did not answer the proxy in time",
        ),
    ];
    each_at_once(cases, |(status, is_retried, says)| {
        for (provider, scheme) in [("sm", "http"), ("onecodex", "https")] {
            let proxy = answering(status, &[]);
            let address = match scheme {
                "https" => {
                    let leaf = site.authority.leaf(Leaf::Good);
                    format!("localhost:{}", front(leaf, proxy.address).port())
                }
                _ => proxy.address.to_string(),
            };
            let mut world = site.world();
            world.set(
                "https_proxy",
                &format!("{scheme}://{USER}:{PASSWORD}@{address}"),
            );
            let run = world.run(&[provider, "a", "--retries", "1", "-v"]);
            run.exits(5).is_prompt().says(says);
            run.says(&format!(
                "the proxy {address} (https_proxy) did not connect to {API}"
            ));
            // Each attempt is one request, and one more that tells the status. One Codex has metadata, too.
            let attempts = 1 + usize::from(is_retried) + usize::from(provider == "onecodex");
            let requests = 2 * attempts;
            assert_eq!(proxy.count("CONNECT", API), requests, "{status} {run:?}");
            let seen = proxy.seen();
            assert!(
                seen.iter()
                    .all(|request| request.target == "api.example.com:443")
            );
            assert!(seen.iter().all(has_password), "{seen:?}");
            let listed = world.run(&["ledger", "list"]);
            assert_eq!(listed.exits(0).stdout, "");
        }
    });
    assert!(site.api.seen().is_empty());
}

/// RFC 9110 section 9.3.6: the target of a CONNECT request has a port.
#[test]
fn every_request_for_a_tunnel_names_the_port() {
    let site = site();
    // The HTTP library would leave out port 80, so that no second request tells the status.
    for (port, requests, says) in [
        (8443, 2, "HTTP 403 Forbidden"),
        (80, 1, "the proxy refused a CONNECT request"),
    ] {
        let proxy = answering("403 Forbidden", &[]);
        let mut world = site.world();
        world.set("https_proxy", &proxy.base());
        let base = format!("https://{API}:{port}");
        world.set("STANDARD_METRICS_API_BASE", &base);
        world
            .run(&["sm", "a", "--retries", "0"])
            .exits(5)
            .says(says);
        let seen = proxy.seen();
        let targets: Vec<_> = seen.iter().map(|request| &request.target).collect();
        assert_eq!(targets, vec![&format!("{API}:{port}"); requests]);
    }
}

/// The time that the proxy names is waited for, or ends the run when it is too long.
#[test]
fn a_busy_proxy_names_when_it_is_free() {
    let site = site();
    let proxy = answering("503 Busy", &[("Retry-After", "7200")]);
    let mut world = site.world();
    world.set("https_proxy", &proxy.base());
    let run = world.run(&["sm", "a"]);
    run.exits(5).is_prompt().says("run again in 2 h");
    assert_eq!(proxy.count("CONNECT", API), 2);
}

#[test]
fn a_paid_request_behind_a_refused_tunnel_never_left_and_is_repeated() {
    let site = site();
    let targets = site.targets.clone();
    let proxy = Raw::start(move |request, stream| {
        let host = request.target.trim_end_matches(":443");
        let (_, target) = targets.iter().find(|(known, _)| *known == host).unwrap();
        if host == API && request.before < 4 {
            return reply(stream, "502 Bad Gateway", &[], b"");
        }
        let server = TcpStream::connect(target).unwrap();
        use std::io::Write as _;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        relay(stream.try_clone().unwrap(), server);
    });
    let mut world = site.world();
    world.set("https_proxy", &proxy.base());
    world.run(&["onecodex", "a", "-o", "x"]).exits(0);
    assert_eq!(world.read("x"), site.content);
    assert_eq!(site.api.count("POST", "/download_uri"), 1);
}

/// Most proxies of companies take no Basic authentication.
#[test]
fn a_proxy_without_basic_authentication_is_told_from_a_wrong_password() {
    const NTLM: &[(&str, &str)] = &[
        ("Proxy-Authenticate", "Negotiate"),
        ("Proxy-Authenticate", "NTLM"),
    ];
    const BASIC: &[(&str, &str)] = &[
        ("Proxy-Authenticate", "NTLM"),
        ("Proxy-Authenticate", "Basic realm=x"),
    ];
    let site = site();
    for (challenges, credentials, says) in [
        (
            NTLM,
            "",
            "requires an authentication that docfetch does not support",
        ),
        (
            NTLM,
            "user:proxy-passw0rd@",
            "requires an authentication that docfetch does not support",
        ),
        (BASIC, "", "requires a user name and a password"),
        (
            BASIC,
            "user:proxy-passw0rd@",
            "does not accept the user name and the password",
        ),
    ] {
        let proxy = answering("407 Who", challenges);
        let mut world = site.world();
        world.set(
            "https_proxy",
            &format!("http://{credentials}{}", proxy.address),
        );
        let run = world.run(&["sm", "a", "b", "c", "-v"]);
        run.exits(3).is_prompt().says(says).says("(https_proxy)");
        let seen = proxy.seen();
        let tried = seen.iter().filter(|request| has_password(request)).count();
        assert_eq!(tried, usize::from(!credentials.is_empty()), "{seen:?}");
    }
}

/// An authority that docfetch does not trust: the password must not go to a server that only looks like the proxy.
#[test]
fn the_second_request_trusts_no_other_proxy_than_the_first() {
    let site = site();
    let proxy = answering("403 Forbidden", &[]);
    let port = front(Authority::new().leaf(Leaf::Good), proxy.address).port();
    let mut world = site.world();
    world.set(
        "https_proxy",
        &format!("https://{USER}:{PASSWORD}@localhost:{port}"),
    );
    world
        .run(&["sm", "a"])
        .exits(9)
        .says("the certificate of the proxy");
    assert!(proxy.seen().is_empty());
}
