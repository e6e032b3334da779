//! What the modules above read of a [`Provider`]: its name, its ids, its base URL, words for texts.

use super::addresses::hint_for_address;
use super::all;
use super::resource::Resource;
use super::schema::{Auth, Provider};
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use url::{ParseError, Url};

impl Provider {
    /// The name of the provider on the command line and in JSON records: `sm` or `onecodex`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the provider may charge for a presigned URL.
    pub fn charges(&self) -> bool {
        self.charged
    }

    /// Checks the id of a document, as this provider writes ids.
    ///
    /// # Errors
    /// [`Code::Usage`], with the rule that the id breaks.
    pub fn document_id(&self, text: &str) -> Result<DocumentId> {
        DocumentId::parse(text, self.id_uri_prefix).map_err(|rule| {
            // A presigned URL given by mistake is not repeated.
            let is_url = text.contains("://");
            let shown = if is_url {
                "a URL".to_owned()
            } else {
                format!("{text:?}")
            };
            let thing = self.thing();
            let article = if thing.starts_with('a') { "an" } else { "a" };
            let hint = hint_for_address(text, &all(), Some(self.name), self.resource);
            let hint = hint.unwrap_or_else(|| {
                format!("`{}` shows the ids of this account", self.list_command())
            });
            let wrong = Error::new(Code::Usage, format!("{shown} is not {article} {thing} id"))
                .with_cause(rule.to_string())
                .with_hint(hint);
            if is_url {
                wrong
            } else {
                wrong.naming_document()
            }
        })
    }

    /// The word for one document of this kind.
    pub(crate) fn thing(&self) -> &'static str {
        self.resource.unwrap_or_default().singular()
    }

    /// The fields of a row of the listing that a filter can compare, by their names in records.
    pub(crate) fn row_fields(&self) -> Vec<&'static str> {
        let listing = &self.listing;
        let size = listing.size.map(|_| "size");
        let common = ["provider", "id", "name"].into_iter().chain(size);
        common
            .chain(["modified"])
            .chain(self.own_row_fields())
            .collect()
    }

    /// The fields of a row that not every provider has, by their names in records.
    pub(crate) fn own_row_fields(&self) -> impl Iterator<Item = &'static str> {
        let kind = self.resource.map(|_| "resource");
        kind.into_iter().chain(self.listing.fields.iter().copied())
    }

    /// The command that lists the documents, for hints.
    pub(crate) fn list_command(&self) -> String {
        match self.resource {
            None | Some(Resource::Documents) => format!("docfetch list {}", self.name),
            Some(kind) => format!("docfetch list {} --resource {}", self.name, kind.name()),
        }
    }

    /// The base URL of the API: `base`, or the default. Drops last path segments that the routes have
    /// already. Errors call the URL `called`.
    ///
    /// # Errors
    /// [`Code::Config`] when `base` is no http or https URL or has a query, [`Code::InsecureUrl`] when it
    /// holds credentials.
    pub(crate) fn api_base(&self, base: Option<&str>, called: &str) -> Result<Url> {
        let text = base.unwrap_or(self.default_base).trim();
        let mut base = http_url(text).map_err(|why| {
            let what = format!("{called} is not an http or https URL");
            Error::new(Code::Config, what).with_cause(why)
        })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(
                Error::new(Code::InsecureUrl, format!("{called} holds credentials")).with_cause(
                    "a URL ends up in logs; credentials belong into their own variables",
                ),
            );
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::new(
                Code::Config,
                format!("{called} has a query or a fragment"),
            ));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        let path = self
            .base_suffixes
            .iter()
            .find_map(|suffix| path.strip_suffix(suffix))
            .unwrap_or(&path);
        base.set_path(path.trim_end_matches('/'));
        Ok(base)
    }

    /// Every variable and file that credentials may come from, for hints.
    pub(crate) fn credential_sources(&self) -> String {
        match self.auth {
            Auth::ClientCredentials { id, secret, .. } => format!("{id} and {secret}"),
            Auth::Key {
                key,
                bearer,
                key_file,
                ..
            } => match key_file {
                Some(file) => format!("{key}, {bearer} or ~/{}", file.path),
                None => format!("{key} or {bearer}"),
            },
        }
    }
}
/// Parses an http or https URL.
///
/// # Errors
/// Why the text is none, without the text, which may hold a secret.
fn http_url(text: &str) -> std::result::Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) | Err(ParseError::RelativeUrlWithoutBase) => {
            Err("a base begins with https:// or http:// and a host".to_owned())
        }
        Err(ParseError::InvalidPort) => Err("the port is not a number up to 65535".to_owned()),
        Err(ParseError::EmptyHost) => Err("the host is missing".to_owned()),
        Err(error) => Err(format!("the URL has an {error}")),
    }
}
