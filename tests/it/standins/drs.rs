//! GA4GH Data Repository Service 1.5, written from `openapi/` of
//! <https://github.com/ga4gh/data-repository-service-schemas> at fe25c395.

mod tests;

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
    /// The same of type `gs`.
    Gs,
    /// An `access_url` with `headers` of a method of type `s3`.
    InlineS3,
    /// The same of type `gs`.
    InlineGs,
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
    /// The types of the checksums that each object has.
    pub checksums: Vec<&'static str>,
}

impl Drs {
    pub fn new(access: Access) -> Self {
        Self {
            access,
            forbidden: Vec::new(),
            open: false,
            checksums: vec!["etag", "sha-256", "md5"],
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
        let checksum = |kind: &&'static str| json!({"checksum": checksum(kind, &document.content), "type": kind});
        let checksums: Vec<Value> = self.checksums.iter().map(checksum).collect();
        let mut object = json!({
            "id": document.id,
            "name": document.name,
            "self_uri": format!("drs://drs.example.org/{}", encoded(&document.id)),
            "size": document.content.len(),
            "created_time": document.modified.to_string(),
            "updated_time": document.modified.to_string(),
            "version": "1",
            "mime_type": "application/octet-stream",
            "checksums": checksums,
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
        let useless = match self.access {
            Access::InlineGs => json!({"type": "s3", "access_url": {"url": "s3://bucket/object"}}),
            _ => json!({"type": "gs", "access_url": {"url": "gs://bucket/object"}, "cloud": "gcp"}),
        };
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
            Access::Gs => json!({
                "type": "gs",
                "access_url": {"url": "gs://bucket/object", "headers": []},
                "access_id": ACCESS_ID,
            }),
            Access::InlineS3 => {
                json!({"type": "s3", "access_url": self.access_url(document, site)})
            }
            Access::InlineGs => {
                json!({"type": "gs", "access_url": self.access_url(document, site)})
            }
            Access::Bundle => Value::Null,
        };
        json!([useless, counts])
    }

    fn access_url(&self, document: &Document, site: &Site) -> Value {
        // The name is in the description of the object only.
        let key = &sha256(document.id.as_bytes())[..16];
        let mut grant = Grant::new(format!("/bucket/{key}"));
        let has_headers = matches!(
            self.access,
            Access::Headers | Access::SignedHeaders | Access::InlineS3 | Access::InlineGs
        );
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
            Access::Public | Access::Headers | Access::InlineS3 | Access::InlineGs | Access::Bundle
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

/// `openapi/components/schemas/Checksum.yaml`: in hexadecimal.
fn checksum(kind: &str, content: &[u8]) -> String {
    use md5::Digest as _;
    let of = |algorithm| ring::digest::digest(algorithm, content).as_ref().to_vec();
    let bytes = match kind {
        "sha-256" | "sha256" => of(&ring::digest::SHA256),
        "sha-512" | "sha512" => of(&ring::digest::SHA512),
        "sha1" | "sha-1" => of(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
        "md5" => md5::Md5::digest(content).to_vec(),
        "crc32c" => {
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, content);
            u32::try_from(crc).unwrap().to_be_bytes().to_vec()
        }
        "etag" => return format!("{}-2", checksum("md5", content)),
        other => panic!("no checksum is called {other}"),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
