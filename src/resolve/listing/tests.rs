use super::services::api_at;
use super::*;
use crate::http::backoff::RetryPolicy;
use crate::provider::Provider;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

/// A provider, and the base of a server that gives each request the next of these pages.
fn provider(pages: Vec<Value>, total: &'static str) -> (Provider, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        for page in pages {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let (page, close) = (page.to_string(), "Connection: close\r\n");
            let head = format!("Content-Length: {}\r\n{total}{close}", page.len());
            write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n{page}").unwrap();
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    (Provider::shipped("onecodex").unwrap(), base)
}

#[tokio::test]
async fn a_total_is_told_only_while_it_counts_what_is_listed() {
    let retry = RetryPolicy {
        retries: 0,
        max_time: Duration::from_secs(10),
    };
    let row = |id: &str, name: &str, size: u64| {
        let uri = format!("/api/v1/documents/{id}");
        json!({"$uri": uri, "filename": name, "size": size})
    };
    let filter = |name: Option<&str>, larger_than| Filter {
        name: name.map(str::to_owned),
        larger_than,
        ..Filter::default()
    };
    let counted = "X-Total-Count: 2\r\n";
    for (filter, header, totals) in [
        (filter(None, None), counted, [Some(2), Some(2)]),
        (filter(None, None), "", [None, None]),
        (filter(Some("a"), None), counted, [Some(2), Some(2)]),
        // The second row shows that the server ignores the filter.
        (filter(Some("1"), None), counted, [Some(2), None]),
        // The server also counts documents of exactly this size.
        (filter(None, Some(1)), counted, [None, None]),
    ] {
        let pages = [row("1", "a1", 5), row("2", "a2", 5)].map(|row| json!([row]));
        let (provider, base) = provider(pages.to_vec(), header);
        let api = api_at(provider, &base);
        let side_lists = SideLists::default();
        let options = ListOptions::default();
        let mut pages = list(&api, retry, &side_lists, &filter, options).unwrap();
        assert_eq!(pages.total(), None);
        for total in totals {
            let mut page = pages.next().await.unwrap().unwrap();
            while page.rows().is_some() {}
            assert_eq!(pages.total(), total, "{filter:?}");
        }
    }
}
