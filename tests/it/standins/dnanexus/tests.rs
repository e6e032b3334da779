//! The stand-in of DNAnexus, asked as its description says, and otherwise.

use super::*;
use crate::standins::{Ask, Reply, StandIn, Switches};
use crate::support::noise;

const FILES: [&str; 5] = ["file-B1", "file-B2", "file-B3", "file-B4", "file-B5"];

fn start(service: Dnanexus) -> StandIn {
    let document = |id| Document::new(id, "a b.fastq.gz", noise(1000));
    StandIn::start(service, FILES.map(document).to_vec(), Switches::default())
}

fn call(stand_in: &StandIn, method: &str, input: &Value) -> Reply {
    let ask = Ask::post(format!("{}/{method}", stand_in.base));
    ask.header("Authorization", &format!("Bearer {TOKEN}"))
        .json(input)
        .send()
}

fn refused(reply: Reply, status: u16, kind: &str) {
    let value = reply.is(status).value();
    assert_eq!(value["error"]["type"], kind, "{value}");
    assert!(value["error"]["message"].is_string());
}

#[test]
fn a_preauthenticated_url_needs_no_headers_and_ends_when_asked() {
    let stand_in = start(Dnanexus::default());
    let input =
        json!({"preauthenticated": true, "duration": 3600, "project": PROJECT, "filename": "a b"});
    let before = jiff::Timestamp::now().as_millisecond();
    let output = call(&stand_in, "file-B1/download", &input).is(200).value();
    assert_eq!(output["headers"], json!({}));
    let left = output["expires"].as_i64().unwrap() - before;
    assert!((3_600_000..3_660_000).contains(&left), "{left}");
    let url = output["url"].as_str().unwrap();
    assert!(url.contains("/a%20b?"), "{url}");
    let whole = Ask::get(url).send().is(200);
    assert_eq!(whole.body, noise(1000));
    let disposition = whole.header("Content-Disposition").unwrap();
    assert_eq!(disposition, "attachment; filename=\"a b\"");
    let part = Ask::get(url).header("Range", "bytes=5-").send().is(206);
    assert_eq!(part.body, noise(1000)[5..]);
    let token = format!("Bearer {TOKEN}");
    Ask::get(url).header("Authorization", &token).send().is(400);
}

#[test]
fn a_url_that_is_not_preauthenticated_needs_its_headers() {
    for (service, input) in [
        (Dnanexus::default(), json!({})),
        (
            Dnanexus {
                always_headers: true,
                ..Dnanexus::default()
            },
            json!({"preauthenticated": true}),
        ),
    ] {
        let stand_in = start(service);
        let output = call(&stand_in, "file-B1/download", &input).is(200).value();
        assert_eq!(output["expires"].is_null(), input == json!({}));
        let get = Ask::get(output["url"].as_str().unwrap());
        get.send().is(403);
        let value = output["headers"]["Authorization"].as_str().unwrap();
        get.header("Authorization", value).send().is(200);
    }
}

#[test]
fn files_are_found_page_by_page_with_what_describe_names() {
    let stand_in = start(Dnanexus {
        open: vec!["file-B5"],
        ..Dnanexus::default()
    });
    let mut input = json!({
        "class": "file",
        "state": "closed",
        "scope": {"project": PROJECT, "folder": "/", "recurse": true},
        "describe": {"fields": {"name": true, "size": true, "modified": true}},
        "limit": 1,
    });
    let mut found = Vec::new();
    loop {
        let page = call(&stand_in, "system/findDataObjects", &input)
            .is(200)
            .value();
        let row = &page["results"][0];
        assert_eq!(row["project"], PROJECT);
        let describe = json!({"id": row["id"], "name": "a b.fastq.gz", "size": 1000, "modified": 1_772_366_400_000_i64});
        assert_eq!(row["describe"], describe);
        found.push(row["id"].as_str().unwrap().to_owned());
        if page["next"].is_null() {
            break;
        }
        input["starting"] = page["next"].clone();
    }
    assert_eq!(found, FILES[..4]);
    let other = json!({"scope": {"project": "project-B406G0x2fz2B3GVk65200004"}});
    let page = call(&stand_in, "system/findDataObjects", &other)
        .is(200)
        .value();
    assert_eq!(page, json!({"results": [], "next": null}));
    let all = call(&stand_in, "system/findDataObjects", &json!({}))
        .is(200)
        .value();
    assert_eq!(
        all["results"][0],
        json!({"project": PROJECT, "id": "file-B1"})
    );
}

#[test]
fn a_file_is_described() {
    let stand_in = start(Dnanexus::default());
    let all = call(&stand_in, "file-B1/describe", &json!({}))
        .is(200)
        .value();
    assert_eq!(
        (&all["size"], &all["state"]),
        (&json!(1000), &json!("closed"))
    );
    let input = json!({"project": PROJECT, "fields": {"name": true}});
    let some = call(&stand_in, "file-B1/describe", &input).is(200).value();
    assert_eq!(some, json!({"id": "file-B1", "name": "a b.fastq.gz"}));
    let user = call(&stand_in, "system/whoami", &json!({})).is(200).value();
    assert_eq!(user, json!({"id": "user-rfranklin"}));
}

#[test]
fn wrong_requests_get_the_errors_of_the_description() {
    let stand_in = start(Dnanexus {
        open: vec!["file-B4"],
        hidden: vec!["file-B5"],
        ..Dnanexus::default()
    });
    let url = format!("{}/file-B1/download", stand_in.base);
    let token = format!("Bearer {TOKEN}");
    let signed_in = |ask: Ask| ask.header("Authorization", &token);
    let post = || Ask::post(&url);
    refused(post().json(&json!({})).send(), 401, "InvalidAuthentication");
    let wrong = post()
        .header("Authorization", "Bearer wrong")
        .json(&json!({}));
    refused(wrong.send(), 401, "InvalidAuthentication");
    refused(signed_in(post()).send(), 400, "MalformedJSON");
    refused(
        signed_in(post()).body("application/json", "{").send(),
        400,
        "MalformedJSON",
    );
    let form = post().body("application/x-www-form-urlencoded", "{}");
    refused(signed_in(form).send(), 400, "MalformedJSON");
    signed_in(post())
        .body("application/json; charset=utf-8", "{}")
        .send()
        .is(200);
    refused(
        signed_in(Ask::new("PUT", &url)).json(&json!({})).send(),
        405,
        "MethodNotAllowed",
    );
    let old = signed_in(post()).header("DNAnexus-API", "0.9.0");
    refused(old.json(&json!({})).send(), 400, "BadRequest");
    let current = signed_in(post()).header("DNAnexus-API", "1.0.0");
    current.json(&json!({})).send().is(200);
    for (method, input, status, kind) in [
        ("file-B1/download", json!([]), 422, "InvalidInput"),
        (
            "file-B1/download",
            json!({"durations": 5}),
            422,
            "InvalidInput",
        ),
        (
            "file-B1/download",
            json!({"duration": "5"}),
            422,
            "InvalidInput",
        ),
        (
            "file-B1/download",
            json!({"duration": 0}),
            422,
            "InvalidInput",
        ),
        (
            "file-B1/download",
            json!({"preauthenticated": 1}),
            422,
            "InvalidInput",
        ),
        (
            "file-B1/download",
            json!({"stickyIP": true}),
            422,
            "InvalidInput",
        ),
        (
            "file-B1/download",
            json!({"project": "project-B4"}),
            404,
            "ResourceNotFound",
        ),
        ("file-B9/download", json!({}), 404, "ResourceNotFound"),
        ("file-B4/download", json!({}), 422, "InvalidState"),
        ("file-B5/download", json!({}), 401, "PermissionDenied"),
        ("file-B5/describe", json!({}), 401, "PermissionDenied"),
        (
            "file-B1/describe",
            json!({"field": {}}),
            422,
            "InvalidInput",
        ),
        (
            "system/findDataObjects",
            json!({"limit": 1001}),
            422,
            "InvalidInput",
        ),
        (
            "system/findDataObjects",
            json!({"starting": null}),
            422,
            "InvalidInput",
        ),
        (
            "system/findDataObjects",
            json!({"starting": "file-B2"}),
            422,
            "InvalidInput",
        ),
        // DXHTTPRequestTest.java asks this.
        (
            "system/findDataObjects",
            json!({"state": {"invalid": "oops"}}),
            422,
            "InvalidInput",
        ),
        ("system/findDataObject", json!({}), 404, "ResourceNotFound"),
    ] {
        refused(call(&stand_in, method, &input), status, kind);
    }
}
