//! Bytes that a storage coded on their way, although docfetch requested them as they are.

use crate::support::raw::{Raw, api, head, presigned, reply};
use crate::support::{World, noise};
use std::io::Write as _;

/// Not gzip, as docfetch must not decode it.
fn content() -> Vec<u8> {
    noise(5000)
}

/// An API with metadata of `size` bytes, and a storage that sends the document at `path` in chunks and with `coding`.
fn coding(path: &'static str, coding: &'static str, size: usize) -> (Raw, Raw) {
    let storage = Raw::start(move |request, stream| {
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        let headers = [
            ("Transfer-Encoding", "chunked"),
            ("Content-Encoding", coding),
            ("ETag", "W/\"a\""),
        ];
        head(stream, "200 OK", &headers, None);
        let content = content();
        let _ = write!(stream, "{:x}\r\n", content.len());
        let _ = stream.write_all(&content);
        let _ = stream.write_all(b"\r\n0\r\n\r\n");
    });
    let url = presigned(&storage.base(), path);
    let server = Raw::start(move |request, stream| {
        if request.path() == "/api/v1/documents/a" {
            let name = path.trim_start_matches('/');
            let json = serde_json::json!({"filename": name, "size": size}).to_string();
            return reply(stream, "200 OK", &[], json.as_bytes());
        }
        api(request, stream, &url);
    });
    (server, storage)
}

#[test]
fn coded_bytes_are_saved_as_sent_with_a_warning_unless_the_name_tells() {
    for service in ["sm", "onecodex"] {
        for (path, name, warned) in [
            ("/x.csv", "gzip", Some("gzip -d")),
            ("/x.csv", "x-gzip, br", Some("x-gzip, br")),
            ("/x.gz", "br", Some("brotli -d")),
            ("/x.csv.gz", "gzip", None),
            ("/x.tgz", "GZIP", None),
            ("/x.csv", "identity", None),
            ("/x.csv", "aws-chunked", None),
        ] {
            let (server, storage) = coding(path, name, 5000);
            let world = World::new(&server.base());
            let run = world.run(&[service, "a"]);
            run.exits(0);
            assert_eq!(world.read(&path[1..]), content());
            assert_eq!(
                run.stderr.matches("warning:").count(),
                usize::from(warned.is_some()),
                "{run:#?}"
            );
            if let Some(said) = warned {
                run.says("coding").says(said);
            }
            assert_eq!(storage.seen().len(), 1);
        }
        // The name that the user gives tells, too.
        let (server, _storage) = coding("/x.csv", "gzip", 5000);
        let run = World::new(&server.base()).run(&[service, "a", "-o", "y.csv.gz"]);
        assert!(!run.exits(0).stderr.contains("warning:"), "{run:#?}");
    }
}

/// The provider tells the size of the bytes without their coding.
#[test]
fn coded_bytes_need_not_have_the_size_of_the_metadata() {
    let (server, _storage) = coding("/x.csv", "gzip", 70_000);
    let world = World::new(&server.base());
    world.run(&["onecodex", "a"]).exits(0).says("coding gzip");
    assert_eq!(world.read("x.csv"), content());
    let (server, _storage) = coding("/x.csv", "identity", 70_000);
    World::new(&server.base()).run(&["onecodex", "a"]).exits(6);
}
