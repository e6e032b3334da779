//! The stand-in of Box itself, by plain requests.

use super::*;
use crate::standins::fields::changed_form;
use crate::standins::{Ask, Side, StandIn, Switches};

fn start(switches: Switches) -> StandIn {
    StandIn::start(BoxFiles::new(), documents(), switches)
}

const FORM: &str = "application/x-www-form-urlencoded";

fn grant(changes: &[(&str, Option<&str>)]) -> String {
    let fields = vec![
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("box_subject_type", "enterprise"),
        ("box_subject_id", ENTERPRISE),
    ];
    changed_form(fields, changes)
}

fn token_ask(stand_in: &StandIn, body: String) -> Ask {
    Ask::post(format!("{}/oauth2/token", stand_in.base)).body(FORM, body)
}

fn token(stand_in: &StandIn) -> String {
    let answer = token_ask(stand_in, grant(&[])).send().is(200).value();
    answer["access_token"].as_str().unwrap().to_owned()
}

fn ask(stand_in: &StandIn, token: &str, path: &str) -> Ask {
    Ask::get(format!("{}{path}", stand_in.base)).header("Authorization", &format!("Bearer {token}"))
}

#[test]
fn a_token_is_granted_to_the_five_fields_of_the_description_only() {
    let stand_in = start(Switches::default());
    let answer = token_ask(&stand_in, grant(&[])).send().is(200).value();
    assert_eq!(answer["expires_in"], 4123);
    assert_eq!(answer["token_type"], "bearer");
    assert_eq!(answer.get("refresh_token"), None);
    let refused = |changes: &[(&str, Option<&str>)], error: &str| {
        let answer = token_ask(&stand_in, grant(changes)).send().is(400).value();
        assert_eq!(answer["error"], error, "{changes:?}");
        assert!(answer["error_description"].is_string());
    };
    refused(&[("grant_type", None)], "invalid_request");
    refused(
        &[("grant_type", Some("authorization_code"))],
        "invalid_request",
    );
    refused(&[("scope", Some("root_readonly"))], "invalid_request");
    refused(&[("client_secret", Some("another"))], "invalid_client");
    refused(
        &[("client_id", None), ("client_secret", None)],
        "invalid_client",
    );
    refused(&[("box_subject_type", Some("user"))], "invalid_grant");
    refused(&[("box_subject_type", None)], "invalid_grant");
    refused(&[("box_subject_id", Some("987654321"))], "invalid_grant");
    let json = Ask::post(format!("{}/oauth2/token", stand_in.base));
    json.json(&json!({"grant_type": "client_credentials"}))
        .send()
        .is(400);
    // HTTP Basic is no way to name the client.
    let basic = token_ask(
        &stand_in,
        grant(&[("client_id", None), ("client_secret", None)]),
    );
    basic
        .header("Authorization", "Basic bHkxbmo6aE96cw==")
        .send()
        .is(400);
    Ask::get(format!("{}/oauth2/token?{}", stand_in.base, grant(&[])))
        .send()
        .is(400);
}

#[test]
fn the_example_of_the_description_is_answered_as_it_says() {
    let stand_in = start(Switches::default());
    let token = token(&stand_in);
    let file = ask(&stand_in, &token, "/2.0/files/12345")
        .send()
        .is(200)
        .value();
    let mut expected = examples()["file"].clone();
    let sha1 = fields::hex(&SHA1, &noise(629_644));
    expected["sha1"] = json!(sha1.to_uppercase());
    expected["file_version"]["sha1"] = json!(sha1);
    assert_eq!(file, expected);
    assert_eq!(expected["modified_at"], "2012-12-12T10:53:43-08:00");
    // The guide: the wanted fields and the base set.
    let some = ask(&stand_in, &token, "/2.0/files/12345?fields=name,size");
    let expected = json!({"type": "file", "id": "12345", "etag": "1", "name": "Contract.pdf", "size": 629_644});
    assert_eq!(some.send().is(200).value(), expected);
    let user = ask(&stand_in, &token, "/2.0/users/me")
        .send()
        .is(200)
        .value();
    assert_eq!(user, examples()["user"]);

    let reply = ask(&stand_in, &token, "/2.0/files/12345/content")
        .send()
        .is(302);
    assert_eq!(reply.body, b"");
    let location = reply.header("Location").unwrap();
    assert!(location.starts_with(&stand_in.storage) && location.contains("/download?"));
    let storage = Ask::get(location);
    let with_token = storage
        .clone()
        .header("Authorization", &format!("Bearer {token}"));
    with_token.send().is(400);
    let part = storage.header("Range", "bytes=0-1024").send().is(206);
    assert_eq!(part.body, noise(629_644)[..=1024]);
    assert_eq!(stand_in.log.statuses(Side::Storage), [400, 206]);
}

#[test]
fn pages_follow_the_marker_and_have_folders_and_web_links_among_the_rows() {
    for ends_empty in [false, true] {
        let mut service = BoxFiles::new();
        service.ends_empty = ends_empty;
        let stand_in = StandIn::start(service, documents(), Switches::default());
        let token = token(&stand_in);
        let list = "/2.0/folders/0/items?usemarker=true&limit=1000&fields=name,size";
        let (mut kinds, mut next, mut pages) = (Vec::new(), list.to_owned(), 0);
        loop {
            let page = ask(&stand_in, &token, &next).send().is(200).value();
            pages += 1;
            assert_eq!(page.get("total_count"), None);
            for entry in page["entries"].as_array().unwrap() {
                kinds.push(entry["type"].as_str().unwrap().to_owned());
                assert_eq!(entry.get("size").is_some(), entry["type"] == "file");
                assert_eq!(entry.get("sha1"), None);
            }
            let Some(marker) = page["next_marker"]
                .as_str()
                .filter(|marker| !marker.is_empty())
            else {
                let last = if ends_empty { json!("") } else { Value::Null };
                assert_eq!(page["next_marker"], last);
                break;
            };
            let marker: String = url::form_urlencoded::byte_serialize(marker.as_bytes()).collect();
            next = format!("{list}&marker={marker}");
        }
        assert_eq!(pages, 4);
        assert_eq!(
            kinds,
            [
                "folder", "folder", "file", "file", "file", "file", "file", "web_link"
            ]
        );
        let empty = format!("/2.0/folders/{EMPTY_FOLDER}/items?usemarker=true");
        let empty = ask(&stand_in, &token, &empty).send().is(200).value();
        assert_eq!(empty["entries"], json!([]));
    }
}

#[test]
fn without_fields_rows_are_mini_and_without_usemarker_pages_have_offsets() {
    let switches = Switches {
        page_rows: 3,
        ..Switches::default()
    };
    let stand_in = start(switches);
    let token = token(&stand_in);
    let page = ask(&stand_in, &token, "/2.0/folders/0/items?offset=2");
    let page = page.send().is(200).value();
    assert_eq!(page["total_count"], 8);
    assert_eq!(page.get("next_marker"), None);
    let entry = &page["entries"][0];
    assert_eq!(entry["name"], "Contract.pdf");
    assert!(entry["sha1"].is_string() && entry.get("size").is_none());
    let refused = |query: &str, code: &str| {
        let list = ask(&stand_in, &token, &format!("/2.0/folders/0/items?{query}"));
        assert_eq!(list.send().is(400).value()["code"], code, "{query}");
    };
    refused("limit=many", "invalid_limit");
    refused("marker=abc", "invalid_request_parameters");
    refused("usemarker=true&marker=abc", "invalid_request_parameters");
    refused("page=2", "invalid_request_parameters");
}

#[test]
fn wrong_requests_get_the_errors_of_box() {
    let stand_in = start(Switches::default());
    let token = token(&stand_in);
    let refused = |ask: Ask, status: u16, code: &str| {
        let error = ask.send().is(status).value();
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(status))
        );
        assert_eq!(error["code"], code);
        assert_eq!(error["request_id"], "abcdef123456");
    };
    let url = format!("{}/2.0/users/me", stand_in.base);
    refused(Ask::get(&url), 401, "unauthorized");
    let challenge = Ask::get(&url).send();
    assert!(
        challenge
            .header("WWW-Authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    refused(
        ask(&stand_in, "another", "/2.0/users/me"),
        401,
        "unauthorized",
    );
    let path = |path: &str| ask(&stand_in, &token, path);
    refused(path("/2.0/files/99999"), 404, "not_found");
    refused(path("/2.0/files/99999/content"), 404, "not_found");
    refused(path("/2.0/files/22222/content"), 404, "not_found");
    refused(path("/2.0/folders/12345/items"), 404, "not_found");
    refused(path("/files/12345"), 404, "not_found");
    refused(path("/2.0/files/12345/content/"), 404, "not_found");
    refused(path("/2.0/files/abc"), 405, "method_not_allowed");
    refused(path("/2.0/files/abc/content"), 405, "method_not_allowed");
    refused(path("/2.0/folders/abc/items"), 405, "method_not_allowed");
    refused(
        path("/2.0/files/12345?field=name"),
        400,
        "invalid_request_parameters",
    );
    refused(
        path("/2.0/files/12345/content?a=b"),
        400,
        "invalid_request_parameters",
    );
    let locked = format!("/2.0/files/{LOCKED_FILE}/content");
    refused(path(&locked), 403, "access_denied_insufficient_permissions");
    let post = Ask::post(format!("{}/2.0/files/12345/content", stand_in.base));
    let post = post.header("Authorization", &format!("Bearer {token}"));
    refused(post, 405, "method_not_allowed");
}

#[test]
fn the_switches_answer_as_the_description_says() {
    let refuse = |refusal, times| crate::standins::Refuse {
        refusal,
        path: "/content",
        times,
    };
    let stand_in = start(Switches {
        refuse: vec![
            refuse(Refusal::NotReady, 2),
            refuse(Refusal::Limited, 1),
            refuse(Refusal::Unauthorized, 1),
        ],
        expire_after: Some(Duration::ZERO),
        ..Switches::default()
    });
    let first = token(&stand_in);
    let content = ask(&stand_in, &first, "/2.0/files/12345/content");
    for _ in 0..2 {
        assert_eq!(content.send().is(202).header("Retry-After"), Some("1"));
    }
    let limited = content.send().is(429);
    assert_eq!(limited.value()["code"], "rate_limit_exceeded");
    // The token ended for good; another one is accepted.
    content.send().is(401);
    content.send().is(401);
    let second = token(&stand_in);
    assert_ne!(first, second);
    let reply = ask(&stand_in, &second, "/2.0/files/12345/content")
        .send()
        .is(302);
    Ask::get(reply.header("Location").unwrap()).send().is(403);
    assert_eq!(stand_in.world().variable("BOX_SUBJECT_ID"), ENTERPRISE);
}

#[test]
fn a_digest_can_be_of_other_bytes() {
    let mut service = BoxFiles::new();
    service.wrong_digest = Some("44444");
    let stand_in = StandIn::start(service, documents(), Switches::default());
    let token = token(&stand_in);
    let sha1 = |id: &str| {
        let file = ask(&stand_in, &token, &format!("/2.0/files/{id}?fields=sha1"));
        file.send().is(200).value()["sha1"]
            .as_str()
            .unwrap()
            .to_lowercase()
    };
    assert_ne!(sha1("44444"), fields::hex(&SHA1, &noise(1)));
    assert_eq!(sha1("33333"), fields::hex(&SHA1, &noise(4096)));
}

#[test]
fn a_token_can_come_as_in_the_example_of_the_guide() {
    let mut service = BoxFiles::new();
    service.hides_token_type = true;
    let stand_in = StandIn::start(service, documents(), Switches::default());
    let answer = token_ask(&stand_in, grant(&[])).send().is(200).value();
    let expected = json!({
        "access_token": answer["access_token"],
        "expires_in": 4123,
        "restricted_to": [],
        "issued_token_type": "bearer",
    });
    assert_eq!(answer, expected);
    let token = answer["access_token"].as_str().unwrap();
    ask(&stand_in, token, "/2.0/users/me").send().is(200);
}
