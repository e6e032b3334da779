//! What the fuzz targets run of the resolver: pages, rows, records of the ledger, and answers of an API.

use super::answer::AnswerSource;
use super::credential::Credential;
use super::filter::Filter;
use super::ledger::table::{RetrievalRecord, RetrievalRequest, Verdict, verdict};
use super::page::PageText;
use super::row_plan::RowPlan;
use super::steps::StepRequest;
use super::token_client::RequestTime;
use super::{Resolver, Scope, metadata, row};
use crate::error::Error;
use crate::http::{PresignedUrl, Reply};
use jiff::Timestamp;

/// What an answer is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A request for a presigned URL.
    Url,
    /// A request for an access token.
    Token,
    /// A request for a document's name and size.
    Metadata,
    /// Any other request, which failed.
    Other,
}

/// Reads any bytes as a page of the list of the resolver's provider.
///
/// # Panics
/// When a row's id is none, or the second reading finds another number of rows than the first.
pub(crate) fn page(resolver: &Resolver, body: &[u8]) {
    let api = &resolver.api;
    let Some(listing) = &api.provider.table.list else {
        return;
    };
    let reply = Reply::unrequested(hyper::Response::new(Vec::new()).into());
    let source = AnswerSource::of(&api.provider, &reply);
    let Ok(mut page) = PageText::parse(&source, body.to_vec(), &listing.rows) else {
        return;
    };
    let plan = RowPlan::new(api, listing, &Scope::default());
    let filter = Filter::default();
    let mut rows = 0;
    while let Some(text) = page.next_row() {
        rows += 1;
        if let Ok(Some(row)) = row::read(text, rows, &plan, &[]) {
            assert!(plan.document_id(&row.id).is_ok(), "{:?}", row.id);
            let _ = filter.matches(&row, &api.provider.table);
        }
    }
    assert_eq!(rows, page.rows);
}

/// Reads any bytes as a record of the ledger.
///
/// # Panics
/// When the ledger permits a request in silence although the record says that one was sent.
pub(crate) fn ledger_record(input: &[u8]) {
    let Ok(record) = serde_json::from_slice::<RetrievalRecord>(input) else {
        return;
    };
    if !record.is_valid() {
        return;
    }
    for has_partial in [false, true] {
        let request = RetrievalRequest {
            has_partial,
            dry_run_at: Some(Timestamp::UNIX_EPOCH),
            ..RetrievalRequest::default()
        };
        let found = verdict(Some(&record), request);
        assert!(!matches!(
            found,
            Verdict::Request | Verdict::RequestPermitted
        ));
    }
    let _ = record.url_time_left(Timestamp::UNIX_EPOCH);
}

/// Reads any answer of the resolver's API to `request`.
///
/// # Panics
/// When a presigned URL names no host, when a token cannot be sent, or when an error shows control
/// characters.
pub(crate) async fn answer(resolver: &Resolver, request: Request, reply: Reply) {
    let api = &resolver.api;
    let requested = api.base.clone();
    let Ok(id) = api.provider.document_id("d1") else {
        return;
    };
    match request {
        Request::Url => {
            let values = api.slot_values(Some(&id));
            let Some(step) = api.provider.table.resolve.first() else {
                return;
            };
            let request = StepRequest {
                id: &id,
                step,
                values: &values,
            };
            match api.read_step(request, &requested, reply).await {
                Ok(end) => end.url.iter().for_each(check_url),
                Err(error) => check_error(&error),
            }
        }
        Request::Token => {
            let Credential::Token(tokens) = &api.credential else {
                return;
            };
            let client = tokens.client();
            if reply.status() != 200 {
                return check_error(&client.rejected(reply).await.error);
            }
            let time = RequestTime {
                sent: Timestamp::UNIX_EPOCH,
                server_now: Timestamp::UNIX_EPOCH,
            };
            match client.read(reply, time).await {
                Ok(answer) => assert!(answer.token.is_sendable()),
                Err(failure) => check_error(&failure.error),
            }
        }
        Request::Metadata => {
            let Some(route) = &api.provider.table.metadata else {
                return;
            };
            match metadata::read(api, &id, reply, route).await {
                Ok(_) => {}
                Err(failure) => check_error(&failure.error),
            }
        }
        Request::Other => {
            check_error(&api.refusal_of("document d1", reply, None).await);
        }
    }
}

fn check_url(url: &PresignedUrl) {
    let url = url.expose();
    assert!(url.has_host() || url.scheme() == "file", "{url}");
}

/// Checks that an error can be printed in three lines.
fn check_error(error: &Error) {
    for text in [
        error.what(),
        error.cause().unwrap_or_default(),
        error.hint(),
    ] {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
