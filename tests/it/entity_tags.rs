//! Entity tags without their quotes, as Swift and some appliances send them.

use crate::support::raw::{Request, asked, both, head, send_part, serve};
use crate::support::{World, noise};
use std::net::TcpStream;

const SIZE: usize = 9 << 20;
const BARE: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// A storage whose tag has no quotes, and which takes such a tag in `If-Range` for a wrong date.
fn strict(request: &Request, stream: &mut TcpStream, content: &[u8], most: usize) {
    let mut request = request.clone();
    if request.header("if-range").is_some() {
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
    }
    send_part(&request, stream, content, BARE, most);
}

#[test]
fn a_bare_entity_tag_is_resumed_by_the_next_run() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        let most = if request.before == 0 { 5 << 20 } else { SIZE };
        strict(request, stream, &body, most);
    });
    let world = World::new(&api.base());
    world
        .run(&["sm", "a", "--retries", "0", "-c", "1"])
        .exits(5);
    let run = world.run(&["sm", "a", "--json", "-c", "1"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 5 << 20);
    assert_eq!(world.read("x.bin"), content);
    let seen = storage.seen();
    assert_eq!(seen[1].header("range"), Some("bytes=5242880-"));
    assert_eq!(seen[1].header("if-range"), None);
}

#[test]
fn a_bare_entity_tag_lets_segments_come_at_the_same_time() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        strict(request, stream, &body, SIZE);
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "8"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    let ranges = storage
        .seen()
        .into_iter()
        .filter(|request| request.header("range").is_some());
    assert!(ranges.count() > 1);
}

#[test]
fn another_bare_entity_tag_is_another_document() {
    for other in [
        "e41d8cd98f00b204e9800998ecf8427e",
        "\"d41d8cd98f00b204e9800998ecf8427e\"",
    ] {
        let old = noise(300_000);
        let new: Vec<u8> = old.iter().rev().copied().collect();
        let body = new.clone();
        let (api, _) = both("/x.bin", move |request, stream| match request.before {
            0 => send_part(request, stream, &old, BARE, 200_000),
            _ => serve(request, stream, &body, other),
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a", "--retries", "0"]).exits(5);
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.bin"), new);
    }
}

/// Without an `If-Range`, a 416 is also what a storage says of another document of the same length.
#[test]
fn a_416_completes_a_bare_entity_tag_only_where_it_names_it() {
    for named in [true, false] {
        let old = noise(300_000);
        let new: Vec<u8> = old.iter().rev().copied().collect();
        let (first, right) = (old.clone(), if named { old.clone() } else { new });
        let body = right.clone();
        let (api, storage) = both("/x.bin", move |request, stream| {
            match (request.before, asked(request, 300_000)) {
                // All of it, but without a length and an end.
                (0, _) => {
                    head(
                        stream,
                        "200 OK",
                        &[("ETag", BARE), ("Transfer-Encoding", "chunked")],
                        None,
                    );
                    use std::io::Write as _;
                    let _ = write!(stream, "{:x}\r\n", first.len());
                    let _ = stream.write_all(&first);
                }
                (_, Some(_)) => {
                    let range = ("Content-Range", "bytes */300000");
                    let headers = [range, ("ETag", BARE)];
                    let shown = if named { &headers[..] } else { &headers[..1] };
                    head(stream, "416 Range Not Satisfiable", shown, Some(0));
                }
                _ => serve(request, stream, &body, "other"),
            }
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a", "--retries", "0"]).exits(5);
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.bin"), right);
        assert_eq!(storage.seen().len(), if named { 2 } else { 3 });
    }
}
