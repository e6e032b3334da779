//! The stand-in of Seven Bridges, asked as its description says, and otherwise.

use super::*;
use crate::standins::{Ask, Reply, Side, StandIn, Switches};
use crate::support::noise;

/// The ids of the description's examples.
const FILES: [&str; 5] = [
    "567890abc3d8130ea4047731",
    "567890abc8a5639cc6722063",
    "5a97d4741c94edbe85904936",
    "5a97d4741c94edbe85904909",
    "568e69abe9b0307bc0414164",
];

fn start() -> StandIn {
    let service = Sevenbridges {
        forbidden: vec![FILES[4]],
    };
    let document = |id| Document::new(id, "test-text.txt", noise(1000));
    StandIn::start(service, FILES.map(document).to_vec(), Switches::default())
}

fn get(stand_in: &StandIn, target: &str) -> Ask {
    Ask::get(format!("{}/v2/{target}", stand_in.base))
}

fn signed_in(ask: Ask) -> Reply {
    ask.header("X-SBG-Auth-Token", TOKEN).send()
}

fn refused(reply: Reply, status: u16, code: Option<u16>) {
    let value = reply.is(status).value();
    assert_eq!(value["status"], status);
    assert_eq!(value["code"], json!(code), "{value}");
    assert!(value["message"].is_string());
}

#[test]
fn a_url_of_the_storage_names_its_end_and_its_file() {
    let stand_in = start();
    let info = signed_in(get(
        &stand_in,
        "files/567890abc3d8130ea4047731/download_info",
    ));
    assert!(info.header("X-RateLimit-Remaining").is_some());
    let url = info.is(200).value()["url"].as_str().unwrap().to_owned();
    let end = url.split_once("&Expires=").unwrap().1;
    let end: i64 = end.split('&').next().unwrap().parse().unwrap();
    let left = end - jiff::Timestamp::now().as_second();
    assert!((3500..=3600).contains(&left), "{url}");
    assert!(
        url.contains("%2Btest-text.txt?response-content-type="),
        "{url}"
    );
    let whole = Ask::get(&url).send().is(200);
    assert_eq!(whole.body, noise(1000));
    let disposition = whole.header("Content-Disposition");
    assert_eq!(disposition, Some("attachment;filename=test-text.txt"));
    Ask::get(&url)
        .header("X-SBG-Auth-Token", TOKEN)
        .send()
        .is(400);
    assert_eq!(stand_in.log.statuses(Side::Storage), [200, 400]);
}

#[test]
fn a_list_has_folders_links_and_the_fields_that_the_request_names() {
    let stand_in = start();
    let mut url = format!("{}/v2/files?project={PROJECT}&fields=_all", stand_in.base);
    let mut found = Vec::new();
    for page in 0.. {
        let reply = signed_in(Ask::get(&url)).is(200);
        assert_eq!(reply.header("X-Total-Matching-Query"), Some("6"));
        let value = reply.value();
        found.extend(value["items"].as_array().unwrap().clone());
        let links = value["links"].as_array().unwrap();
        assert_eq!(links.iter().any(|link| link["rel"] == "prev"), page > 0);
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else {
            assert_eq!(page, 2);
            break;
        };
        assert_eq!(next["method"], "GET");
        url = next["href"].as_str().unwrap().to_owned();
    }
    let ids: Vec<&str> = found
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!((ids[0], &ids[1..]), (FOLDER, &FILES[..]));
    assert_eq!(
        (&found[0]["type"], &found[0]["size"]),
        (&json!("folder"), &Value::Null)
    );
    assert_eq!(
        (&found[1]["type"], &found[1]["size"]),
        (&json!("file"), &json!(1000))
    );
    let rows = |target: &str| signed_in(get(&stand_in, target)).is(200).value()["items"].clone();
    let row = rows(&format!("files?project={PROJECT}&offset=1&limit=1"))[0].clone();
    assert_eq!(
        (&row["name"], &row["size"]),
        (&json!("test-text.txt"), &Value::Null)
    );
    let row = rows(&format!("files?project={PROJECT}&offset=1&fields=id,size"))[0].clone();
    assert_eq!(row, json!({"id": FILES[0], "size": 1000}));
}

#[test]
fn a_file_and_the_user_are_described() {
    let stand_in = start();
    let file = signed_in(get(&stand_in, "files/567890abc8a5639cc6722063"))
        .is(200)
        .value();
    assert_eq!(
        (&file["size"], &file["modified_on"]),
        (&json!(1000), &json!("2026-03-01T12:00:00Z"))
    );
    let some = signed_in(get(&stand_in, "files/567890abc8a5639cc6722063?fields=name")).is(200);
    assert_eq!(some.value(), json!({"name": "test-text.txt"}));
    let bearer = get(&stand_in, "user").header("Authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(bearer.send().is(200).value()["username"], "RFranklin");
}

#[test]
fn wrong_requests_get_the_errors_of_the_description() {
    let stand_in = start();
    let status = |target: &str| signed_in(get(&stand_in, target));
    refused(get(&stand_in, "user").send(), 401, None);
    let wrong = get(&stand_in, "user").header("X-SBG-Auth-Token", "wrong");
    refused(wrong.send(), 401, None);
    refused(status("files/567890abc8a5639cc6722064"), 404, Some(5002));
    refused(
        status("files/567890abc8a5639cc6722064/download_info"),
        404,
        Some(5002),
    );
    refused(
        status("files/568e69abe9b0307bc0414164/download_info"),
        403,
        Some(5001),
    );
    refused(status("files/567890abc8a5639cc6722063/download"), 404, None);
    refused(
        status("files/567890abc8a5639cc6722063?field=name"),
        400,
        None,
    );
    refused(
        status("files/567890abc8a5639cc6722063?fields=names"),
        400,
        None,
    );
    refused(status("files"), 400, None);
    refused(status("files?project=my-project"), 400, Some(3012));
    refused(status("files?project=rfranklin/another"), 404, Some(3002));
    let project = format!("files?project={PROJECT}");
    refused(status(&format!("{project}&parent={FOLDER}")), 400, None);
    refused(status(&format!("{project}&page=2")), 400, None);
    refused(status(&format!("{project}&offset=one")), 400, None);
    let post = Ask::post(format!("{}/v2/files/{}", stand_in.base, FILES[0]));
    refused(signed_in(post.json(&json!({}))), 405, None);
    signed_in(Ask::get(format!("{}/files/{}", stand_in.base, FILES[0]))).is(404);
}

#[test]
fn a_limited_request_is_told_when_the_limit_is_reset() {
    let switches = Switches::refusing(Refusal::Limited, "/user", 1);
    let stand_in = StandIn::start(Sevenbridges::default(), Vec::new(), switches);
    let limited = signed_in(get(&stand_in, "user"));
    assert_eq!(limited.header("X-RateLimit-Remaining"), Some("0"));
    let reset: i64 = limited
        .header("X-RateLimit-Reset")
        .unwrap()
        .parse()
        .unwrap();
    assert!((0..=2).contains(&(reset - jiff::Timestamp::now().as_second())));
    refused(limited, 429, Some(1000));
    signed_in(get(&stand_in, "user")).is(200);
}
