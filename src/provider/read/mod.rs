//! A TOML table becomes a [`Table`]: read once, and checked whole.
//!
//! Every key is taken by one function here; what no function takes is an error with the nearest key. An error names the
//! file, the line and the key.

mod auth;
mod listing;
pub(crate) mod names;
mod request;
mod values;

use super::table::{Parameter, Table, VariableNames};
use crate::config::settings::parse_rate;
use crate::config::toml_file::{TomlTable, TomlValue};
use crate::error::Result;
use crate::model::{IdForm, Rate};
use url::Url;

/// The keys of a provider.
pub(crate) const PROVIDER_KEYS: [&str; 20] = [
    "title",
    "thing",
    "source",
    "base",
    "base_suffix",
    "headers",
    "rate",
    "parameters",
    "variables",
    "id",
    "resources",
    "uri_prefix",
    "auth",
    "resolve",
    "refuse",
    "metadata",
    "list",
    "lookup",
    "options",
    "kind",
];
/// The keys that a kind of things cannot have of its own.
const SHARED_KEYS: [&str; 7] = [
    "title",
    "source",
    "base",
    "base_suffix",
    "parameters",
    "variables",
    "resources",
];
/// The names in `variables`, beside those of parameters.
const VARIABLE_KEYS: [&str; 9] = [
    "api_base",
    "account",
    "api_key",
    "token",
    "username",
    "password",
    "client_id",
    "client_secret",
    "refresh_token",
];
/// Media types of documents never have these characters.
const NO_MEDIA_TYPE: [char; 4] = [' ', ';', ',', '*'];

/// Reads the provider `name`, one [`Table`] for each kind of its things.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a key that is unknown, missing or wrong.
pub(crate) fn provider(name: &str, table: &TomlTable<'_>) -> Result<Vec<Table>> {
    names::check_table(name).map_err(|why| table.error(why))?;
    let without_kind: Vec<&str> = PROVIDER_KEYS
        .into_iter()
        .filter(|key| *key != "kind")
        .collect();
    table.check_keys("a provider", &without_kind)?;
    let Some(resources) = table.get("resources") else {
        return Ok(vec![one_kind(name, table, None, 0)?]);
    };
    let resources = resources.array()?;
    let mut kinds: Vec<Table> = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let own = resource.table()?;
        let keys: Vec<&str> = PROVIDER_KEYS
            .into_iter()
            .filter(|key| !SHARED_KEYS.contains(key))
            .collect();
        own.check_keys("a kind", &keys)?;
        let kind_value = own.need("kind")?;
        let kind = values::text(&kind_value)?;
        if names::check_table(&kind).is_err()
            || kinds
                .iter()
                .any(|other| other.kind.as_deref() == Some(&kind))
        {
            return Err(kind_value
                .error("a kind has a name of its own, in lower-case letters, digits and dashes"));
        }
        kinds.push(one_kind(name, &own.over(table), Some(kind), index)?);
    }
    if kinds.is_empty() {
        return Err(table.error("resources has a kind"));
    }
    Ok(kinds)
}

fn one_kind(
    name: &str,
    table: &TomlTable<'_>,
    kind: Option<String>,
    index: usize,
) -> Result<Table> {
    let id = id_form(table)?;
    let variables = table.get("variables");
    let variables = variables.as_ref().map(TomlValue::table).transpose()?;
    let parameters = parameters(name, table, variables.as_ref(), &id.parts)?;
    let mut shared = vec!["base_host"];
    if kind.is_some() {
        shared.push("resource");
    }
    shared.extend(parameters.iter().map(|parameter| parameter.name.as_str()));
    let parts = id.parts.iter().map(String::as_str);
    let of_thing: Vec<&str> = shared.iter().copied().chain(parts).collect();

    let metadata = table.merged("metadata")?;
    let metadata = metadata.map(|metadata| request::metadata(&metadata, &of_thing, &id.parts));
    let list = table.merged("list")?;
    let list = list
        .map(|list| listing::listing(&list, &shared, &id.parts))
        .transpose()?;
    let fields = list.as_ref().map_or(&[][..], |list| &list.fields);
    let lookups = table.get("lookup");
    let lookups = lookups.map(|lookup| listing::lookups(&lookup, &shared, fields));
    let lookups = lookups.transpose()?.unwrap_or_default();
    let options = table.get("options");
    let options = options.map(|options| listing::options(&options, fields, &lookups));
    let uri_prefix = table.get("uri_prefix");
    let uri_prefix = uri_prefix.map(|prefix| values::line(&prefix, &shared));
    let headers = table
        .get("headers")
        .map(|headers| values::headers(&headers, &shared));
    let auth = table.get("auth").map_or_else(|| table.need("auth"), Ok)?;
    Ok(Table {
        title: values::optional_text(table, "title")?.unwrap_or_else(|| name.to_owned()),
        thing: values::optional_text(table, "thing")?.unwrap_or_else(|| "document".to_owned()),
        source: values::optional_text(table, "source")?,
        identity: match &kind {
            Some(kind) if index > 0 => format!("{name}/{kind}"),
            _ => name.to_owned(),
        },
        base: table
            .get("base")
            .map(|base| self::base(&base))
            .transpose()?,
        base_suffix: base_suffix(table)?,
        headers: headers.transpose()?.unwrap_or_default(),
        rates: rates(table)?,
        variables: variable_names(name, variables.as_ref(), &parameters)?,
        uri_prefix: uri_prefix.transpose()?,
        auth: auth::entries(&auth, &shared)?,
        resolve: request::steps(&table.need("resolve")?, &of_thing, &id.parts)?,
        refuse: refuse(table)?,
        metadata: metadata.transpose()?,
        list,
        options: options.transpose()?.unwrap_or_default(),
        lookups,
        name: name.to_owned(),
        kind,
        parameters,
        id,
    })
}

/// The parts of an id: `["project", "file"]`. A last part `path*` is the rest.
fn id_form(table: &TomlTable<'_>) -> Result<IdForm> {
    let Some(value) = table.get("id") else {
        return Ok(IdForm {
            parts: vec!["id".to_owned()],
            has_rest: false,
        });
    };
    let mut parts = match value.as_text() {
        Some(_) => vec![values::text(&value)?],
        None => values::texts(&value)?,
    };
    let has_rest = parts.last().is_some_and(|last| last.ends_with('*'));
    if let Some(last) = parts.last_mut().filter(|_| has_rest) {
        last.pop();
    }
    let is_name = |part: &String| {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        part.starts_with(|c: char| c.is_ascii_lowercase()) && part.bytes().all(is_plain)
    };
    let slots = ["resource", "base_host", "value", "key"];
    for (index, part) in parts.iter().enumerate() {
        if !is_name(part) || slots.contains(&part.as_str()) || parts[..index].contains(part) {
            return Err(value.error(format!(
                "{part:?} is no name of a part: lower-case letters, digits and _, each part once; only the last part can end in *"
            )));
        }
    }
    if parts.is_empty() {
        return Err(value.error("an id has a part"));
    }
    Ok(IdForm { parts, has_rest })
}

/// An https URL, or http on loopback, without credentials, query and fragment.
fn base(value: &TomlValue<'_>) -> Result<String> {
    let text = values::text(value)?;
    let url = Url::parse(&text).map_err(|_| value.error("an https URL is expected"))?;
    let host = url.host_str().unwrap_or_default();
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_bare = url.query().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && auth::is_loopback(host));
    if !is_safe || host.is_empty() {
        return Err(value.error("an https URL is expected, or http on loopback"));
    }
    if !is_plain || !is_bare {
        return Err(value.error("a base has no credentials, no query and no fragment"));
    }
    Ok(text)
}

fn base_suffix(table: &TomlTable<'_>) -> Result<Option<String>> {
    let Some(value) = table.get("base_suffix") else {
        return Ok(None);
    };
    let text = values::text(&value)?;
    let is_segment = text.starts_with('/') && !text.ends_with('/');
    if !is_segment || text.contains(['?', '#', ' ', '{']) {
        return Err(value.error("a path such as /v1 is expected"));
    }
    Ok(Some(text))
}

fn rates(table: &TomlTable<'_>) -> Result<Vec<Rate>> {
    let Some(value) = table.get("rate") else {
        return Ok(Vec::new());
    };
    let rates = value.one_or_many();
    let rates = rates.iter().map(|rate| {
        parse_rate(rate.text()?)
            .ok_or_else(|| rate.error("a rate such as 120/1m is expected, up to 10000/24h"))
    });
    rates.collect()
}

fn refuse(table: &TomlTable<'_>) -> Result<Vec<String>> {
    let Some(value) = table.get("refuse") else {
        return Ok(Vec::new());
    };
    let types = value.array()?;
    let types = types.iter().map(|value| {
        let text = values::text(value)?.to_ascii_lowercase();
        let is_type = text.split('/').count() == 2 && text.split('/').all(|part| !part.is_empty());
        if !is_type || text.contains(NO_MEDIA_TYPE) {
            return Err(value.error("a media type such as text/html is expected"));
        }
        Ok(text)
    });
    types.collect()
}

/// The variable of a table for a name in `variables`: `ACME_API_KEY`.
fn default_variable(table: &str, name: &str) -> String {
    format!("{table}_{name}").to_uppercase().replace('-', "_")
}

fn parameters(
    name: &str,
    table: &TomlTable<'_>,
    variables: Option<&TomlTable<'_>>,
    parts: &[String],
) -> Result<Vec<Parameter>> {
    let Some(value) = table.get("parameters") else {
        return Ok(Vec::new());
    };
    let parameters = value.table()?;
    let parameters = parameters.entries().map(|(parameter, value)| {
        names::check_parameter(parameter, &value, parts)?;
        if VARIABLE_KEYS.contains(&parameter) {
            return Err(value.error(format!(
                "{parameter:?} has a meaning already: take another name"
            )));
        }
        let own = value.table()?;
        own.check_keys("a parameter", &["required", "default"])?;
        let required = own.get("required").as_ref().map(TomlValue::boolean);
        let is_required = required.transpose()?.unwrap_or_default();
        let default = values::optional_text(&own, "default")?;
        if is_required && default.is_some() {
            return Err(value.error("a parameter with a default is not required"));
        }
        Ok(Parameter {
            name: parameter.to_owned(),
            is_required,
            default,
            variable: variable(name, variables, parameter)?,
        })
    });
    parameters.collect()
}

/// The variable for `key`: the one that `variables` names, else that of the table's name.
fn variable(name: &str, variables: Option<&TomlTable<'_>>, key: &str) -> Result<String> {
    let Some(value) = variables.and_then(|table| table.get(key)) else {
        return Ok(default_variable(name, key));
    };
    let text = values::text(&value)?;
    names::check_variable(&text).map_err(|why| value.error(why))?;
    Ok(text)
}

fn variable_names(
    name: &str,
    variables: Option<&TomlTable<'_>>,
    parameters: &[Parameter],
) -> Result<VariableNames> {
    if let Some(table) = variables {
        let own = parameters.iter().map(|parameter| parameter.name.as_str());
        let known: Vec<&str> = VARIABLE_KEYS.into_iter().chain(own).collect();
        table.check_keys("variables", &known)?;
    }
    let of = |key: &str| variable(name, variables, key);
    Ok(VariableNames {
        api_base: of("api_base")?,
        account: of("account")?,
        api_key: of("api_key")?,
        token: of("token")?,
        username: of("username")?,
        password: of("password")?,
        client_id: of("client_id")?,
        client_secret: of("client_secret")?,
        refresh_token: of("refresh_token")?,
    })
}
