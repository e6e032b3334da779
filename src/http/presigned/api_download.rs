//! A request to the API that is answered with the document itself, or with a redirect to the document.

use crate::http::RequestBody;
use crate::model::DocumentId;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use std::fmt;
use url::Url;

/// A free request to the API whose answer is the document. The resolver adds the credential when it sends the request.
///
/// `Debug` shows only the method: URL, headers and body may hold secrets.
#[derive(Clone)]
pub(crate) struct ApiDownload {
    /// The document.
    pub(crate) id: DocumentId,
    /// GET or POST.
    pub(crate) method: Method,
    /// The URL, on the API's host.
    pub(crate) url: Url,
    /// Further headers.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(crate) body: Option<RequestBody>,
}

impl fmt::Debug for ApiDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the document itself", self.method)
    }
}
