//! `docfetch ledger`: what is recorded of paid retrievals.

use super::ids::NamedDocument;
use crate::config::folders;
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::provider::{self, Provider, Resource};
use crate::resolve;
use crate::resolve::ledger::inspect::{self, ListedRecord, MatchingRecord, RecordQuery};
use crate::state::Untrusted;
use crate::state::records::StateFolder;
use crate::text::{shell_argument, shell_word};

/// Which record to forget.
#[derive(Debug)]
pub(crate) struct LedgerChoice {
    /// The name of the provider; none means any provider.
    pub provider: Option<String>,
    /// The document.
    pub document: NamedDocument,
    /// The kind of the document; none means any kind.
    pub resource: Option<Resource>,
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
    let wanted = wanted(&choice)?;
    let state = StateFolder::new(folders::state()?);
    let mut found = inspect::find(&state, &wanted)?;
    let is_whole = choice.provider.is_some() && choice.resource.is_some() && choice.base.is_some();
    if found.len() > 1 && is_whole {
        // Only their accounts differ: the credentials that are set mean one.
        let account = own_account(&wanted);
        let is_own = |found: &MatchingRecord| Some(found.account()) == account.as_deref();
        if found.iter().filter(|found| is_own(found)).count() == 1 {
            found.retain(is_own);
        }
    }
    match found.as_slice() {
        [] => Err(nothing(wanted.id.as_str())),
        [one] => {
            inspect::forget(&state, one).await?;
            Ok(Forgotten::One(wanted.id))
        }
        several => {
            let told = several.iter().map(|found| told(found, &wanted));
            Ok(Forgotten::None(told.collect()))
        }
    }
}

fn wanted(choice: &LedgerChoice) -> Result<RecordQuery> {
    let mut first_wrong = None;
    let mut resources = Vec::new();
    let mut id = None;
    let of_choice = |known: &Provider| {
        let resource = known.resource.unwrap_or_default();
        let provider = choice.provider.as_ref();
        known.charges()
            && provider.is_none_or(|name| name == known.name)
            && choice.resource.is_none_or(|kind| kind == resource)
    };
    for provider in provider::all().into_iter().filter(of_choice) {
        match choice.document.id_at(&provider) {
            Ok(known) => {
                resources.push(provider.resource.unwrap_or_default());
                id = Some(known);
            }
            Err(wrong) => first_wrong = first_wrong.or(Some(wrong)),
        }
    }
    let id =
        id.ok_or_else(|| first_wrong.unwrap_or_else(|| nothing(choice.document.id().as_str())))?;
    let base = choice.base.as_ref();
    Ok(RecordQuery {
        id,
        provider: choice.provider.clone(),
        resources,
        base: base.map(|base| base.trim_end_matches('/').to_owned()),
    })
}

/// The account of the credentials that are set, for the only provider and kind that is wanted.
fn own_account(wanted: &RecordQuery) -> Option<String> {
    let is_wanted = |known: &Provider| {
        Some(known.name) == wanted.provider.as_deref()
            && wanted.resources == [known.resource.unwrap_or_default()]
    };
    let provider = provider::all().into_iter().find(is_wanted)?;
    let credentials = provider.environment_credentials().ok()?;
    resolve::account_fingerprint(&provider, &credentials, wanted.base.as_deref()?).ok()
}

/// The error of a command that means several records.
pub(crate) fn several(matches: &[String]) -> Error {
    let what = format!("{} records match: nothing was given up", matches.len());
    Error::new(Code::Usage, what)
        .with_cause("they differ in kind, API base or account")
        .with_hint("run the command of one of them, with the credentials of its account")
}

fn told(found: &MatchingRecord, wanted: &RecordQuery) -> String {
    let id = shell_argument(wanted.id.as_str());
    let kind = found.resource.name();
    let account = &found.account()[..found.account().len().min(8)];
    match &found.record {
        Some(record) => format!(
            "docfetch ledger forget --resource {kind} --base {} {} {id}  # asked at {:.0}, record {account}",
            shell_word(&record.base),
            record.provider,
            record.requested
        ),
        None => format!(
            "docfetch ledger forget --resource {kind} {id}  # cannot be trusted, record {account}"
        ),
    }
}

fn nothing(id: &str) -> Error {
    Error::new(Code::NotFound, format!("nothing is recorded of {id:?}"))
        .with_hint("`docfetch ledger list` shows what is")
}
