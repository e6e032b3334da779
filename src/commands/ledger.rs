//! `docfetch ledger`: what is recorded of paid retrievals.

use crate::config::folders;
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::provider::{self, Provider};
use crate::resolve;
use crate::resolve::ledger::inspect::{
    self, ListedRecord, MatchingRecord, RecordKind, RecordQuery,
};
use crate::state::Untrusted;
use crate::state::records::StateFolder;
use crate::text::{shell_argument, shell_word};

/// Which record to forget.
#[derive(Debug)]
pub(crate) struct LedgerChoice {
    /// The name of the provider; none means any provider.
    pub provider: Option<String>,
    /// The document.
    pub document: String,
    /// The kind of the document; none means any kind.
    pub resource: Option<String>,
    /// The API base; none means any base.
    pub base: Option<String>,
}

/// What [`forget`] did.
#[derive(Debug)]
pub(crate) enum Forgotten {
    /// docfetch forgot the record of this document.
    One(DocumentId),
    /// Several records match, and docfetch forgot none. One line for each record begins with the command that
    /// forgets this record.
    None(Vec<String>),
}

/// All records, the oldest first, and those that cannot be trusted.
///
/// # Errors
/// [`Code::LocalIo`] when the state folder cannot be read.
pub(crate) async fn list() -> Result<(Vec<ListedRecord>, Vec<Untrusted>)> {
    inspect::list(&StateFolder::new(folders::state()?)).await
}

/// Forgets the record that `choice` means, unless several records match.
///
/// # Errors
/// [`Code::Usage`] for a URI of another kind, [`Code::NotFound`] when no record matches,
/// [`Code::Busy`] while another process resolves the document.
pub(crate) async fn forget(choice: LedgerChoice) -> Result<Forgotten> {
    let query = query(&choice)?;
    let state = StateFolder::new(folders::state()?);
    let mut found = inspect::find(&state, &query)?;
    let is_whole = choice.provider.is_some() && query.kinds.len() == 1 && choice.base.is_some();
    if found.len() > 1 && is_whole {
        // The records differ in their accounts or parameters only: those of the user choose one.
        let account = own_account(&query);
        let is_own = |found: &MatchingRecord| Some(found.account()) == account.as_deref();
        if found.iter().filter(|found| is_own(found)).count() == 1 {
            found.retain(is_own);
        }
    }
    match found.as_slice() {
        [] => Err(no_record(query.id.as_str())),
        [one] => {
            inspect::forget(&state, one).await?;
            Ok(Forgotten::One(query.id))
        }
        several => {
            let commands = several.iter().map(|found| command_for(found, &query));
            Ok(Forgotten::None(commands.collect()))
        }
    }
}

/// The query for the records that `choice` means.
fn query(choice: &LedgerChoice) -> Result<RecordQuery> {
    let mut first_error = None;
    let mut kinds = Vec::new();
    let mut id = None;
    let of_choice = |known: &Provider| {
        let provider = choice.provider.as_ref();
        let kind = known.table.kind.as_ref().or(choice.resource.as_ref());
        known.charges()
            && provider.is_none_or(|name| *name == known.table.name)
            && (choice.resource.is_none() || kind == choice.resource.as_ref())
    };
    for provider in provider::all().into_iter().filter(of_choice) {
        match provider.document_id(&choice.document) {
            Ok(known) => {
                kinds.push(RecordKind::of(&provider));
                id = Some(known);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let id = id.ok_or_else(|| {
        let error = first_error.unwrap_or_else(|| no_record(&choice.document));
        match free_provider(choice) {
            Some(title) => error.with_cause(format!(
                "the ledger records paid retrievals, and {title} never charges"
            )),
            None => error,
        }
    })?;
    let base = choice.base.as_ref();
    Ok(RecordQuery {
        id,
        provider: choice.provider.clone(),
        kinds,
        base: base.map(|base| base.trim_end_matches('/').to_owned()),
    })
}

/// The title of the provider that the choice names, when this provider never charges.
fn free_provider(choice: &LedgerChoice) -> Option<String> {
    let named = provider::find(choice.provider.as_deref()?).ok()?;
    (!named.charges()).then(|| named.table.title.clone())
}

/// The account of the user's credentials and parameters, when the query names one provider and one kind.
fn own_account(query: &RecordQuery) -> Option<String> {
    let name = query.provider.as_deref()?;
    let mut kinds = provider::find(name).ok()?.all_kinds().into_iter();
    let provider = kinds.find(|known| query.kinds == [RecordKind::of(known)])?;
    let provider = provider.with_user_parameters().ok()?;
    let credentials = provider.environment_credentials().ok()?.credentials;
    resolve::account_fingerprint(&provider, &credentials, query.base.as_deref()?).ok()
}

/// The error of a command for which several records match.
pub(crate) fn several(matches: &[String]) -> Error {
    let what = format!("{} records match: no record was forgotten", matches.len());
    Error::new(Code::Usage, what)
        .with_cause("they differ in kind, API base, account or parameters")
        .with_hint("run the command of one of them, with the credentials of its account and its parameters")
}

/// The command that forgets this record, with a remark.
fn command_for(found: &MatchingRecord, query: &RecordQuery) -> String {
    let id = shell_argument(query.id.as_str());
    let kind = found.kind.name.as_ref();
    let kind = kind.map_or_else(String::new, |kind| format!(" --resource {kind}"));
    let account = &found.account()[..found.account().len().min(8)];
    match &found.record {
        Some(record) => format!(
            "docfetch ledger forget{kind} --base {} {} {id}  # requested at {:.0}, record {account}",
            shell_word(&record.base),
            record.provider,
            record.requested
        ),
        None => format!("docfetch ledger forget{kind} {id}  # cannot be trusted, record {account}"),
    }
}

fn no_record(id: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no record of {id:?}"))
        .with_cause("the ledger holds no paid retrieval that matches the id and the options")
        .with_hint("`docfetch ledger list` shows all records")
}
