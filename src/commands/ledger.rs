//! `docfetch ledger`: what is recorded of paid retrievals.

use crate::config::places;
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::provider;
use crate::resolve::ledger;
use crate::resolve::ledger::table::Record;
use crate::state::records::{StateFolder, Untrusted};

/// All records, oldest first, and those that cannot be trusted.
///
/// # Errors
/// [`Code::LocalIo`] when the state folder cannot be read.
pub async fn list() -> Result<(Vec<Record>, Vec<Untrusted>)> {
    ledger::list(&StateFolder::new(places::state())).await
}

/// Gives up what is recorded of a document; returns its id as it is recorded. A URI names a kind; an
/// id alone is of any.
///
/// # Errors
/// [`Code::Usage`] for what is no id, [`Code::NotFound`] when nothing is recorded, [`Code::Busy`] while
/// another process asks for it.
pub async fn forget(text: &str) -> Result<DocumentId> {
    let mut first_wrong = None;
    let mut kinds = Vec::new();
    let mut id = None;
    for provider in provider::all().into_iter().filter(|known| known.charged) {
        match provider.document_id(text) {
            Ok(known) => {
                kinds.push(provider.resource.unwrap_or_default());
                id = Some(known);
            }
            Err(wrong) => first_wrong = first_wrong.or(Some(wrong)),
        }
    }
    let Some(id) = id else {
        return Err(first_wrong.unwrap_or_else(|| nothing(text)));
    };
    match ledger::forget(&StateFolder::new(places::state()), &id, &kinds).await? {
        0 => Err(nothing(id.as_str())),
        _ => Ok(id),
    }
}

fn nothing(id: &str) -> Error {
    Error::new(Code::NotFound, format!("nothing is recorded of {id:?}"))
        .hint("`docfetch ledger list` shows what is")
}
