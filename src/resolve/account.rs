//! What tells the documents and records of one account from those of all others.

use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::provider::{Credentials, Provider};
use crate::secret::Secret;
use url::Url;

/// Provider with kind, API base, and account. Only a fingerprint of these is stored; they are never shown.
pub(super) fn identity<'a>(
    provider: &'a Provider,
    base: &'a Url,
    account: &'a Secret,
) -> [&'a [u8]; 3] {
    let account = account.expose().as_bytes();
    [
        provider.identity.as_bytes(),
        base.as_str().as_bytes(),
        account,
    ]
}

/// The fingerprint of an account in the names of its records, for an API at `base`.
///
/// # Errors
/// [`Code::Usage`] for a base that is no URL.
pub(crate) fn account_fingerprint(
    provider: &Provider,
    credentials: &Credentials,
    base: &str,
) -> Result<String> {
    let account = credentials.account();
    let base = Url::parse(base).map_err(|error| Error::new(Code::Usage, error.to_string()))?;
    Ok(fingerprint(&identity(provider, &base, &account)))
}
