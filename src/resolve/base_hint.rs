//! Which API a failed connection was meant for.

use crate::error::Code;
use crate::http::Failure;
use crate::provider::Provider;
use url::Url;

/// Names the base of the API in the hint of a failure to connect, where the base is not the provider's own: a
/// variable that an earlier test left behind is the usual cause.
pub(super) fn with_base_hint(failure: Failure, provider: &Provider, base: &Url) -> Failure {
    let is_own = |own: Url| own == *base;
    let is_own = provider.api_base(None, "the API base").is_ok_and(is_own);
    let is_refused = !failure.sent && failure.error.code() == Code::Network;
    if is_own || !is_refused || failure.error.has_own_hint() {
        return failure;
    }
    let (variable, own) = (provider.base_variable, provider.default_base);
    let base = base.as_str().trim_end_matches('/');
    let hint = format!("the API base is {base} ({variable}): correct it, or unset it for {own}");
    Failure::unsent(failure.error.with_hint(hint))
}
