//! What differs between services, as data. Adding a provider adds a value, not a code path.

mod filters;
mod one_codex;
mod resource;
mod standard_metrics;

use crate::config::credentials;
use crate::config::variables;
use crate::error::{Code, Error, Result};
use crate::model::{DocumentId, Rate};
use crate::secret::Secret;
use url::Url;

pub(crate) use filters::{Filters, OwnField, ServerFilter};
pub(crate) use one_codex::one_codex;
pub(crate) use resource::Resource;
pub(crate) use standard_metrics::standard_metrics;

/// A service that hides documents behind presigned URLs.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name on the command line and in JSON records.
    pub name: &'static str,
    /// Its name in sentences.
    pub title: &'static str,
    /// What is listed and fetched, where the service has several kinds of it.
    pub resource: Option<Resource>,
    /// What tells its documents from those of all others in the names of records and partials: its
    /// name, and the kind where they are no documents. It never changes.
    pub identity: &'static str,
    /// Where its API lives unless `base_variable` says otherwise.
    pub default_base: &'static str,
    /// The variable with another base.
    pub base_variable: &'static str,
    /// A last path segment that users write into the base although the routes have it already.
    pub base_suffix: Option<&'static str>,
    /// How a request proves who asks.
    pub auth: Auth,
    /// How the presigned URL is handed over.
    pub handoff: Handoff,
    /// Whether resolving a document may cost money: then it is asked for once.
    pub(crate) charged: bool,
    /// The rates to stay inside, all at once.
    pub budget: &'static [Rate],
    /// A free route that tells a document's name and size.
    pub metadata: Option<MetadataRoute>,
    /// The route that lists documents.
    pub listing: Listing,
    /// What stands before the id where the service prints ids as URIs.
    pub id_uri_prefix: Option<&'static str>,
}

/// How a request proves who asks.
#[derive(Clone, Debug)]
pub enum Auth {
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4).
    ClientCredentials {
        /// Variable of the client id.
        id: &'static str,
        /// Variable of the client secret.
        secret: &'static str,
        /// The token route.
        token_path: &'static str,
    },
    /// A key in a header of its own, or a bearer token (RFC 6750), which wins.
    Key {
        /// The key's header.
        header: &'static str,
        /// Variable of the key.
        key: &'static str,
        /// Variable of the bearer token.
        bearer: &'static str,
        /// A JSON file in the home folder where the service's own tool keeps the key, and the
        /// pointer (RFC 6901) to it.
        home_file: Option<(&'static str, &'static str)>,
    },
}

/// How the presigned URL is handed over. `{id}` in a path is the document.
#[derive(Clone, Debug)]
pub enum Handoff {
    /// GET; the answer is a redirect, its `Location` the presigned URL.
    Redirect {
        /// The route.
        path: &'static str,
    },
    /// POST; the answer is JSON with the presigned URL at `url` (RFC 6901).
    JsonField {
        /// The route.
        path: &'static str,
        /// Pointer to the presigned URL.
        url: &'static str,
        /// Pointer to how many hours it lives, where the answer tells.
        hours: Option<&'static str>,
    },
}

/// A free route that tells a document's name and size, by pointers (RFC 6901).
#[derive(Clone, Debug)]
pub struct MetadataRoute {
    /// The route.
    pub path: &'static str,
    /// Pointer to the file name.
    pub name: &'static str,
    /// Pointer to the size in bytes.
    pub size: &'static str,
}

/// The route that lists documents, page by page.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The route.
    pub path: &'static str,
    /// Query parameter of the page size.
    pub page_size: &'static str,
    /// Rows on a page at most.
    pub page_rows: usize,
    /// How the next page is found.
    pub paging: Paging,
    /// Query parameters that every page has.
    pub query: &'static [(&'static str, &'static str)],
    /// Field with the id.
    pub id: &'static str,
    /// Fields with the name: the first that a row has.
    pub name: &'static [&'static str],
    /// Field with the size in bytes, where rows have it.
    pub size: Option<&'static str>,
    /// Field with the time of the last change.
    pub modified: &'static str,
    /// The provider's own fields that go into a record under their own names.
    pub fields: &'static [&'static str],
    /// What the server can be asked to leave out.
    pub filters: &'static Filters,
}

/// How the next page is found.
#[derive(Clone, Copy, Debug)]
pub enum Paging {
    /// The answer is an object: rows in one field, the next page's URL or null in another.
    NextField {
        /// Field with the rows.
        rows: &'static str,
        /// Field with the next page's URL.
        next: &'static str,
        /// Field with the number of rows in all.
        count: &'static str,
    },
    /// The answer is an array; a header tells how many rows there are in all.
    TotalHeader {
        /// The header.
        total: &'static str,
    },
}

/// What proves to a provider which account sends a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// An OAuth 2.0 application (RFC 6749 section 4.4).
    Client {
        /// The client id.
        id: Secret,
        /// The client secret.
        secret: Secret,
    },
    /// An API key.
    Key(Secret),
    /// A bearer token (RFC 6750).
    Bearer(Secret),
}

/// Every provider there is, with each kind of its things.
pub(crate) fn all() -> Vec<Provider> {
    let one_codex = Resource::ALL.map(one_codex);
    [standard_metrics()].into_iter().chain(one_codex).collect()
}

impl Credentials {
    /// What tells accounts apart: never shown, only hashed.
    pub fn account(&self) -> &Secret {
        match self {
            Self::Client { id, .. } => id,
            Self::Key(secret) | Self::Bearer(secret) => secret,
        }
    }
}

impl Provider {
    /// Whether resolving a document may cost money.
    pub fn charges(&self) -> bool {
        self.charged
    }

    /// Checks a document's id as this provider writes them.
    ///
    /// # Errors
    /// [`Code::Usage`], with the rule that it breaks.
    pub fn document_id(&self, text: &str) -> Result<DocumentId> {
        DocumentId::parse(text, self.id_uri_prefix).map_err(|rule| {
            // A presigned URL given by mistake is not repeated.
            let shown = if text.contains("://") {
                "a URL".to_owned()
            } else {
                format!("{text:?}")
            };
            let thing = self.thing();
            let article = if thing.starts_with('a') { "an" } else { "a" };
            let list = self.list_command();
            let hint = match self.resource.and_then(|own| own.other_in(text)) {
                Some(other) => format!("it is of --resource {}", other.name()),
                None => format!("`{list}` shows the ids of this account"),
            };
            Error::new(Code::Usage, format!("{shown} is not {article} {thing} id"))
                .with_cause(rule.to_string())
                .with_hint(hint)
        })
    }

    /// What it hands out, one of them, in sentences.
    pub fn thing(&self) -> &'static str {
        self.resource.unwrap_or_default().one()
    }

    /// The command that lists what there is, for hints.
    pub fn list_command(&self) -> String {
        match self.resource {
            None | Some(Resource::Documents) => format!("docfetch list {}", self.name),
            Some(kind) => format!("docfetch list {} --resource {}", self.name, kind.name()),
        }
    }

    /// The base that the environment sets, if any, unchecked.
    pub(crate) fn environment_base(&self) -> Option<String> {
        variables::value(self.base_variable)
    }

    /// The URL of the API: `base`, or the default. A last path segment that the routes have already is
    /// dropped.
    ///
    /// # Errors
    /// [`Code::Config`] when `base` is no http or https URL or has a query, [`Code::InsecureUrl`] when it
    /// holds credentials.
    pub(crate) fn api_base(&self, base: Option<&str>) -> Result<Url> {
        let text = base.unwrap_or(self.default_base).trim();
        let mut base = Url::parse(text)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https") && base.has_host())
            .ok_or_else(|| {
                Error::new(
                    Code::Config,
                    format!("{} is not an http or https URL", self.base_variable),
                )
            })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::new(
                Code::InsecureUrl,
                format!("{} holds credentials", self.base_variable),
            )
            .with_cause("a URL ends up in logs; credentials belong into their own variables"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::new(
                Code::Config,
                format!("{} has a query or a fragment", self.base_variable),
            ));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        let path = self
            .base_suffix
            .and_then(|suffix| path.strip_suffix(suffix))
            .unwrap_or(&path);
        base.set_path(path.trim_end_matches('/'));
        Ok(base)
    }

    /// The credentials from the environment.
    ///
    /// # Errors
    /// [`Code::CredentialsMissing`] naming the variables, [`Code::Config`] for unusable values.
    pub(crate) fn environment_credentials(&self) -> Result<Credentials> {
        match self.auth {
            Auth::ClientCredentials { id, secret, .. } => {
                match (credentials::secret(id)?, credentials::secret(secret)?) {
                    (Some(id), Some(secret)) => Ok(Credentials::Client { id, secret }),
                    (Some(_), None) => Err(self.missing(&format!("{secret} is not set"))),
                    (None, Some(_)) => Err(self.missing(&format!("{id} is not set"))),
                    (None, None) => Err(self.missing(&format!("{id} and {secret} are not set"))),
                }
            }
            Auth::Key {
                key,
                bearer,
                home_file,
                ..
            } => {
                if let Some(token) = credentials::secret(bearer)? {
                    return Ok(Credentials::Bearer(token));
                }
                if let Some(key) = credentials::secret(key)? {
                    return Ok(Credentials::Key(key));
                }
                if let Some((file, pointer)) = home_file
                    && let Some(key) = credentials::home_json(file, pointer)?
                {
                    return Ok(Credentials::Key(key));
                }
                let file = home_file.map(|(file, _)| format!(", and ~/{file} has no key"));
                let file = file.unwrap_or_default();
                Err(self.missing(&format!("neither {key} nor {bearer} is set{file}")))
            }
        }
    }

    /// Checks that the credentials are of a kind that the provider takes.
    ///
    /// # Errors
    /// [`Code::Config`].
    pub(crate) fn check_credentials(&self, credentials: &Credentials) -> Result<()> {
        let (fits, kind) = match self.auth {
            Auth::ClientCredentials { .. } => (
                matches!(credentials, Credentials::Client { .. }),
                "a client id and a client secret",
            ),
            Auth::Key { .. } => (
                !matches!(credentials, Credentials::Client { .. }),
                "an API key or a bearer token",
            ),
        };
        if fits {
            return Ok(());
        }
        let what = format!("these are no credentials of {}", self.title);
        Err(Error::new(Code::Config, what).with_cause(format!("{} takes {kind}", self.title)))
    }

    /// The variables that hold the credentials, for hints.
    pub fn credential_variables(&self) -> String {
        match self.auth {
            Auth::ClientCredentials { id, secret, .. } => format!("{id} and {secret}"),
            Auth::Key {
                key,
                bearer,
                home_file,
                ..
            } => match home_file {
                Some((file, _)) => format!("{key}, {bearer} or ~/{file}"),
                None => format!("{key} or {bearer}"),
            },
        }
    }

    fn missing(&self, why: &str) -> Error {
        Error::new(
            Code::CredentialsMissing,
            format!("no credentials for {}", self.title),
        )
        .with_cause(why)
        .with_hint(format!(
            "set {}; variables with {} behind name files",
            self.credential_variables(),
            variables::FILE_SUFFIX
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_and_documents_are_what_they_always_were() {
        let identities: Vec<_> = all().iter().map(|provider| provider.identity).collect();
        let expected = ["sm", "onecodex", "onecodex/samples", "onecodex/assets"];
        assert_eq!(identities, expected);
    }

    #[test]
    fn a_uri_of_another_kind_names_the_option() {
        let documents = one_codex(Resource::Documents);
        let error = documents.document_id("/api/v1/samples/7").unwrap_err();
        assert!(error.message().contains("is not a document id"));
        assert_eq!(error.hint(), "it is of --resource samples");
        let assets = one_codex(Resource::Assets);
        let error = assets.document_id("a/b").unwrap_err();
        assert!(error.message().contains("is not an asset id"));
        assert!(error.hint().contains("list onecodex --resource assets"));
        let id = assets.document_id("/api/v1/assets/7").unwrap();
        assert_eq!(id.as_str(), "7");
    }
}
