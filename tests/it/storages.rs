//! Real storages, each of which says in its own way that a link is over: nginx by 410, Swift by 401,
//! Azure by 403.

use crate::support::raw::{Raw, reply};
use crate::support::storages::{NAME, Storage, azurite, breaking, nginx, swift};
use crate::support::{World, noise};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SIZE: usize = 300_000;
/// Where an answer breaks: behind the bytes that count as progress.
const BREAK: usize = 100_000;

/// A link of the storage that ends in so many seconds, below this address.
fn link(storage: &Storage, address: SocketAddr, seconds: i64) -> String {
    let link = (storage.link)(Timestamp::now().as_second() + seconds);
    format!("http://{address}{link}")
}

/// An API that hands over these links in turn, and then the last one again and again.
fn handing_over(storage: &Storage, links: Vec<String>) -> (Raw, World) {
    let signatures: Vec<String> = links
        .iter()
        .map(|link| {
            let (_, query) = link.split_once('?').unwrap();
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let signature = pairs.find(|(name, _)| *name == storage.signature);
            signature.unwrap().1.to_owned()
        })
        .collect();
    let handed = AtomicUsize::new(0);
    let api = Raw::start(move |request, stream| match request.path() {
        "/o/token/" => crate::support::raw::api(request, stream, ""),
        path if path.contains("/download") => {
            let number = handed.fetch_add(1, Ordering::SeqCst);
            crate::support::raw::api(request, stream, &links[number.min(links.len() - 1)]);
        }
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let mut world = World::new(&api.base());
    for signature in signatures {
        let decoded = percent_encoding::percent_decode_str(&signature);
        world.hide(&decoded.decode_utf8().unwrap());
        world.hide(&signature);
    }
    (api, world)
}

const FREE: [&str; 3] = ["sm", "doc", "--json"];
const PAID: [&str; 3] = ["onecodex", "doc", "--json"];

/// The link ended right before it was handed over: the storage says so, and a free one is replaced.
fn a_free_link_that_came_late_is_replaced(storage: &Storage) {
    let links = [-1, 600].map(|seconds| link(storage, storage.address, seconds));
    let (_api, world) = handing_over(storage, links.to_vec());
    let run = world.run(&FREE);
    assert_eq!(run.exits(0).records()[0]["resolves"], 2);
    assert!(world.read(NAME) == noise(SIZE));
}

fn a_free_link_that_expires_during_a_transfer_is_replaced_and_the_document_resumes(
    storage: &Storage,
) {
    let end = Instant::now() + Duration::from_millis(4100);
    let way = breaking(storage.address, BREAK, end);
    let links = vec![link(storage, way, 3), link(storage, way, 600)];
    let (_api, world) = handing_over(storage, links);
    let run = world.run(&FREE);
    let record = &run.exits(0).records()[0];
    assert_eq!(
        (&record["resolves"], &record["attempts"]),
        (&2.into(), &2.into())
    );
    assert!(world.read(NAME) == noise(SIZE));
}

fn a_paid_link_that_came_late_costs_nothing_more_by_itself(storage: &Storage) {
    let links = [-1, 600].map(|seconds| link(storage, storage.address, seconds));
    let (api, world) = handing_over(storage, links.to_vec());
    world.run(&PAID).exits(8).says("--allow-recharge");
    world.run(&PAID).exits(8).says("--allow-recharge");
    assert_eq!(api.count("POST", "/"), 1);
    let permitted = [&PAID[..], &["--allow-recharge"]].concat();
    world.run(&permitted).exits(0);
    assert_eq!(api.count("POST", "/"), 2);
    assert!(world.read(NAME) == noise(SIZE));
}

fn a_paid_link_that_ends_under_way_leaves_the_partial(storage: &Storage) {
    let end = Instant::now() + Duration::from_millis(4100);
    let way = breaking(storage.address, BREAK, end);
    let links = vec![link(storage, way, 3), link(storage, way, 600)];
    let (api, world) = handing_over(storage, links);
    world.run(&PAID).exits(8).says("--allow-recharge");
    assert_eq!(api.count("POST", "/"), 1);
    assert_eq!(world.files().len(), 2, "partial and sidecar");
    let permitted = [&PAID[..], &["--allow-recharge"]].concat();
    let run = world.run(&permitted);
    let from = run.exits(0).records()[0]["resumed_from"].as_u64().unwrap();
    assert!(from > 90_000, "{from}");
    assert_eq!(api.count("POST", "/"), 2);
    assert!(world.read(NAME) == noise(SIZE));
}

fn a_paid_link_that_ends_between_two_runs_leaves_the_partial(storage: &Storage) {
    let way = breaking(storage.address, BREAK, Instant::now());
    let links = vec![link(storage, way, 4), link(storage, way, 600)];
    let (api, world) = handing_over(storage, links);
    let once = [&PAID[..], &["--retries", "0"]].concat();
    world.run(&once).exits(5);
    std::thread::sleep(Duration::from_secs(5));
    world.run(&PAID).exits(8).says("--allow-recharge");
    assert_eq!((api.count("POST", "/"), world.files().len()), (1, 2));
    let permitted = [&PAID[..], &["--allow-recharge"]].concat();
    let run = world.run(&permitted);
    assert!(run.exits(0).records()[0]["resumed_from"].as_u64() > Some(90_000));
    assert_eq!(api.count("POST", "/"), 2);
    assert!(world.read(NAME) == noise(SIZE));
}

/// The key was rotated, say: the time of the link is not over.
fn a_living_link_that_is_refused_is_not_over(storage: &Storage) {
    let good = link(storage, storage.address, 600);
    let at = good.find(&format!("{}=", storage.signature)).unwrap() + storage.signature.len() + 1;
    let mut bad = good.clone();
    let other = if bad[at..].starts_with('0') { "1" } else { "0" };
    bad.replace_range(at..=at, other);
    let (_api, world) = handing_over(storage, vec![bad.clone(), good.clone()]);
    let run = world.run(&FREE);
    assert_eq!(run.exits(4).error_code(), "storage_denied");
    let (api, world) = handing_over(storage, vec![bad, good]);
    let run = world.run(&PAID);
    assert_eq!(run.exits(4).error_code(), "storage_denied");
    run.says("--allow-recharge").says("ledger forget");
    world.run(&PAID).exits(4);
    assert_eq!(api.count("POST", "/"), 1);
    let permitted = [&PAID[..], &["--allow-recharge"]].concat();
    world.run(&permitted).exits(0);
    assert_eq!(api.count("POST", "/"), 2);
    assert!(world.read(NAME) == noise(SIZE));
}

/// All of it at the same time: most of the time they wait for the end of a link.
fn all(storage: Option<Storage>) {
    let Some(storage) = storage else {
        return;
    };
    let storage = &storage;
    let scenarios: [fn(&Storage); 6] = [
        a_free_link_that_came_late_is_replaced,
        a_free_link_that_expires_during_a_transfer_is_replaced_and_the_document_resumes,
        a_paid_link_that_came_late_costs_nothing_more_by_itself,
        a_paid_link_that_ends_under_way_leaves_the_partial,
        a_paid_link_that_ends_between_two_runs_leaves_the_partial,
        a_living_link_that_is_refused_is_not_over,
    ];
    std::thread::scope(|scope| {
        for scenario in scenarios {
            scope.spawn(move || scenario(storage));
        }
    });
}

#[test]
fn a_link_of_nginx_that_is_over_is_replaced_for_free_and_refused_where_it_costs() {
    all(nginx(&noise(SIZE)));
}

#[test]
fn a_temporary_url_of_swift_that_is_over_is_replaced_for_free_and_refused_where_it_costs() {
    all(swift(&noise(SIZE)));
}

#[test]
fn a_shared_access_signature_of_azure_that_is_over_is_replaced_for_free_and_refused_where_it_costs()
{
    all(azurite(&noise(SIZE)));
}
