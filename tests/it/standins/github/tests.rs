//! The stand-in of GitHub itself, by plain requests.

use super::*;
use crate::standins::{Ask, Side, StandIn, Switches};
use std::time::Duration;

const OCTETS: &str = "application/octet-stream";

fn start(service: GitHub) -> StandIn {
    StandIn::start(service, documents(), Switches::default())
}

/// A right request.
fn ask(stand_in: &StandIn, path: &str) -> Ask {
    Ask::get(format!("{}{path}", stand_in.base))
        .header("User-Agent", "checks")
        .header("Authorization", &format!("Bearer {TOKEN}"))
}

fn asset(id: &str) -> String {
    format!("/repos/{OWNER}/{REPOSITORY}/releases/assets/{id}")
}

#[test]
fn the_example_of_the_description_is_answered_as_it_says() {
    let stand_in = start(GitHub::new(Delivery::Redirect));
    let json = ask(&stand_in, &asset("1")).header("Accept", "application/vnd.github+json");
    let found = json.send().is(200).value();
    let mut expected = examples()["release"]["assets"][0].clone();
    assert_eq!(expected["name"], "example.zip");
    assert_eq!(expected["size"], 1024);
    // What depends on the test: the origin, and the digest of the bytes.
    expected["url"] = json!(format!("{}{}", stand_in.base, asset("1")));
    expected["digest"] = json!(format!("sha256:{}", sha256(&noise(1024))));
    assert_eq!(found, expected);

    let reply = ask(&stand_in, &asset("1"))
        .header("Accept", OCTETS)
        .send()
        .is(302);
    let location = reply.header("Location").unwrap();
    assert!(location.starts_with(&stand_in.storage));
    assert_eq!(reply.body, b"");
    assert_eq!(Ask::get(location).send().is(200).body, noise(1024));
    let limits = ask(&stand_in, "/rate_limit").send().is(200).value();
    assert_eq!(limits, examples()["rate_limit"]);
    let newer = ask(&stand_in, "/rate_limit").header("X-GitHub-Api-Version", "2026-03-10");
    assert_eq!(newer.send().is(200).value()["rate"], Value::Null);
}

#[test]
fn the_storage_refuses_the_token_and_the_api_streams_ranges_when_it_does_not_redirect() {
    let stand_in = start(GitHub::new(Delivery::Redirect));
    let octets = |stand_in: &StandIn| ask(stand_in, &asset("2")).header("Accept", OCTETS);
    let reply = octets(&stand_in).send().is(302);
    let location = Ask::get(reply.header("Location").unwrap());
    let with_token = location
        .clone()
        .header("Authorization", &format!("Bearer {TOKEN}"));
    with_token.send().is(400);
    location.header("Range", "bytes=10-19").send().is(206);
    assert_eq!(stand_in.log.statuses(Side::Storage), [400, 206]);

    let stand_in = start(GitHub::new(Delivery::Stream));
    let whole = octets(&stand_in).send().is(200);
    assert_eq!(whole.body, noise(300_000));
    assert_eq!(whole.header("Content-Type"), Some(OCTETS));
    let tag = whole.header("ETag").unwrap();
    let part = octets(&stand_in).header("Range", "bytes=299990-");
    let part = part.header("If-Range", tag).send().is(206);
    assert_eq!(part.body, noise(300_000)[299_990..]);
    assert_eq!(stand_in.log.of(Side::Storage).len(), 0);
}

#[test]
fn releases_come_in_three_pages_whose_links_name_the_repository_by_number() {
    let stand_in = start(GitHub::new(Delivery::Redirect));
    let mut url = format!("/repos/{OWNER}/{REPOSITORY}/releases?per_page=100");
    let (mut pages, mut ids, mut states) = (0, Vec::new(), Vec::new());
    loop {
        let reply = ask(&stand_in, &url).send().is(200);
        pages += 1;
        for release in reply.value().as_array().unwrap() {
            for asset in release["assets"].as_array().unwrap() {
                ids.push(asset["id"].as_u64().unwrap());
                states.push(asset["state"].as_str().unwrap().to_owned());
            }
        }
        let links = reply.header("Link").unwrap().to_owned();
        let next = links
            .split(", ")
            .find(|link| link.ends_with("rel=\"next\""));
        let Some(next) = next else {
            assert!(links.contains("rel=\"prev\"") && links.contains("rel=\"first\""));
            break;
        };
        let (next, _) = next[1..].split_once('>').unwrap();
        url = next.strip_prefix(&stand_in.base).unwrap().to_owned();
        assert!(url.starts_with("/repositories/1296269/releases?"), "{url}");
    }
    assert_eq!((pages, ids), (3, vec![1, 2, 99, 3, 4, 5, 6, 7]));
    assert_eq!(states.iter().filter(|state| *state == "open").count(), 1);
    // One page, no header.
    let path = format!("/repos/{OWNER}/{REPOSITORY}/releases/2/assets");
    let reply = ask(&stand_in, &path).send().is(200);
    assert_eq!(reply.value().as_array().unwrap().len(), 2);
    assert_eq!(reply.header("Link"), None);
    let path = format!("/repos/{OWNER}/{REPOSITORY}/releases/1/assets?per_page=2");
    let reply = ask(&stand_in, &path).send().is(200);
    assert!(
        reply
            .header("Link")
            .unwrap()
            .contains("page=2>; rel=\"next\"")
    );
}

#[test]
fn wrong_requests_get_the_errors_of_github() {
    let stand_in = start(GitHub::new(Delivery::Redirect));
    let anonymous =
        |path: &str| Ask::get(format!("{}{path}", stand_in.base)).header("User-Agent", "checks");
    let refused = |ask: Ask, status, message: &str| {
        let body = ask.send().is(status).value();
        assert!(
            body["message"].as_str().unwrap().contains(message),
            "{body}"
        );
        assert_eq!(body["status"], status.to_string());
        assert!(
            body["documentation_url"]
                .as_str()
                .unwrap()
                .starts_with(PAGES)
        );
    };
    let without_agent = Ask::get(format!("{}{}", stand_in.base, asset("1")));
    assert!(without_agent.send().is(403).text().contains("User-Agent"));
    let other = |value: &str| anonymous(&asset("1")).header("Authorization", value);
    for value in [
        "Bearer another",
        "Basic eDp5",
        &format!("Beare {TOKEN}"),
        TOKEN,
    ] {
        refused(other(value), 401, "Bad credentials");
    }
    other(&format!("token {TOKEN}")).send().is(200);
    // A private repository does not exist for strangers.
    refused(anonymous(&asset("1")), 404, "Not Found");
    let known = |path: &str| ask(&stand_in, path);
    for path in [
        asset("8"),
        asset("one"),
        format!("{}/", asset("1")),
        format!("/repos/{OWNER}/Another/releases"),
        format!("/repos/another/{REPOSITORY}/releases"),
        format!("/repos/{OWNER}/{REPOSITORY}/releases/9/assets"),
        format!("/repos/{OWNER}/{REPOSITORY}/releases/0/assets"),
        "/".to_owned(),
    ] {
        refused(known(&path), 404, "Not Found");
    }
    let post = Ask::post(format!("{}{}", stand_in.base, asset("1")));
    let post = post.header("User-Agent", "checks");
    refused(
        post.header("Authorization", &format!("Bearer {TOKEN}")),
        404,
        "Not Found",
    );
    refused(
        known(&asset(OPEN_ASSET)).header("Accept", OCTETS),
        404,
        "Not Found",
    );
    known(&asset(OPEN_ASSET)).send().is(200);
    refused(
        known(&asset("1")).header("Accept", "image/png"),
        415,
        "Must accept",
    );
    let version = known(&asset("1")).header("X-GitHub-Api-Version", "2020-01-01");
    refused(version, 400, "not a supported version");
    let releases = format!("/repos/{OWNER}/{REPOSITORY}/releases");
    for query in ["per-page=2", "per_page=no", "page=0"] {
        refused(
            known(&format!("{releases}?{query}")),
            422,
            "Invalid request",
        );
    }
    refused(
        known(&format!("{}?page=1", asset("1"))),
        422,
        "Invalid request",
    );
}

#[test]
fn a_public_repository_needs_no_token_and_names_have_no_case() {
    let mut service = GitHub::new(Delivery::Redirect);
    service.is_private = false;
    let stand_in = start(service);
    let path = "/repos/OctoCat/hello-world/releases/assets/1";
    let ask = Ask::get(format!("{}{path}", stand_in.base)).header("User-Agent", "checks");
    ask.clone().header("Accept", OCTETS).send().is(302);
    ask.header("Authorization", "Bearer another").send().is(401);
}

#[test]
fn a_renamed_repository_redirects_to_the_api_whose_default_is_json() {
    let stand_in = start(GitHub::new(Delivery::Redirect));
    let path = format!("/repos/{OWNER}/{FORMER_REPOSITORY}/releases/assets/1");
    let reply = ask(&stand_in, &path)
        .header("Accept", OCTETS)
        .send()
        .is(301);
    let expected = format!("{}/repositories/1296269/releases/assets/1", stand_in.base);
    assert_eq!(reply.header("Location"), Some(&*expected));
    assert_eq!(reply.value()["message"], "Moved Permanently");
    let moved = ask(&stand_in, "/repositories/1296269/releases/assets/1");
    assert_eq!(moved.clone().send().is(200).value()["name"], "example.zip");
    moved.header("Accept", OCTETS).send().is(302);
    let list = format!("/repos/{OWNER}/{FORMER_REPOSITORY}/releases?per_page=2");
    let reply = ask(&stand_in, &list).send().is(301);
    let location = reply.header("Location").unwrap();
    assert!(location.ends_with("/repositories/1296269/releases?per_page=2"));
}

#[test]
fn limits_are_refused_with_the_headers_of_the_page_on_rate_limits() {
    let mut service = GitHub::new(Delivery::Redirect);
    service.exhausted = AtomicUsize::new(1);
    let switches = Switches::refusing(Refusal::Limited, "/assets/2", 1);
    let stand_in = StandIn::start(service, documents(), switches);
    let secondary = ask(&stand_in, &asset("2")).send().is(403);
    assert_eq!(secondary.header("Retry-After"), Some("1"));
    ask(&stand_in, "/rate_limit").send().is(200);
    let primary = ask(&stand_in, &asset("1")).send().is(403);
    assert_eq!(primary.header("X-RateLimit-Remaining"), Some("0"));
    assert_eq!(primary.header("Retry-After"), None);
    let end: i64 = primary
        .header("X-RateLimit-Reset")
        .unwrap()
        .parse()
        .unwrap();
    assert!((end - Timestamp::now().as_second()).abs() <= 1);
    let reply = ask(&stand_in, &asset("1")).send().is(200);
    assert_eq!(reply.header("X-RateLimit-Remaining"), Some("4999"));
}

#[test]
fn digests_can_be_absent_or_of_other_bytes_and_urls_end() {
    let mut service = GitHub::new(Delivery::Redirect);
    service.wrong_digest = Some("4");
    let switches = Switches {
        expire_after: Some(Duration::ZERO),
        ..Switches::default()
    };
    let stand_in = StandIn::start(service, documents(), switches);
    let digest = |id: &str| ask(&stand_in, &asset(id)).send().is(200).value()["digest"].clone();
    assert_eq!(digest("7"), Value::Null);
    assert_ne!(
        digest("4"),
        json!(format!("sha256:{}", sha256(&noise(130))))
    );
    assert_eq!(
        digest("5"),
        json!(format!("sha256:{}", sha256(&noise(5000))))
    );
    let reply = ask(&stand_in, &asset("5")).header("Accept", OCTETS);
    let reply = reply.send().is(302);
    Ask::get(reply.header("Location").unwrap()).send().is(403);
    assert_eq!(stand_in.world().variable("GITHUB_TOKEN"), TOKEN);
}

#[test]
fn a_token_that_ended_is_bad_credentials() {
    let switches = Switches::refusing(Refusal::Unauthorized, "/assets/", 1);
    let stand_in = StandIn::start(GitHub::new(Delivery::Redirect), documents(), switches);
    let reply = ask(&stand_in, &asset("1")).send().is(401);
    assert_eq!(reply.value()["message"], "Bad credentials");
    ask(&stand_in, &asset("1")).send().is(200);
}
