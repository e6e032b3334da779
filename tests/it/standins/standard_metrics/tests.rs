//! The stand-in of Standard Metrics itself, by plain requests.

use super::*;
use crate::standins::{Ask, StandIn, Switches};

const FORM: &str = "application/x-www-form-urlencoded";

fn token_ask(stand_in: &StandIn, secret: &str, body: &str) -> Ask {
    let basic = STANDARD.encode(format!("{CLIENT_ID}:{secret}"));
    let ask = Ask::post(format!("{}/o/token/", stand_in.base)).body(FORM, body);
    ask.header("Authorization", &format!("Basic {basic}"))
}

struct Known {
    stand_in: StandIn,
    token: String,
}

impl Known {
    fn new(service: StandardMetrics, switches: Switches) -> Self {
        let stand_in = StandIn::start(service, documents(), switches);
        let body = "grant_type=client_credentials";
        let answer = token_ask(&stand_in, CLIENT_SECRET, body)
            .send()
            .is(200)
            .value();
        assert_eq!(answer["expires_in"], 3600);
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { stand_in, token }
    }

    fn ask(&self, path: &str) -> Ask {
        let ask = Ask::get(format!("{}{path}", self.stand_in.base));
        ask.header("Authorization", &format!("Bearer {}", self.token))
    }

    /// The rows of all pages, and how many pages there were.
    fn rows(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut rows, mut pages, mut next) = (Vec::new(), 0, path.to_owned());
        loop {
            let page = self.ask(&next).send().is(200).value();
            pages += 1;
            rows.extend(page["results"].as_array().unwrap().clone());
            let Some(url) = page["next"].as_str() else {
                assert_eq!(page["count"], rows.len());
                return (rows, pages);
            };
            next = url.strip_prefix(&self.stand_in.base).unwrap().to_owned();
        }
    }
}

fn known() -> Known {
    Known::new(StandardMetrics::new(), Switches::default())
}

#[test]
fn companies_come_in_three_pages_and_by_id_or_a_part_of_the_name() {
    let known = known();
    let (rows, pages) = known.rows("/v1/companies/?page_size=100");
    assert_eq!((rows.len(), pages), (5, 3));
    // What the description requires of a company.
    for row in &rows {
        for field in [
            "description",
            "firm_sector",
            "investment_lead_id",
            "logo_url",
            "name",
            "sector",
        ] {
            assert!(row.get(field).is_some(), "{field}");
        }
    }
    assert_eq!(known.rows("/v1/companies/?name=ACME").0.len(), 2);
    let by_id = known
        .rows("/v1/companies/?ids%5B%5D=fBv4Xw8u&ids%5B%5D=cZrx93Lk")
        .0;
    assert_eq!(by_id.len(), 2);
    assert_eq!(by_id[1]["name"], "Übermut GmbH");
}

#[test]
fn documents_name_their_company_by_its_id_and_can_have_none() {
    let known = known();
    let (rows, pages) = known.rows("/v1/documents/?page=1&page_size=100");
    assert_eq!((rows.len(), pages), (7, 4));
    assert_eq!(rows[0]["company_id"], "cZrx93Lk");
    assert_eq!(rows[5]["company_id"], UNKNOWN_COMPANY);
    assert_eq!(rows[6]["company_id"], Value::Null);
    let of_one = known.rows("/v1/documents/?company_id=d0Qm1bnY").0;
    assert_eq!(of_one.len(), 1);
    assert_eq!(
        known
            .rows("/v1/documents/?from=2026-03-02T00:00:00Z")
            .0
            .len(),
        0
    );
    assert_eq!(
        known
            .rows("/v1/documents/?to=2026-03-02T00:00:00Z&source=upload")
            .0
            .len(),
        7
    );
    let location = known.ask("/v1/documents/d3Cc/download/").send().is(302);
    let storage = Ask::get(location.header("Location").unwrap());
    assert_eq!(storage.send().is(200).body, noise(1003));
}

#[test]
fn wrong_requests_get_the_errors_of_standard_metrics() {
    let known = known();
    let detail = |ask: Ask, status: u16| {
        let answer = ask.send().is(status).value();
        answer["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        detail(known.ask("/v1/documents/none/download/"), 404),
        "Not found."
    );
    detail(known.ask("/v1/documents/d1Aa/download"), 404);
    detail(known.ask("/v1/companies"), 404);
    detail(known.ask("/companies/"), 404);
    assert_eq!(
        detail(known.ask("/v1/companies/?page=4"), 404),
        "Invalid page."
    );
    detail(known.ask("/v1/companies/?page=no"), 404);
    detail(known.ask("/v1/companies/?per_page=2"), 400);
    detail(known.ask("/v1/documents/?from=yesterday"), 400);
    let token = |secret: &str, body: &str| token_ask(&known.stand_in, secret, body);
    token("another", "grant_type=client_credentials")
        .send()
        .is(401);
    token(CLIENT_SECRET, "grant_type=password").send().is(400);
    token(CLIENT_SECRET, "grant_type=client_credentials&client_id=a")
        .send()
        .is(400);
    let post = Ask::post(format!("{}/v1/companies/", known.stand_in.base));
    let post = post.header("Authorization", &format!("Bearer {}", known.token));
    detail(post, 405);
    detail(
        Ask::get(format!("{}/v1/companies/", known.stand_in.base)),
        401,
    );
}

#[test]
fn companies_can_be_forbidden_while_documents_are_not() {
    let mut service = StandardMetrics::new();
    service.forbids_companies = true;
    let switches = Switches::refusing(Refusal::Limited, "/documents/", 1);
    let known = Known::new(service, switches);
    known.ask("/v1/companies/").send().is(403);
    known.ask("/v1/documents/").send().is(429);
    known.ask("/v1/documents/").send().is(200);
    assert_eq!(
        known
            .stand_in
            .world()
            .variable("STANDARD_METRICS_CLIENT_ID"),
        CLIENT_ID
    );
}

#[test]
fn docfetch_lists_and_fetches_all_that_the_service_has() {
    let stand_in = StandIn::start(StandardMetrics::new(), documents(), Switches::default());
    let world = stand_in.world();
    let rows = world.run(&["list", "sm", "--json"]).exits(0).records();
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[3]["company_id"], "fBv4Xw8u");
    let of_one = world.run(&["list", "sm", "--ids", "--company", "d0Qm1bnY"]);
    assert_eq!(of_one.exits(0).stdout, "d2Bb\n");
    world.run(&["sm", "d3Cc"]).exits(0);
    assert_eq!(world.read("model.xlsx"), noise(1003));
    world.run(&["sync", "sm", "mirror"]).exits(0);
    assert_eq!(world.read("mirror/memo.pdf"), noise(1006));
    assert_eq!(stand_in.log.count("POST", "/o/token/"), 1);
}
