//! GA4GH Data Repository Service 1.5, written from `openapi/` of
//! <https://github.com/ga4gh/data-repository-service-schemas> at fe25c395.

use super::query::{encoded, parts, query};
use super::{Answer, Document, Grant, Refusal, Service, Site};
use crate::support::raw::Request;
use crate::support::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub const TOKEN: &str = "drs-bearer-t0ken";
pub const USERNAME: &str = "drs-user";
pub const PASSWORD: &str = "drs-passw0rd";
/// The credential that the description gives as an example of `headers` of an `AccessURL`.
const STORAGE_CREDENTIAL: &str = "Basic Z2E0Z2g6ZHJz";
/// "An arbitrary string": a client has to encode it in the path.
const ACCESS_ID: &str = "aws:us-east-1/a b";

/// How an object is reached: the cases of `openapi/tags/Auth.md`, and what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Public content: an `access_url` without `headers`.
    Public,
    /// An `access_url` with `headers`.
    Headers,
    /// An `access_id`, and a signed URL without `headers`.
    Signed,
    /// An `access_id`, and a signed URL with `headers`.
    SignedHeaders,
    /// An `access_id` of a method of type `s3`, beside an `access_url` that is no HTTP URL.
    S3,
    /// A bundle: `contents`, and no access method.
    Bundle,
}

/// A service whose objects are all reached in one way.
pub struct Drs {
    pub access: Access,
    /// Objects that the requester must not see.
    pub forbidden: Vec<&'static str>,
    /// Whether a request without credentials is answered.
    pub open: bool,
}

impl Drs {
    pub fn new(access: Access) -> Self {
        Self {
            access,
            forbidden: Vec::new(),
            open: false,
        }
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let basic = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
        match request.header("authorization") {
            None => self.open,
            Some(value) => value == format!("Bearer {TOKEN}") || value == format!("Basic {basic}"),
        }
    }

    fn object(&self, document: &Document, site: &Site) -> Value {
        let content = &document.content;
        let md5: String = {
            use md5::Digest as _;
            let digest = md5::Md5::digest(content);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let mut object = json!({
            "id": document.id,
            "name": document.name,
            "self_uri": format!("drs://drs.example.org/{}", encoded(&document.id)),
            "size": content.len(),
            "created_time": document.modified.to_string(),
            "updated_time": document.modified.to_string(),
            "version": "1",
            "mime_type": "application/octet-stream",
            "checksums": [
                {"checksum": format!("{md5}-2"), "type": "etag"},
                {"checksum": sha256(content), "type": "sha-256"},
                {"checksum": md5, "type": "md5"},
            ],
            "description": "An object of the stand-in",
            "aliases": [],
        });
        if self.access == Access::Bundle {
            let uri = "drs://drs.example.org/314159";
            object["contents"] = json!([{"name": "a.bam", "id": "314159", "drs_uri": [uri]}]);
        } else {
            object["access_methods"] = self.methods(document, site);
        }
        object
    }

    /// The access method that counts comes behind one that is of no use over HTTP.
    fn methods(&self, document: &Document, site: &Site) -> Value {
        let gs = json!({"type": "gs", "access_url": {"url": "gs://bucket/object"}, "cloud": "gcp"});
        let region = "us-east-1";
        let counts = match self.access {
            Access::Public | Access::Headers => {
                json!({"type": "https", "access_url": self.access_url(document, site), "available": true})
            }
            Access::Signed | Access::SignedHeaders => {
                json!({"type": "https", "access_id": ACCESS_ID, "region": region})
            }
            Access::S3 => json!({
                "type": "s3",
                "access_url": {"url": "s3://bucket/object", "headers": []},
                "access_id": ACCESS_ID,
                "cloud": "aws",
                "region": region,
            }),
            Access::Bundle => Value::Null,
        };
        json!([gs, counts])
    }

    fn access_url(&self, document: &Document, site: &Site) -> Value {
        let mut grant = Grant::new(format!("/bucket/{}", encoded(&document.name)));
        let has_headers = matches!(self.access, Access::Headers | Access::SignedHeaders);
        if has_headers {
            let header = ("Authorization".to_owned(), STORAGE_CREDENTIAL.to_owned());
            grant.headers = vec![header];
        }
        let url = site.presign(&document.id, grant).url;
        if has_headers {
            json!({"url": url, "headers": [format!("Authorization: {STORAGE_CREDENTIAL}")]})
        } else {
            json!({"url": url})
        }
    }
}

impl Service for Drs {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        let mut variables = vec![("DRS_API_BASE", base.to_owned())];
        if !self.open {
            variables.push(("DRS_TOKEN", TOKEN.to_owned()));
        }
        variables
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), PASSWORD.to_owned()]
    }

    fn output_secrets(&self) -> Vec<String> {
        vec!["Z2E0Z2g6ZHJz".to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        let parts = parts(request);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let Some(route) = parts.strip_prefix(&["ga4gh", "drs", "v1"]) else {
            return error(404, "No such route.");
        };
        if route == ["service-info"] && request.method == "GET" {
            return Answer::json(200, &service_info());
        }
        let (id, access) = match route {
            ["objects", id] => (*id, None),
            ["objects", id, "access", access] => (*id, Some(*access)),
            _ => return error(404, "No such route."),
        };
        if request.method == "OPTIONS" {
            return Answer::new(405, ""); // "`Authorizations` are not supported for this object."
        }
        if !self.is_authorized(request) {
            return self.refuse(Refusal::Unauthorized);
        }
        if request.method != "GET" || !request.body.is_empty() {
            return error(400, "The request is malformed.");
        }
        let is_known = |(name, value): &(String, String)| {
            access.is_none() && name == "expand" && ["true", "false"].contains(&value.as_str())
        };
        if !query(request).iter().all(is_known) {
            return error(400, "The request is malformed.");
        }
        let Some(document) = site.document(id) else {
            return error(404, "The requested `DrsObject` wasn't found.");
        };
        if self.forbidden.contains(&id) {
            return error(
                403,
                "The requester is not authorized to perform this action.",
            );
        }
        let has_access_id = !matches!(
            self.access,
            Access::Public | Access::Headers | Access::Bundle
        );
        match access {
            None => Answer::json(200, &self.object(document, site)),
            Some(ACCESS_ID) if has_access_id => Answer::json(200, &self.access_url(document, site)),
            Some(_) => error(404, "The requested `AccessURL` wasn't found."),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::NotReady => Answer::new(202, ""),
            Refusal::Unauthorized => error(401, "The request is unauthorized."),
            // The description has no 429.
            Refusal::Limited => error(429, "Too many requests."),
        }
    }
}

/// The `Error` of the description.
fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"msg": message, "status_code": status}))
}

/// The example of `openapi/paths/service-info.yaml`, with what the schema requires.
fn service_info() -> Value {
    json!({
        "id": "com.example.drs",
        "name": "Stand-in",
        "description": "Serves data according to DRS specification",
        "organization": {"name": "Example", "url": "https://example.org"},
        "version": "1.0.0",
        "maxBulkRequestLength": 200,
        "type": {"group": "org.ga4gh", "artifact": "drs", "version": "1.5"},
        "drs": {"maxBulkRequestLength": 200},
    })
}

#[cfg(test)]
mod tests {
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
}
