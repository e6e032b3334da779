//! How the end of a body is told, on the wire.

use crate::support::World;
use crate::support::raw::both;
use std::io::Write as _;

/// Five bytes, as one chunk and its end.
const CHUNKED: &str = "5\r\n12345\r\n0\r\n\r\n";

#[track_caller]
fn comes(version: &'static str, fields: &'static str, body: &'static str, right: bool) {
    for service in ["sm", "onecodex"] {
        let (api, storage) = both("/x.bin", move |_, stream| {
            let head = format!("{version} 200 OK\r\nETag: \"a\"\r\n{fields}\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
        });
        let world = World::new(&api.base());
        let run = world.run(&[service, "a", "--json"]);
        if right {
            run.exits(0);
            assert_eq!(world.read("x.bin"), b"12345", "{fields:?}");
            continue;
        }
        assert_eq!(run.exits(5).error_code(), "protocol", "{fields:?}");
        assert!(world.files().is_empty(), "{fields:?}: {:?}", world.files());
        assert_eq!(storage.seen().len(), 1, "{fields:?}: {run:#?}");
    }
}

#[test]
fn a_body_whose_end_is_announced_in_two_ways_is_refused() {
    for (fields, body) in [
        ("Transfer-Encoding: xchunked\r\n", CHUNKED),
        ("Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
        ("Transfer-Encoding: chunked, chunked\r\n", CHUNKED),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            CHUNKED,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            CHUNKED,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            CHUNKED,
        ),
        ("Transfer-Encoding: identity\r\n", "12345"),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            CHUNKED,
        ),
        (
            "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
            CHUNKED,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "12345",
        ),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"),
        ("Content-Length: 5, 6\r\n", "12345"),
        ("Content-Length: +5\r\n", "12345"),
        ("Content-Length: 0x5\r\n", "12345"),
        ("Content-Length: 18446744073709551616\r\n", "12345"),
    ] {
        comes("HTTP/1.1", fields, body, false);
    }
    comes("HTTP/1.0", "Transfer-Encoding: chunked\r\n", CHUNKED, false);
}

#[test]
fn a_body_whose_end_is_announced_in_one_way_is_taken() {
    for (fields, body) in [
        ("Transfer-Encoding: chunked\r\n", CHUNKED),
        ("Transfer-Encoding:  Chunked \r\n", CHUNKED),
        ("Content-Length: 5\r\n", "12345"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"),
        ("Content-Length: 5, 5\r\n", "12345"),
    ] {
        comes("HTTP/1.1", fields, body, true);
    }
}
