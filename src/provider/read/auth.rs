//! The keys of `auth`.

use super::request;
use super::values;
use crate::config::toml_file::{TomlTable, TomlValue};
use crate::error::Result;
use crate::provider::table::{
    Auth, AuthMethod, ClientPlace, CredentialField, CredentialFile, Exchange, Grant, OAuth,
    TokenRoute,
};
use crate::provider::template::TextTemplate;
use reqwest::Method;
use url::Url;

/// The keys of each type, beside `type`, `file` and `check`.
const TYPES: [(&str, &[&str]); 7] = [
    ("none", &[]),
    ("bearer", &[]),
    ("header", &["name", "prefix"]),
    ("query", &["name"]),
    ("basic", &[]),
    (
        "oauth",
        &["token", "grant", "scope", "form", "headers", "client"],
    ),
    (
        "exchange",
        &[
            "path", "query", "headers", "json", "form", "token", "expires",
        ],
    ),
];

/// The parts of a credential, by their names in `file` and `variables`.
pub(super) const CREDENTIAL_FIELDS: [(&str, CredentialField); 7] = [
    ("api_key", CredentialField::ApiKey),
    ("token", CredentialField::Token),
    ("username", CredentialField::Username),
    ("password", CredentialField::Password),
    ("client_id", CredentialField::ClientId),
    ("client_secret", CredentialField::ClientSecret),
    ("refresh_token", CredentialField::RefreshToken),
];

/// One entry of `auth`, or an array of entries.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a key that cannot be used, as for every function here.
pub(super) fn entries(value: &TomlValue<'_>, known: &[&str]) -> Result<Vec<Auth>> {
    let given = value.one_or_many();
    if given.is_empty() {
        return Err(
            value.error("the array has no entry; { type = \"none\" } stands for no credential")
        );
    }
    let mut entries: Vec<Auth> = Vec::new();
    for value in &given {
        let entry = entry(value, known)?;
        let parts = entry.method.fields();
        if entries
            .iter()
            .any(|before| before.method.fields().is_empty())
        {
            return Err(value.error("docfetch reaches no entry after one of the type none"));
        }
        if entries.iter().any(|before| before.method.fields() == parts) {
            return Err(value.error("an entry before this one takes the same variables"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(value: &TomlValue<'_>, known: &[&str]) -> Result<Auth> {
    let table = value.table()?;
    let names = TYPES.map(|(name, _)| (name, name));
    if table.get("type").is_none() {
        let of_types = TYPES.iter().flat_map(|(_, keys)| keys.iter().copied());
        let keys: Vec<&str> = ["type", "file", "check"]
            .into_iter()
            .chain(of_types)
            .collect();
        table.check_keys("auth", &keys)?;
    }
    let kind = table.need("type")?.word(&names)?;
    let own = TYPES.iter().find(|(name, _)| *name == kind);
    let own = own.map_or(&[][..], |(_, keys)| keys);
    let keys = [&["type", "file", "check"], own].concat();
    table.check_keys(&format!("auth of the type {kind}"), &keys)?;
    let method = match kind {
        "bearer" => AuthMethod::Bearer,
        "header" => header(&table)?,
        "query" => AuthMethod::Query {
            name: values::text(&table.need("name")?)?,
        },
        "basic" => AuthMethod::Basic,
        "oauth" => AuthMethod::OAuth(Box::new(oauth(&table, known)?)),
        "exchange" => AuthMethod::Exchange(Box::new(exchange(&table, known)?)),
        _ => AuthMethod::None,
    };
    let check = table.get("check");
    let check = check.map(|check| values::path(&check, known));
    let file = table
        .get("file")
        .map(|file| credential_file(&file, method.fields()));
    Ok(Auth {
        method,
        file: file.transpose()?,
        check: check.transpose()?,
    })
}

fn header(table: &TomlTable<'_>) -> Result<AuthMethod> {
    let name = table.need("name")?;
    let text = name.text()?;
    // The one header of a credential that a table may set itself.
    let name = if text.eq_ignore_ascii_case("authorization") {
        reqwest::header::AUTHORIZATION
    } else {
        values::header_name(text, &name)?
    };
    let prefix = match table.get("prefix") {
        None => String::new(),
        Some(prefix)
            if prefix
                .text()?
                .bytes()
                .all(|byte| (0x20..0x7f).contains(&byte)) =>
        {
            prefix.text()?.to_owned()
        }
        Some(prefix) => return Err(prefix.error("a header has visible ASCII characters only")),
    };
    Ok(AuthMethod::Header { name, prefix })
}

fn oauth(table: &TomlTable<'_>, known: &[&str]) -> Result<OAuth> {
    let token = table.need("token")?;
    let route = if token.text()?.starts_with('/') {
        TokenRoute::Path(values::path(&token, known)?)
    } else {
        TokenRoute::Url(token_url(&token, known)?)
    };
    let grants = [
        ("client-credentials", Grant::ClientCredentials),
        ("refresh-token", Grant::RefreshToken),
    ];
    let grant = table.get("grant").map(|grant| grant.word(&grants));
    let clients = [("basic", ClientPlace::Basic), ("form", ClientPlace::Form)];
    let client = table.get("client").map(|client| client.word(&clients));
    let scope = table.get("scope");
    let scope = scope.map(|scope| values::line(&scope, known));
    let form = table
        .get("form")
        .map(|form| values::text_fields(&form, known));
    let headers = table.get("headers");
    let headers = headers.map(|headers| values::headers(&headers, known));
    Ok(OAuth {
        token: route,
        grant: grant.transpose()?.unwrap_or(Grant::ClientCredentials),
        scope: scope.transpose()?,
        form: form.transpose()?.unwrap_or_default(),
        headers: headers.transpose()?.unwrap_or_default(),
        client: client.transpose()?.unwrap_or(ClientPlace::Basic),
    })
}

/// A whole URL: https, or http on loopback.
fn token_url(value: &TomlValue<'_>, known: &[&str]) -> Result<TextTemplate> {
    let template = values::template(value, known)?;
    let example = Url::parse(template.prefix());
    let is_usable = example.is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let is_plain = url.username().is_empty() && url.password().is_none();
        // The host ends before the first slot.
        let has_whole_host =
            template.slots().next().is_none() || template.prefix().matches('/').count() >= 3;
        is_plain
            && has_whole_host
            && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(host)))
    });
    if is_usable {
        return Ok(template);
    }
    Err(value.error("a path, or an https URL whose host has no slot, is expected"))
}

/// Whether a host is this machine, by its literal form.
pub(super) fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || literal
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn exchange(table: &TomlTable<'_>, known: &[&str]) -> Result<Exchange> {
    let slots = [known, &["key"]].concat();
    let request = request::request_with(Method::POST, table, &slots)?;
    let names_key = match &request.body {
        Some(body) => body.slots().contains(&"key"),
        None => false,
    };
    if !names_key {
        return Err(table.error("an exchange has json or form with {key}"));
    }
    let expires = table.get("expires");
    Ok(Exchange {
        request,
        token: values::pointers(&table.need("token")?)?,
        expires: expires
            .map(|expires| request::expiry(&expires))
            .transpose()?,
    })
}

/// A file that has the parts `needed` of a credential.
fn credential_file(value: &TomlValue<'_>, needed: &[CredentialField]) -> Result<CredentialFile> {
    let table = value.table()?;
    let names = CREDENTIAL_FIELDS.iter();
    let names = names.filter(|(_, field)| needed.contains(field));
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    let keys = [&["home"][..], &names].concat();
    table.check_keys("a file of the service's tool", &keys)?;
    let home = table.need("home")?;
    let path = values::text(&home)?;
    let is_inside = !path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if !is_inside {
        return Err(home.error("a path below the home folder is expected"));
    }
    if needed.is_empty() {
        return Err(table.error("auth of the type none has no file"));
    }
    let values = CREDENTIAL_FIELDS.iter();
    let values = values.filter(|(_, field)| needed.contains(field));
    let values = values.map(|(name, field)| Ok((*field, values::pointer(&table.need(name)?)?)));
    Ok(CredentialFile {
        home: path,
        values: values.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::request::REQUEST_KEYS;
    use super::*;

    #[test]
    fn an_exchange_has_the_keys_of_a_request_but_the_method() {
        let (_, keys) = TYPES[6];
        for key in REQUEST_KEYS {
            assert_eq!(keys.contains(&key), key != "method", "{key}");
        }
    }
}
