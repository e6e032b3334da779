//! What a command says at its end.

use crate::fetch::summary::{CostCounts, Summary};
use crate::manifest::VerifySummary;
use crate::sandbox::{Document, Report, RunningSandbox};
use crate::text::{counted, printable, size};
use std::path::Path;

/// The end of a batch: how many documents were fetched, and which failed.
pub(super) fn of_batch(summary: &Summary) -> Vec<String> {
    let mut lines = vec![counts(summary)];
    for failure in &summary.failures {
        lines.push(format!("failed: {}", printable(failure)));
    }
    let more = summary.failed - summary.failures.len() as u64;
    if more > 0 {
        lines.push(format!("failed: {more} more"));
    }
    lines
}

fn counts(summary: &Summary) -> String {
    let Summary {
        skipped, failed, ..
    } = summary;
    let not_started = match summary.not_started {
        0 => String::new(),
        number => format!(", {number} not started"),
    };
    let gone = match summary.gone {
        None | Some(0) => String::new(),
        Some(number) => format!(", {number} gone"),
    };
    let bytes = size(summary.bytes);
    if let Some(plan) = summary.plan {
        let planned = match (plan.planned, summary.bytes) {
            (planned @ 1.., 0) => format!("{planned} planned (sizes not known)"),
            (planned, _) => format!("{planned} planned ({bytes} known)"),
        };
        let incomplete = if summary.is_plan_incomplete {
            "; the plan is incomplete, because the dry run ended early"
        } else {
            ""
        };
        return format!(
            "{planned}, {skipped} skipped, {failed} failed{not_started}{gone}{incomplete}"
        );
    }
    let seconds = summary.elapsed_ms as f64 / 1000.0;
    let fetched = summary.fetched;
    format!(
        "{fetched} fetched, {skipped} skipped, {failed} failed{not_started}{gone}; {bytes} in {seconds:.1} s"
    )
}

/// A document of a mirror that the provider no longer lists, in one line.
pub(super) fn of_gone(id: &str, path: Option<&Path>) -> String {
    let path = path
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    format!(
        "gone: {}: the provider no longer lists {}; the file stays",
        printable(&path),
        printable(id)
    )
}

/// What a real run would pay, in one line; `None` where the provider never charges.
pub(super) fn costs(costs: CostCounts) -> Option<String> {
    let (charge, reuse) = (costs.would_charge?, costs.would_reuse?);
    let charges = counted(charge, "paid retrieval");
    let reuses = match reuse {
        0 => String::new(),
        number => format!(", use {} again", counted(number, "recorded URL")),
    };
    let rest = match costs.would_refuse? {
        0 => String::new(),
        number => format!(
            ", and refuse {} (by --max-charges or `docfetch ledger list`)",
            counted(number, "document")
        ),
    };
    Some(format!("a real run would request {charges}{reuses}{rest}"))
}

/// The end of a verification, in one line.
pub(super) fn of_verification(summary: &VerifySummary) -> String {
    let seconds = summary.elapsed_ms as f64 / 1000.0;
    format!(
        "{} verified, {} wrong; {} in {seconds:.1} s",
        counted(summary.verified, "file"),
        summary.failed,
        size(summary.bytes)
    )
}

/// What a sandbox serves, one line for each document and each list with a scope.
pub(super) fn of_running_sandbox(running: &RunningSandbox) -> Vec<String> {
    let serves = |of: &str, id: &str, document: &Document| {
        let (id, name) = (printable(id), printable(&document.name));
        format!("serves {of}{id} {name} ({})", size(document.size))
    };
    let documents = running.documents.iter();
    let mut lines: Vec<String> = documents
        .map(|document| serves("", &document.id, document))
        .collect();
    for table in &running.tables {
        let of = format!("{} ", table.name);
        let things = table.things.iter();
        lines.extend(things.map(|(id, document)| serves(&of, id, document)));
        if let Some(scope) = &table.scope {
            let command = format!("docfetch list {} --in {scope}", table.name);
            lines.push(format!("`{command}` lists these"));
        }
    }
    lines
}

/// What happened at a sandbox, one line for each fact.
pub(super) fn of_sandbox(report: &Report) -> Vec<String> {
    let charged: u32 = report.charges.values().sum();
    let mut lines = vec![format!(
        "{}, {}, {}, {} ({})",
        counted(charged, "paid retrieval"),
        counted(report.tokens, "token"),
        counted(report.downloads, "download"),
        counted(report.storage_requests, "storage request"),
        size(report.storage_bytes)
    )];
    if report.requests > 1 {
        lines.push(format!(
            "at most {} at once, {} to the storage",
            counted(report.max_open_requests, "request"),
            counted(report.storage_connections, "connection")
        ));
    }
    for (id, times) in report.charges.iter().filter(|(_, times)| **times > 1) {
        lines.push(format!("document {id} was charged {times} times"));
    }
    if report.leaks > 0 {
        let requests = counted(report.leaks, "request");
        lines.push(format!("{requests} brought a credential to the storage"));
    }
    if report.rate_limited > 0 {
        let requests = counted(report.rate_limited, "request");
        let was = if report.rate_limited == 1 {
            "was"
        } else {
            "were"
        };
        lines.push(format!("{requests} {was} past the rate limit"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_says_what_happened() {
        let report = Report {
            charges: [("7".to_owned(), 2), ("8".to_owned(), 1)].into(),
            leaks: 1,
            rate_limited: 4,
            ..Report::default()
        };
        let lines = of_sandbox(&report);
        assert!(lines[0].starts_with("3 paid retrievals, 0 tokens"));
        assert_eq!(lines[1], "document 7 was charged 2 times");
        assert_eq!(lines[2], "1 request brought a credential to the storage");
        assert_eq!(lines[3], "4 requests were past the rate limit");
        assert_eq!(lines.len(), 4);
        let report = |requests, max_open_requests, storage_connections| Report {
            requests,
            max_open_requests,
            storage_connections,
            ..Report::default()
        };
        let lines = of_sandbox(&report(20, 8, 8));
        assert_eq!(
            lines[1],
            "at most 8 requests at once, 8 connections to the storage"
        );
        let lines = of_sandbox(&report(2, 1, 1));
        assert_eq!(
            lines[1],
            "at most 1 request at once, 1 connection to the storage"
        );
        assert_eq!(of_sandbox(&report(1, 1, 0)).len(), 1);
    }
}
