//! What all stand-ins share, by a service of its own that hands out a URL.

use super::*;
use crate::support::noise;
use serde_json::json;

const KEY: &str = "the-key-of-the-api";

struct Plain;

impl Service for Plain {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("PLAIN_API_BASE", base.to_owned()),
            ("PLAIN_API_KEY", KEY.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        let id = request.path().rsplit('/').next().unwrap();
        let Some(document) = site.document(id) else {
            return Answer::json(404, &json!({"base": site.base}));
        };
        if request.path().starts_with("/content/") {
            return site.send(document, request);
        }
        let mut grant = Grant::new("/bucket/a%20b.bin");
        grant.query = "Expires={end}&";
        grant.headers = vec![("X-Wanted".to_owned(), "yes".to_owned())];
        grant.disposition = Some("attachment; filename=\"a b.bin\"".to_owned());
        let presigned = site.presign(id, grant);
        Answer::json(
            200,
            &json!({"url": presigned.url, "end": presigned.end.as_second(), "name": document.name}),
        )
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Limited => Answer::json(429, &json!({})),
            Refusal::Unauthorized => Answer::json(401, &json!({})),
            Refusal::NotReady => Answer::json(202, &json!({})),
        }
    }
}

fn start(switches: Switches) -> (StandIn, Vec<u8>) {
    let content = noise(1000);
    let document = Document::new("one", "a b.bin", content.clone());
    (StandIn::start(Plain, vec![document], switches), content)
}

fn presigned(stand_in: &StandIn) -> Ask {
    let reply = Ask::get(format!("{}/url/one", stand_in.base))
        .send()
        .is(200);
    Ask::get(reply.value()["url"].as_str().unwrap())
}

#[test]
fn the_storage_sends_the_whole_and_ranges_for_a_url_with_its_headers() {
    let (stand_in, content) = start(Switches::default());
    let ask = presigned(&stand_in).header("X-Wanted", "yes");
    let whole = ask.send().is(200);
    assert_eq!(whole.body, content);
    let disposition = whole.header("Content-Disposition");
    assert_eq!(disposition, Some("attachment; filename=\"a b.bin\""));
    let tag = whole.header("ETag").unwrap().to_owned();
    for (range, first, end) in [
        ("bytes=10-", 10, 1000),
        ("bytes=0-0", 0, 1),
        ("bytes=990-5000", 990, 1000),
        ("bytes=-5", 995, 1000),
    ] {
        let part = ask.clone().header("Range", range).header("If-Range", &tag);
        let part = part.send().is(206);
        assert_eq!(part.body, content[first..end], "{range}");
        let sent = format!("bytes {first}-{}/1000", end - 1);
        assert_eq!(part.header("Content-Range"), Some(&*sent));
    }
    let past = ask.clone().header("Range", "bytes=1000-").send().is(416);
    assert_eq!(past.header("Content-Range"), Some("bytes */1000"));
    let other = ask.clone().header("Range", "bytes=10-");
    let other = other.header("If-Range", "\"another\"").send().is(200);
    assert_eq!(other.body, content);
    assert_eq!(stand_in.log.statuses(Side::Api), [200]);
    assert_eq!(stand_in.log.count("GET", "/url/"), 1);
    assert_eq!(stand_in.log.of(Side::Storage).len(), 7);
    assert!(
        whole
            .header("Last-Modified")
            .unwrap()
            .ends_with("12:00:00 GMT")
    );
}

#[test]
fn the_storage_refuses_all_but_the_url_as_it_was_handed_over() {
    let (stand_in, _) = start(Switches::default());
    let answer = Ask::get(format!("{}/url/one", stand_in.base))
        .send()
        .value();
    let url = answer["url"].as_str().unwrap().to_owned();
    assert!(
        url.contains(&format!("?Expires={}&", answer["end"])),
        "{url}"
    );
    assert!(url.starts_with(&stand_in.storage) && stand_in.storage != stand_in.base);
    let wanted = |ask: Ask| ask.header("X-Wanted", "yes");
    Ask::get(&url).send().is(403);
    Ask::get(&url).header("X-Wanted", "no").send().is(403);
    wanted(Ask::new("HEAD", &url)).send().is(403);
    wanted(Ask::get(url.replace("a%20b", "c"))).send().is(403);
    wanted(Ask::get(format!("{url}9"))).send().is(403);
    wanted(Ask::get(format!("{url}&more=1"))).send().is(403);
    wanted(Ask::get(url.split('?').next().unwrap()))
        .send()
        .is(403);
    for (name, value) in [
        ("Authorization", "Basic eDp5"),
        ("Cookie", "a=b"),
        ("Referer", "http://127.0.0.1/"),
        ("X-API-Key", KEY),
        ("X-Any", "Token the-key-of-the-api"),
    ] {
        wanted(Ask::get(&url)).header(name, value).send().is(400);
    }
    wanted(Ask::get(&url)).send().is(200);
}

#[test]
fn a_url_ends_when_the_switch_says_so() {
    let (stand_in, _) = start(Switches {
        expire_after: Some(Duration::from_secs(1)),
        ..Switches::default()
    });
    let ask = presigned(&stand_in).header("X-Wanted", "yes");
    ask.send().is(200);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(ask.send().is(403).text().contains("Request has expired"));
    presigned(&stand_in)
        .header("X-Wanted", "yes")
        .send()
        .is(200);
}

#[test]
fn one_transfer_is_reset_in_the_middle() {
    let (stand_in, content) = start(Switches {
        reset_once_after: Some(400),
        ..Switches::default()
    });
    let broken = presigned(&stand_in)
        .header("X-Wanted", "yes")
        .send()
        .is(200);
    assert!(broken.broken.is_some());
    assert_eq!(broken.body, content[..400]);
    let whole = Ask::get(format!("{}/content/one", stand_in.base))
        .send()
        .is(200);
    assert_eq!((whole.body, whole.broken), (content.clone(), None));
    let rest = presigned(&stand_in).header("X-Wanted", "yes");
    assert_eq!(
        rest.header("Range", "bytes=400-").send().is(206).body,
        content[400..]
    );
}

#[test]
fn a_reset_may_end_every_url() {
    let (stand_in, content) = start(Switches {
        reset_once_after: Some(400),
        expires_at_reset: true,
        ..Switches::default()
    });
    let ask = presigned(&stand_in).header("X-Wanted", "yes");
    let small = ask.clone().header("Range", "bytes=0-10");
    small.send().is(206);
    assert!(ask.send().is(200).broken.is_some());
    small.send().is(403);
    let ask = presigned(&stand_in).header("X-Wanted", "yes");
    assert_eq!(ask.send().is(200).body, content);
}

#[test]
fn a_switch_refuses_as_often_as_it_says_and_only_its_path() {
    let refuse = |refusal, path, times| Refuse {
        refusal,
        path,
        times,
    };
    let (stand_in, _) = start(Switches {
        refuse: vec![
            refuse(Refusal::NotReady, "/url/", 2),
            refuse(Refusal::Limited, "/url/", 1),
        ],
        ..Switches::default()
    });
    let url = Ask::get(format!("{}/url/one", stand_in.base));
    Ask::get(format!("{}/content/one", stand_in.base))
        .send()
        .is(200);
    for status in [202, 202, 429] {
        assert_eq!(url.send().is(status).header("Retry-After"), Some("1"));
    }
    url.send().is(200);
    let (stand_in, _) = start(Switches::refusing(Refusal::Unauthorized, "", 1));
    let missing = Ask::post(format!("{}/url/two", stand_in.base)).json(&json!({}));
    assert_eq!(missing.send().is(401).header("Retry-After"), None);
    assert_eq!(missing.send().is(404).value()["base"], stand_in.base);
    assert_eq!(stand_in.log.all()[0].request.body, b"{}");
}

#[test]
fn the_storage_may_have_other_bytes_than_the_api_tells_of() {
    let (stand_in, content) = start(Switches {
        stored: |content| content[1..].to_vec(),
        ..Switches::default()
    });
    let ask = presigned(&stand_in).header("X-Wanted", "yes");
    assert_eq!(ask.send().is(200).body, content[1..]);
}

#[test]
fn a_page_never_has_more_rows_than_the_switch_and_the_client_say() {
    let rows = [0, 1, 2, 3, 4, 5, 6];
    let page = |start, wanted| {
        Switches {
            page_rows: 3,
            ..Switches::default()
        }
        .page(&rows, start, wanted)
    };
    assert_eq!(page(0, 100), (&rows[..3], Some(3)));
    assert_eq!(page(0, 2), (&rows[..2], Some(2)));
    assert_eq!(page(6, 100), (&rows[6..], None));
    assert_eq!(page(9, 100), (&rows[7..], None));
}

#[test]
fn a_world_finds_the_service() {
    let (stand_in, _) = start(Switches::default());
    let world = stand_in.world();
    assert_eq!(world.variable("PLAIN_API_BASE"), stand_in.base);
    assert_eq!(world.variable("PLAIN_API_KEY"), KEY);
}
