//! What the modules above read of a [`Provider`]: its name, its ids, its base URL, words for texts.

use super::addresses::hint_for_address;
use super::all;
use super::schema::Provider;
use super::template::SlotValues;
use crate::error::{Code, Error, Result};
use crate::model::{DocumentId, InvalidDocumentId};
use url::{ParseError, Url};

impl Provider {
    /// The name of the provider on the command line and in JSON records, such as `sm`.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// Whether the provider may charge for a presigned URL.
    pub fn charges(&self) -> bool {
        self.table.resolve.iter().any(|step| step.is_charged)
    }

    /// Checks the id of a document, as this provider writes ids.
    ///
    /// # Errors
    /// [`Code::Usage`], with the rule that the id breaks.
    pub fn document_id(&self, text: &str) -> Result<DocumentId> {
        self.parse_id(text).map_err(|rule| {
            // A presigned URL given by mistake is not repeated.
            let is_url = text.contains("://");
            let shown = if is_url {
                "a URL".to_owned()
            } else {
                format!("{text:?}")
            };
            let thing = &self.table.thing;
            let article = if thing.starts_with(['a', 'e', 'i', 'o']) {
                "an"
            } else {
                "a"
            };
            let hint = hint_for_address(
                text,
                &all(),
                Some(&self.table.name),
                self.table.kind.as_deref(),
            );
            let hint = hint.unwrap_or_else(|| self.id_hint());
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

    /// Parses an id, or a URI with this provider's prefix.
    pub(crate) fn parse_id(
        &self,
        text: &str,
    ) -> std::result::Result<DocumentId, InvalidDocumentId> {
        DocumentId::parse_form(text, self.uri_prefix().as_deref(), &self.table.id)
    }

    /// How the ids of this provider are found or written.
    fn id_hint(&self) -> String {
        if !self.table.id.is_single() {
            let parts: Vec<String> = self
                .table
                .id
                .parts
                .iter()
                .map(|part| part.to_uppercase())
                .collect();
            return format!(
                "an id is {}; %2F stands for a slash in a part",
                parts.join("/")
            );
        }
        if let Some(prefix) = self.uri_prefix().filter(|prefix| prefix.contains("://")) {
            return format!(
                "give the id alone, or after {prefix}, which has the host of {}; %2F stands for a slash in an id",
                self.table.variables.api_base
            );
        }
        if self.table.list.is_none() {
            return "give the id as the service shows the id; %2F stands for a slash".to_owned();
        }
        format!("`{}` shows the ids of this account", self.list_command())
    }

    /// What stands before an id where the service writes ids as URIs.
    pub(crate) fn uri_prefix(&self) -> Option<String> {
        let prefix = self.table.uri_prefix.as_ref()?;
        let mut values = SlotValues::default();
        let own = self.table.base.as_deref().map(Url::parse);
        let own = own.and_then(std::result::Result::ok);
        let own = own.as_ref().and_then(Url::host_str);
        let host = self.base_host.as_deref().or(own).unwrap_or_default();
        values.add("base_host", host);
        values.add("resource", self.table.kind.as_deref().unwrap_or_default());
        self.add_parameters(&mut values);
        Some(prefix.fill(&values))
    }

    /// The provider with an API at `base`: its URIs name the host of that base.
    #[must_use]
    pub(crate) fn at_base(mut self, base: &Url) -> Self {
        self.base_host = base.host_str().map(str::to_owned);
        self
    }

    /// The kind in the names of records and of ids in hints. None for the default kind.
    pub(crate) fn further_kind(&self) -> Option<&str> {
        self.table
            .kind
            .as_deref()
            .filter(|_| !self.is_default_kind())
    }

    /// The command that lists the documents, for hints.
    pub(crate) fn list_command(&self) -> String {
        match self.further_kind() {
            None => format!("docfetch list {}", self.table.name),
            Some(kind) => format!("docfetch list {} --resource {kind}", self.table.name),
        }
    }

    /// The base URL of the API: `base`, or the default. Drops last path segments that the routes have
    /// already. Errors call the URL `called`.
    ///
    /// # Errors
    /// [`Code::Config`] when `base` is no http or https URL or has a query, [`Code::InsecureUrl`] when it
    /// holds credentials.
    pub(crate) fn api_base(&self, base: Option<&str>, called: &str) -> Result<Url> {
        let text = base
            .or(self.table.base.as_deref())
            .ok_or_else(|| self.no_base())?
            .trim();
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
        let suffix = self.table.base_suffix.as_deref();
        let path = suffix
            .and_then(|suffix| path.strip_suffix(suffix))
            .unwrap_or(&path);
        base.set_path(path.trim_end_matches('/'));
        Ok(base)
    }

    /// The error of a table without a base, where the user sets none.
    fn no_base(&self) -> Error {
        let variable = &self.table.variables.api_base;
        let what = format!(
            "docfetch does not know where the API of {} is",
            self.table.title
        );
        Error::new(Code::Config, what)
            .with_cause(format!("{variable} is not set, and the table has no base"))
            .with_hint(format!("set {variable} to the base URL of the API"))
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
