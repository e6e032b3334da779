//! The real binary against real servers: the sandbox, an S3 server that checks signatures, and raw
//! sockets for what a framework hides.

#![allow(unreachable_pub, reason = "the support module serves this binary only")]
#![allow(
    clippy::cognitive_complexity,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::pedantic,
    reason = "a test that cannot go on ends"
)]

mod addresses;
mod ahead;
mod answers;
mod api_bodies;
mod attempts;
mod auth;
mod batch;
mod bodies;
mod broken_tables;
mod certificates;
mod charges;
mod checksums;
mod clocks;
mod clusters;
mod codings;
mod configuration;
mod connections;
mod corpora;
mod coverage;
mod crash;
mod disks;
mod docs;
mod dry_run;
mod earlier;
mod echoes;
mod encodings;
mod entity_tags;
mod environment;
mod exit_codes;
mod expiry;
mod faults;
mod fetch;
mod finding;
mod framing;
mod fuse;
mod gateways;
mod gone;
mod hangups;
mod help;
mod id_files;
mod interrupt;
mod kills;
mod layers;
mod ledger;
mod limits;
mod lines;
mod list;
mod lookups;
mod manifests;
mod mounts;
mod moved;
mod names;
mod options;
mod own_partials;
mod partials;
mod providers;
mod proxies;
mod refusals;
mod remote_time;
mod requests;
mod rows;
mod s3;
mod sandbox;
mod sandbox_tables;
mod secrets;
mod segments;
mod shared_terminal;
mod signed_paths;
mod stages;
mod standins;
mod state;
mod steps;
mod stops;
mod storages;
mod streams;
mod support;
mod sync;
mod tables;
mod terminal;
mod torn;
mod tunnels;
mod unsyncable;
mod usage;
mod user_lists;
mod user_tables;
mod user_tables_binary;
mod verified;
mod verify;
mod waits;
mod web_pages;
