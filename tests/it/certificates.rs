//! Which certificates docfetch trusts, and what errors of TLS say.

use super::support::raw::{Raw, api, keeping, presigned, reply, serve};
use super::support::tls::{Authority, Leaf, VERSION_1, front};
use super::support::{World, each_at_once, noise};
use std::net::SocketAddr;

fn world(address: SocketAddr) -> World {
    World::new(&format!("https://localhost:{}", address.port()))
}

/// Writes a file of certificates beside the documents.
fn pem(world: &World, text: &str) -> String {
    let path = world.home().join("given-ca.pem");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_when_it_is_the_given_one() {
    let content = noise(1000);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| serve(request, stream, &body, "\"1\""));
    let (identity, of_storage) = Authority::own("localhost", false);
    let port = front(identity, storage.address).port();
    let url = presigned(&format!("https://localhost:{port}"), "/x.bin");
    let server = Raw::start(move |request, stream| api(request, stream, &url));
    let (identity, of_api) = Authority::own("localhost", false);
    let (world, both) = (world(front(identity, server.address)), of_api + &of_storage);
    let path = pem(&world, &both);
    world.run(&["sm", "a", "--ca-cert", &path]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    let mut by_variable = world;
    by_variable.set("SSL_CERT_FILE", &path);
    by_variable.run(&["sm", "a", "-o", "y"]).exits(0);

    // Another one of the same kind, an expired one, and one for another host stay refused.
    let server = Raw::start(|_, stream| reply(stream, "503 No", &[], b""));
    for (host, expired, given, says) in [
        ("localhost", false, false, "is not trusted"),
        (
            "localhost",
            true,
            true,
            "it expired on 2021-01-01T00:00:00Z; this machine's clock says 20",
        ),
        (
            "other.example",
            false,
            true,
            "it is for another host: other.example",
        ),
    ] {
        let (identity, own) = Authority::own(host, expired);
        let (_, stranger) = Authority::own(host, false);
        let world = self::world(front(identity, server.address));
        let path = pem(&world, if given { &own } else { &stranger });
        let run = world.run(&["sm", "a", "--ca-cert", &path]);
        run.exits(9).is_prompt().says(says);
    }
    assert!(server.seen().is_empty());
    // A self-signed certificate that is no authority's is trusted, too.
    let good = Authority::new().leaf(Leaf::SelfSigned);
    let given = good.pem();
    let world = self::world(front(good, server.address));
    let path = pem(&world, &given);
    let limits = ["--retries", "0"];
    world
        .run(&[&["sm", "a", "--ca-cert", &path][..], &limits].concat())
        .exits(5);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_server_without_tls_and_a_wrong_certificate_are_said_in_words() {
    let plain = keeping(|_, mut stream| reply(&mut stream, "400 No", &[], b""));
    let plain: SocketAddr = plain.trim_start_matches("http://").parse().unwrap();
    let closes = keeping(|_, mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
    });
    let closes: SocketAddr = closes.trim_start_matches("http://").parse().unwrap();
    let server = Raw::start(|_, stream| reply(stream, "503 No", &[], b""));
    let old = front(Authority::foreign(VERSION_1), server.address);
    let (identity, _) = Authority::own("localhost", false);
    let own = front(identity, server.address);
    let alert = keeping(|_, mut stream| {
        use std::io::{Read as _, Write as _};
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 70]); // a fatal alert: protocol_version
    });
    let alert: SocketAddr = alert.trim_start_matches("http://").parse().unwrap();
    let cases = [
        (plain, 5, "the server does not speak TLS on this port"),
        (closes, 5, "closed the connection"),
        (alert, 5, "the server has neither TLS 1.2 nor TLS 1.3"),
        (old, 9, "it is not of X.509 version 3"),
        (
            own,
            9,
            "it is marked as an authority's certificate, as many self-signed ones are",
        ),
    ];
    each_at_once(cases, |(address, code, says)| {
        let run = world(address).run(&["onecodex", "a", "--retries", "0"]);
        run.exits(code).says(says);
        for name in [
            "InvalidContentType",
            "CertVersion",
            "AlertReceived",
            "Other(",
        ] {
            assert!(!run.stderr.contains(name), "{run:?}");
        }
    });
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, says) in [
        ("", "it holds no PEM certificate"),
        ("no certificate at all\n", "it holds no PEM certificate"),
        (key, "it holds no PEM certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "it is malformed",
        ),
    ] {
        let world = World::new("https://api.example.com");
        let path = pem(&world, text);
        let run = world.run(&["sm", "a", "--ca-cert", &path]);
        run.exits(2).says(&path).says("--ca-cert").says(says);
    }
    let mut world = World::new("https://api.example.com");
    let run = world.run(&["sm", "a", "--ca-cert", "nothing.pem"]);
    run.exits(2).says("nothing.pem").says("--ca-cert");
    let path = pem(
        &world,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    world.set("SSL_CERT_FILE", &path);
    let run = world.run(&["sm", "a"]);
    run.exits(2).says(&path).says("can be used");
}

#[test]
fn a_refused_connection_names_the_base_and_its_variable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::new(&base);
    for (provider, variable) in [
        ("sm", "STANDARD_METRICS_API_BASE"),
        ("onecodex", "ONE_CODEX_API_BASE"),
    ] {
        let run = world.run(&[provider, "a", "--retries", "0"]);
        run.exits(5).says("the server refused the connection");
        run.says(&format!("the API base is {base} ({variable})"));
    }
    // The provider's own base is no choice of the user.
    let mut world = World::new("https://api.standardmetrics.io");
    world.set("ONE_CODEX_API_BASE", "https://app.onecodex.com");
    let limits = ["--retries", "0", "--connect-timeout", "1s"];
    for provider in ["sm", "onecodex"] {
        let run = world.run(&[&[provider, "a"][..], &limits].concat());
        assert!(!run.stderr.contains("API_BASE"), "{run:?}");
    }
}
