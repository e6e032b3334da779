//! The stand-in of Dropbox itself, by plain requests.

use super::*;
use crate::standins::fields::changed_form;
use crate::standins::{Ask, Side, StandIn, Switches};
use crate::support::sha256;

const EXAMPLE: &str = "id:a4ayc_80_OEAAAAAAAAAXw";

fn start(switches: Switches) -> StandIn {
    StandIn::start(Dropbox::new(), documents(), switches)
}

fn grant(changes: &[(&str, Option<&str>)]) -> String {
    let fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", REFRESH_TOKEN),
        ("client_id", APP_KEY),
        ("client_secret", APP_SECRET),
    ];
    changed_form(fields, changes)
}

fn token_ask(stand_in: &StandIn, body: String) -> Ask {
    let ask = Ask::post(format!("{}/oauth2/token", stand_in.base));
    ask.body("application/x-www-form-urlencoded", body)
}

/// A stand-in with a token of its own.
struct Known {
    stand_in: StandIn,
    token: String,
}

impl Known {
    fn new(stand_in: StandIn) -> Self {
        let answer = token_ask(&stand_in, grant(&[])).send().is(200).value();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { stand_in, token }
    }

    fn ask(&self, route: &str) -> Ask {
        let ask = Ask::post(format!("{}/2/{route}", self.stand_in.base));
        ask.header("Authorization", &format!("Bearer {}", self.token))
    }

    #[track_caller]
    fn call(&self, route: &str, arguments: Value) -> Value {
        self.ask(route).json(&arguments).send().is(200).value()
    }

    /// The text of a 400.
    #[track_caller]
    fn bad(&self, route: &str, arguments: Value) -> String {
        let reply = self.ask(route).json(&arguments).send().is(400);
        assert!(
            reply
                .header("Content-Type")
                .unwrap()
                .starts_with("text/plain")
        );
        let text = reply.text();
        assert!(
            text.contains(&format!("API function \"{route}\": ")),
            "{text}"
        );
        text
    }

    /// The summary of a 409.
    #[track_caller]
    fn conflict(&self, route: &str, arguments: Value) -> String {
        let error = self.ask(route).json(&arguments).send().is(409).value();
        assert!(error["error"][".tag"].is_string());
        error["error_summary"].as_str().unwrap().to_owned()
    }
}

fn known() -> Known {
    Known::new(start(Switches::default()))
}

#[test]
fn a_refresh_token_gets_tokens_and_stays_the_same() {
    let stand_in = start(Switches::default());
    let first = token_ask(&stand_in, grant(&[])).send().is(200).value();
    assert_eq!(first["token_type"], "bearer");
    assert_eq!(first["expires_in"], 14_400);
    assert_eq!(first.get("refresh_token"), None);
    let second = token_ask(&stand_in, grant(&[])).send().is(200).value();
    assert_ne!(first["access_token"], second["access_token"]);
    let refused = |changes: &[(&str, Option<&str>)], error: &str| {
        let answer = token_ask(&stand_in, grant(changes)).send().is(400).value();
        assert!(
            answer["error"].as_str().unwrap().starts_with(error),
            "{answer}"
        );
    };
    refused(
        &[("grant_type", Some("client_credentials"))],
        "unsupported_grant_type",
    );
    refused(&[("grant_type", None)], "unsupported_grant_type");
    refused(&[("refresh_token", Some("another"))], "invalid_grant");
    refused(&[("refresh_token", None)], "invalid_grant");
    refused(&[("client_secret", Some("another"))], "invalid_client");
    refused(&[("client_id", None)], "invalid_client");
    refused(&[("audience", Some("files"))], "invalid_request");
    let nobody = grant(&[("client_id", None), ("client_secret", None)]);
    token_ask(&stand_in, nobody.clone()).send().is(400);
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("{APP_KEY}:{APP_SECRET}"))
    );
    let by_header = token_ask(&stand_in, nobody).header("Authorization", &basic);
    by_header.send().is(200);
    token_ask(&stand_in, grant(&[]))
        .header("Authorization", &basic)
        .send()
        .is(400);
    assert_eq!(
        stand_in.world().variable("DROPBOX_REFRESH_TOKEN"),
        REFRESH_TOKEN
    );
}

#[test]
fn the_examples_of_the_specification_are_answered_as_it_says() {
    let known = known();
    let answer = known.call("files/get_temporary_link", json!({"path": EXAMPLE}));
    let mut expected = examples()["file"].clone();
    expected["content_hash"] = json!(content_hash(&noise(7212)));
    assert_eq!(answer["metadata"], expected);
    let link = answer["link"].as_str().unwrap();
    assert!(
        link.starts_with(&format!("{}/cd/0/get/", known.stand_in.storage)),
        "{link}"
    );
    let storage = Ask::get(link);
    let whole = storage.send().is(200);
    assert_eq!(whole.body, noise(7212));
    assert_eq!(
        whole.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    let bearer = format!("Bearer {}", known.token);
    storage
        .clone()
        .header("Authorization", &bearer)
        .send()
        .is(400);
    storage.header("Range", "bytes=7211-").send().is(206);
    assert_eq!(known.stand_in.log.statuses(Side::Storage), [200, 400, 206]);

    // The same file by path and revision; with its tag where the specification declares the union.
    for path in [
        "/Homework/math/prime_numbers.TXT",
        "rev:a1c10ce0dd78",
        EXAMPLE,
    ] {
        let found = known.call("files/get_metadata", json!({"path": path}));
        assert_eq!(
            (&found[".tag"], &found["id"]),
            (&json!("file"), &json!(EXAMPLE))
        );
    }
    let folder = known.call("files/get_metadata", json!({"path": "/Homework/math"}));
    assert_eq!(folder[".tag"], "folder");
    let echo = known.call("check/user", json!({"query": "foo"}));
    assert_eq!(echo, json!({"result": "foo"}));
    // The example of list_folder: a file and a folder in it, and no further page.
    let list = known.call(
        "files/list_folder",
        json!({"path": "/Homework/math", "recursive": false, "limit": 1}),
    );
    assert_eq!(list["entries"][0][".tag"], "file");
    assert_eq!(list["has_more"], true);
}

#[test]
fn a_content_hash_is_that_of_the_digests_of_blocks() {
    // The vector of the SDK's own test: nothing has no block.
    assert_eq!(content_hash(b""), sha256(b""));
    let block = noise(BLOCK);
    let digest = |bytes: &[u8]| ring::digest::digest(&SHA256, bytes).as_ref().to_vec();
    assert_eq!(content_hash(&block), sha256(&digest(&block)));
    assert_ne!(content_hash(b"a"), sha256(b"a"));
    let more = noise(BLOCK + 9);
    let joined = [digest(&more[..BLOCK]), digest(&more[BLOCK..])].concat();
    assert_eq!(content_hash(&more), sha256(&joined));
}

#[test]
fn pages_continue_with_the_cursor_alone_and_the_last_has_one_too() {
    let known = known();
    let mut page = known.call("files/list_folder", json!({"path": "", "recursive": true}));
    let mut tags = Vec::new();
    let mut pages = 1;
    loop {
        for entry in page["entries"].as_array().unwrap() {
            tags.push(entry[".tag"].as_str().unwrap().to_owned());
        }
        let cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            let after = known.call("files/list_folder/continue", json!({"cursor": cursor}));
            assert_eq!(after["entries"], json!([]));
            break;
        }
        let text = known.bad(
            "files/list_folder/continue",
            json!({"cursor": cursor, "path": ""}),
        );
        assert!(
            text.ends_with("request body: unknown field 'path'"),
            "{text}"
        );
        page = known.call("files/list_folder/continue", json!({"cursor": cursor}));
        pages += 1;
    }
    assert_eq!(pages, 4);
    assert_eq!(
        tags,
        ["folder", "folder", "file", "file", "file", "file", "file"]
    );
}

#[test]
fn a_list_has_what_its_arguments_say() {
    let known = Known::new(start(Switches {
        page_rows: 100,
        ..Switches::default()
    }));
    let names = |arguments: Value| {
        let list = known.call("files/list_folder", arguments);
        let entries = list["entries"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"path": ""})), ["Homework"]);
    assert_eq!(names(json!({"path": "/homework"})), ["math"]);
    let all = names(json!({"path": "/Homework/math", "include_deleted": true}));
    assert_eq!(all.len(), 6);
    assert!(all.contains(&"pi.txt".to_owned()) && all.contains(&"Plan.paper".to_owned()));
    let files = names(json!({"path": "/Homework/math", "include_non_downloadable_files": false}));
    let known_names: Vec<String> = documents()
        .into_iter()
        .map(|document| document.name)
        .collect();
    assert_eq!(files, known_names);
    let some = names(json!({"path": "", "recursive": true, "limit": 3}));
    assert_eq!(some.len(), 3);
}

#[test]
fn wrong_requests_get_the_errors_of_dropbox() {
    let known = known();
    let link = "files/get_temporary_link";
    assert!(
        known
            .bad(link, json!({"path": EXAMPLE, "duration": 1}))
            .ends_with("unknown field 'duration'")
    );
    assert!(
        known
            .bad(link, json!({}))
            .ends_with("missing required field 'path'")
    );
    assert!(
        known
            .bad(link, json!({"path": null}))
            .contains("path: expected string")
    );
    assert!(
        known
            .bad(link, json!({"path": "Homework"}))
            .contains("did not match pattern")
    );
    assert!(
        known
            .bad("files/list_folder", json!({"path": "/"}))
            .contains("empty string")
    );
    known.bad("files/list_folder", json!({"path": "", "limit": 2001}));
    known.bad("files/list_folder", json!({"path": "", "limit": "2"}));
    known.bad(
        "files/list_folder",
        json!({"path": "", "recursive": "true"}),
    );
    known.bad("files/list_folder/continue", json!({"cursor": 1}));
    known.bad("files/get_everything", json!({}));
    known.bad(link, json!([]));
    assert_eq!(
        known.conflict(link, json!({"path": "id:another"})),
        "path/not_found/.."
    );
    assert_eq!(
        known.conflict(link, json!({"path": "/Homework"})),
        "path/not_file/.."
    );
    assert_eq!(
        known.conflict(link, json!({"path": "/Homework/math/pi.txt"})),
        "path/not_found/.."
    );
    assert_eq!(
        known.conflict(link, json!({"path": PAPER})),
        "unsupported_file/..."
    );
    assert_eq!(
        known.conflict("files/list_folder", json!({"path": "/no"})),
        "path/not_found/.."
    );
    assert_eq!(
        known.conflict("files/list_folder/continue", json!({"cursor": "a"})),
        "reset/..."
    );

    let text = known
        .ask(link)
        .body("text/plain", "{}")
        .send()
        .is(400)
        .text();
    assert!(text.contains("Bad HTTP \"Content-Type\" header"), "{text}");
    known.ask(link).body("application/json", "{").send().is(400);
    let url = format!("{}/2/{link}", known.stand_in.base);
    let bearer = format!("Bearer {}", known.token);
    Ask::get(&url)
        .header("Authorization", &bearer)
        .send()
        .is(400);
    let summary = |ask: Ask| ask.json(&json!({})).send().is(401).value()["error_summary"].clone();
    assert_eq!(summary(Ask::post(&url)), "missing_authentication/...");
    let other = Ask::post(&url).header("Authorization", "Bearer another");
    assert_eq!(summary(other), "invalid_access_token/...");
    let basic = Ask::post(&url).header("Authorization", "Basic eDp5").send();
    assert!(basic.is(400).text().contains("Expecting \"Bearer"));
    Ask::post(format!("{}/files/list_folder", known.stand_in.base))
        .send()
        .is(404);
}

#[test]
fn the_switches_answer_as_the_specification_says() {
    let refuse = |refusal, path| crate::standins::Refuse {
        refusal,
        path,
        times: 1,
    };
    let known = Known::new(start(Switches {
        refuse: vec![
            refuse(Refusal::Limited, "/list_folder"),
            refuse(Refusal::Unauthorized, "/get_temporary_link"),
        ],
        expire_after: Some(Duration::ZERO),
        ..Switches::default()
    }));
    let list = known.ask("files/list_folder").json(&json!({"path": ""}));
    let limited = list.send().is(429);
    assert_eq!(limited.header("Retry-After"), Some("1"));
    assert_eq!(limited.value()["error"]["retry_after"], 1);
    list.send().is(200);
    let link = |known: &Known| {
        known
            .ask("files/get_temporary_link")
            .json(&json!({"path": EXAMPLE}))
    };
    let ended = link(&known).send().is(401).value();
    assert_eq!(ended["error"][".tag"], "expired_access_token");
    link(&known).send().is(401);
    let again = Known::new(known.stand_in);
    let answer = link(&again).send().is(200).value();
    // "Afterwards you will get 410 Gone."
    Ask::get(answer["link"].as_str().unwrap()).send().is(410);
}

#[test]
fn a_service_can_make_all_cursors_invalid() {
    let mut service = Dropbox::new();
    service.resets_cursors = true;
    let known = Known::new(StandIn::start(service, documents(), Switches::default()));
    let page = known.call("files/list_folder", json!({"path": "", "recursive": true}));
    let cursor = &page["cursor"];
    let summary = known.conflict("files/list_folder/continue", json!({"cursor": cursor}));
    assert_eq!(summary, "reset/...");
}
