//! The stand-in of DRS, asked as its description says, and otherwise.

use super::*;
use crate::standins::{Ask, Reply, Side, StandIn, Switches};
use crate::support::noise;

/// The id of the description's examples, and one that has to be encoded.
const IDS: [&str; 2] = ["314159", "dg.4503/01b048d0 e128"];

fn start(service: Drs, switches: Switches) -> StandIn {
    let document = |id| Document::new(id, "a b.bam", noise(1000));
    StandIn::start(service, IDS.map(document).to_vec(), switches)
}

fn ask(stand_in: &StandIn, path: &str) -> Ask {
    Ask::get(format!("{}/ga4gh/drs/v1/{path}", stand_in.base))
}

fn signed_in(ask: Ask) -> Ask {
    ask.header("Authorization", &format!("Bearer {TOKEN}"))
}

fn refused(reply: Reply, status: u16) {
    let error = reply.is(status).value();
    assert_eq!(error["status_code"], status);
    assert!(error["msg"].is_string());
}

#[test]
fn an_object_is_described_and_its_bytes_come_by_each_kind_of_access() {
    for access in [
        Access::Public,
        Access::Headers,
        Access::Signed,
        Access::SignedHeaders,
        Access::S3,
    ] {
        let stand_in = start(Drs::new(access), Switches::default());
        for id in ["314159", "dg.4503%2F01b048d0%20e128"] {
            let object = signed_in(ask(&stand_in, &format!("objects/{id}")));
            let object = object.send().is(200).value();
            assert_eq!(object["size"], 1000);
            assert_eq!(object["self_uri"], format!("drs://drs.example.org/{id}"));
            assert_eq!(object["checksums"][1]["checksum"], sha256(&noise(1000)));
            let method = &object["access_methods"][1];
            let url = if method["access_id"].is_null() {
                method["access_url"].clone()
            } else {
                let access_id = encoded(method["access_id"].as_str().unwrap());
                let path = format!("objects/{id}/access/{access_id}");
                signed_in(ask(&stand_in, &path)).send().is(200).value()
            };
            let mut get = Ask::get(url["url"].as_str().unwrap());
            if let Some(header) = url["headers"][0].as_str() {
                get.clone().send().is(403);
                let (name, value) = header.split_once(": ").unwrap();
                get = get.header(name, value);
            }
            assert_eq!(get.send().is(200).body, noise(1000), "{access:?}");
            let with_credential = get.header("X-Auth", TOKEN);
            with_credential.send().is(400);
        }
    }
}

#[test]
fn wrong_requests_get_the_errors_of_the_description() {
    let mut service = Drs::new(Access::Signed);
    service.forbidden = vec![IDS[1]];
    let stand_in = start(service, Switches::default());
    let object = || ask(&stand_in, "objects/314159");
    refused(object().send(), 401);
    refused(object().header("Authorization", "Bearer wrong").send(), 401);
    refused(object().header("Authorization", TOKEN).send(), 401);
    let basic = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    object()
        .header("Authorization", &format!("Basic {basic}"))
        .send()
        .is(200);
    let status = |path: &str| signed_in(ask(&stand_in, path)).send();
    refused(status("objects/271828"), 404);
    refused(status("objects/dg.4503/01b048d0%20e128"), 404);
    refused(status("objects/dg.4503%2F01b048d0%20e128"), 403);
    refused(status("objects/314159/access/another"), 404);
    refused(status("objects/314159/access/aws:us-east-1/a%20b"), 404);
    refused(status("objects/314159?fields=name"), 400);
    refused(status("objects/314159?expand=yes"), 400);
    status("objects/314159?expand=false").is(200);
    refused(status("objects"), 404);
    let post = Ask::post(format!("{}/ga4gh/drs/v1/objects/314159", stand_in.base));
    refused(signed_in(post).json(&json!({"passports": []})).send(), 400);
    let info = ask(&stand_in, "service-info").send().is(200).value();
    assert_eq!(info["type"]["artifact"], "drs");
}

#[test]
fn an_open_service_needs_no_credential_and_refuses_a_wrong_one() {
    let mut service = Drs::new(Access::Public);
    service.open = true;
    let stand_in = start(service, Switches::default());
    ask(&stand_in, "objects/314159").send().is(200);
    let wrong = ask(&stand_in, "objects/314159").header("Authorization", "Bearer wrong");
    refused(wrong.send(), 401);
    assert_eq!(stand_in.log.statuses(Side::Api), [200, 401]);
}

#[test]
fn a_bundle_has_contents_and_no_access_method() {
    let stand_in = start(Drs::new(Access::Bundle), Switches::default());
    let object = signed_in(ask(&stand_in, "objects/314159"))
        .send()
        .is(200)
        .value();
    assert_eq!(
        object["contents"][0]["drs_uri"][0],
        "drs://drs.example.org/314159"
    );
    assert!(object["access_methods"].is_null());
}

#[test]
fn an_object_that_is_not_ready_is_202_with_a_time_in_seconds() {
    let switches = Switches::refusing(Refusal::NotReady, "/access/", 2);
    let stand_in = start(Drs::new(Access::Signed), switches);
    signed_in(ask(&stand_in, "objects/314159")).send().is(200);
    let access = format!("objects/314159/access/{}", encoded(ACCESS_ID));
    let access = signed_in(ask(&stand_in, &access));
    for _ in 0..2 {
        assert_eq!(access.send().is(202).header("Retry-After"), Some("1"));
    }
    access.send().is(200);
}

#[test]
fn checksums_are_known_values_in_hexadecimal() {
    // RFC 3720 B.4 (32 zeros), and `printf abc | sha1sum`.
    assert_eq!(checksum("crc32c", &[0; 32]), "8a9136aa");
    assert_eq!(
        checksum("sha1", b"abc"),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    assert_eq!(checksum("md5", b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(
        checksum("etag", b"abc"),
        "900150983cd24fb0d6963f7d28e17f72-2"
    );
    assert_eq!(checksum("sha-512", b"").len(), 128);
}
