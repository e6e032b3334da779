//! Which API a request was meant for that failed.

use crate::error::Code;
use crate::http::Failure;
use crate::provider::Provider;
use url::Url;

/// Names the base of the API in the hint of a failure to connect, where the base is not the provider's own: a
/// variable that an earlier test left behind is the usual cause.
pub(super) fn with_base_hint(failure: Failure, provider: &Provider, base: &Url) -> Failure {
    let is_refused = !failure.sent && failure.error.code() == Code::Network;
    match other_base_hint(provider, base) {
        Some(hint) if is_refused && !failure.error.has_own_hint() => {
            Failure::unsent(failure.error.with_hint(hint))
        }
        _ => failure,
    }
}

/// What to do about a base of the API; none for the provider's own base.
pub(super) fn other_base_hint(provider: &Provider, base: &Url) -> Option<String> {
    let own = provider.table.base.as_deref()?;
    let other = other_base(provider, base)?;
    Some(format!("{other}: correct it, or unset it for {own}"))
}

/// The base of the API and its variable, in a sentence; none for the provider's own base.
pub(super) fn other_base(provider: &Provider, base: &Url) -> Option<String> {
    let is_own = |own: Url| own == *base;
    if provider.api_base(None, "the API base").is_ok_and(is_own) {
        return None;
    }
    let base = base.as_str().trim_end_matches('/');
    Some(format!(
        "the API base is {base} ({})",
        provider.table.variables.api_base
    ))
}
