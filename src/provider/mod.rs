//! What differs between services, as tables. A new provider is a new table, not new code.
//!
//! [`read`] makes a [`Table`] of TOML text, and checks every key. `tables/` has the tables of the source tree, and [`known`]
//! also knows those of the user. Only the binary reads the environment variables that a table names; the library takes values.

mod addresses;
mod credentials;
mod facts;
mod known;
mod parameters;
mod pointer;
mod read;
mod schema;
mod shipped;
mod table;
mod template;

pub use credentials::Credentials;
pub(crate) use credentials::SourcedCredentials;
pub(crate) use known::{
    KnownProvider, add_user_tables, all, find, known_providers, names, table_error, toml_text,
};
pub(crate) use pointer::{Pointer, Pointers, pick, text_or_integer};
pub use schema::Provider;
pub(crate) use table::{
    Algorithm, AlgorithmRule, AuthMethod, BodyTemplate, ChecksumEncoding, ChecksumPlace,
    ChecksumRule, ClientPlace, CredentialField, Cursor, CursorPlace, Exchange, Expiry, FieldPlace,
    Filtered, Follow, Grant, Listing, Lookup, MetadataRoute, OAuth, Only, Paging, RequestTemplate,
    RowsRoute, ServerFilterRule, Step, Table, TableOption, TimeField, TimeForm, TokenRoute, Total,
    UrlPlace, UrlSource,
};
pub(crate) use template::{JsonTemplate, SlotValues, TextTemplate};

/// The table of a provider with one kind of things, whose TOML is `text`.
#[cfg(test)]
pub(crate) fn table_of(name: &str, text: &str) -> Table {
    let file = crate::config::toml_file::TomlFile::new(format!("{name}.toml"), text);
    let parsed = file.parse().expect("TOML");
    let kinds = read::provider(name, &file.root(&parsed));
    kinds.expect("a right table").remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_an_identity_of_its_own_and_that_of_documents_never_changes() {
        let providers = all();
        let identities = providers
            .iter()
            .map(|provider| provider.table.identity.as_str());
        let expected = ["sm", "onecodex", "onecodex/samples", "onecodex/assets"];
        assert_eq!(identities.take(4).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_uri_of_another_kind_names_the_option() {
        let documents = Provider::shipped("onecodex").unwrap();
        let error = documents.document_id("/api/v1/samples/7").unwrap_err();
        assert!(error.message().contains("is not a document id"));
        assert_eq!(error.hint(), "give the id 7 with --resource samples");
        let assets = documents.of_kind("assets").unwrap();
        let error = assets.document_id("a/b").unwrap_err();
        assert!(error.message().contains("is not an asset id"));
        assert!(error.hint().contains("list onecodex --resource assets"));
        assert_eq!(error.cause(), Some("it contains '/'"));
        let id = assets.document_id("/api/v1/assets/7").unwrap();
        assert_eq!(id.as_str(), "7");
    }
}
