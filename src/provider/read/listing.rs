//! The keys of `list`, `lookup` and `options`.

use super::names;
use super::request::{self, REQUEST_KEYS};
use super::values;
use crate::config::toml_file::{TomlTable, TomlValue};
use crate::error::Result;
use crate::provider::pointer::{Pointer, Pointers};
use crate::provider::table::{
    Cursor, CursorPlace, Field, FieldPlace, FilterRule, Filtered, Follow, Listing, Lookup, Only,
    PageSize, Paging, RowsRoute, ServerFilterRule, TableOption, TimeField, TimeForm, Total,
};
use crate::provider::template::JsonTemplate;
use regex_lite::Regex;
use reqwest::Method;

/// The keys of a route with rows, beside those of its request.
const ROWS_KEYS: [&str; 5] = ["rows", "only", "page", "paging", "error"];
/// The keys of `list`, beside those of a route with rows.
const LIST_KEYS: [&str; 7] = [
    "id", "name", "size", "modified", "fields", "scope", "filters",
];
/// The keys of a lookup, beside those of a route with rows.
const LOOKUP_KEYS: [&str; 5] = ["id", "name", "field", "filters", "id_pattern"];
/// The keys of all kinds of paging, in words.
const PAGING_KEYS: &str = "kind at follow total total_header parameter first in path json more";
/// The largest page.
const MAX_PAGE_ROWS: i64 = 100_000;
/// The fields that every record has.
const RECORD_FIELDS: [&str; 6] = ["provider", "id", "name", "size", "modified", "resource"];

/// The keys of `list`.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a key that cannot be used, as for every function here.
pub(super) fn listing(table: &TomlTable<'_>, known: &[&str], parts: &[String]) -> Result<Listing> {
    let keys = [&REQUEST_KEYS[..], &ROWS_KEYS, &LIST_KEYS].concat();
    table.check_keys("list", &keys)?;
    let scope = scope(table, known, parts)?;
    let names = scope.iter().map(String::as_str);
    let slots: Vec<&str> = known.iter().copied().chain(names).collect();
    let fields = table.get("fields").map(|fields| self::fields(&fields));
    let fields = fields.transpose()?.unwrap_or_default();
    let modified = table
        .get("modified")
        .map(|modified| self::modified(&modified));
    let filters = table
        .get("filters")
        .map(|filters| self::filters(&filters, &fields));
    let own_parts = parts.iter().filter(|part| !scope.contains(part)).count();
    Ok(Listing {
        rows: rows_route(table, &slots)?,
        id: ids(&table.need("id")?, own_parts)?,
        name: values::optional_pointers(table, "name")?,
        size: values::optional_pointers(table, "size")?,
        modified: modified.transpose()?,
        filters: filters.transpose()?.unwrap_or_default(),
        fields,
        scope,
    })
}

/// What the user names with `--in`: parts of ids, and other names, which fill templates only.
fn scope(table: &TomlTable<'_>, known: &[&str], parts: &[String]) -> Result<Vec<String>> {
    let Some(value) = table.get("scope") else {
        return Ok(Vec::new());
    };
    let scope = values::texts(&value)?;
    for (index, name) in scope.iter().enumerate() {
        if scope[..index].contains(name) || known.contains(&name.as_str()) {
            return Err(value.error(format!("{name:?} comes twice, or has a meaning already")));
        }
        if !parts.contains(name) {
            names::check_parameter(name, &value, &[])?;
        }
    }
    if scope.is_empty() || parts.iter().all(|part| scope.contains(part)) {
        return Err(value.error("a scope has a name, and leaves a part of the id to the rows"));
    }
    Ok(scope)
}

/// The places of the parts of ids that are not in the scope.
fn ids(value: &TomlValue<'_>, count: usize) -> Result<Vec<FieldPlace>> {
    // Several pointers to one part are an array within the array, or in `at`.
    let places = if count == 1 {
        vec![values::field_place(value)?]
    } else {
        let places = value.array()?;
        let places: Result<Vec<_>> = places.iter().map(values::field_place).collect();
        places?
    };
    if places.len() == count {
        return Ok(places);
    }
    Err(value.error(format!(
        "the rows have {count} parts of the id: the array has as many places"
    )))
}

/// The time of the last change: a pointer to RFC 3339, or `{ at, as }`.
fn modified(value: &TomlValue<'_>) -> Result<TimeField> {
    let field = match value.as_table() {
        Some(table) => values::time_field(&table, "modified")?,
        None => TimeField {
            at: values::pointers(value)?,
            form: TimeForm::Rfc3339,
        },
    };
    match field.form {
        TimeForm::Seconds | TimeForm::Hours => {
            Err(value.error("a time is written as unix, unix-ms or rfc3339"))
        }
        _ => Ok(field),
    }
}

/// The fields of rows: a list of names, or a table of names and places.
fn fields(value: &TomlValue<'_>) -> Result<Vec<Field>> {
    let fields: Result<Vec<(String, FieldPlace, TomlValue<'_>)>> = match value.as_table() {
        Some(table) => table
            .entries()
            .map(|(name, value)| Ok((name.to_owned(), values::field_place(&value)?, value)))
            .collect(),
        None => value.array()?.into_iter().map(named_field).collect(),
    };
    let mut read: Vec<Field> = Vec::new();
    for (name, place, value) in fields? {
        let is_taken = RECORD_FIELDS.contains(&name.as_str());
        if is_taken || read.iter().any(|field| field.name == name) {
            return Err(value.error(format!("records have the field {name:?} already")));
        }
        let is_plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@');
        if !name.chars().all(is_plain) {
            return Err(value.error("the name of a field has letters, digits and _ - . $ @ only"));
        }
        read.push(Field { name, place });
    }
    Ok(read)
}

/// A field that rows have under its own name.
fn named_field(value: TomlValue<'_>) -> Result<(String, FieldPlace, TomlValue<'_>)> {
    let name = values::text(&value)?;
    let place = FieldPlace {
        at: Pointers(vec![Pointer::to_field(&name)]),
        is_last_segment: false,
    };
    Ok((name, place, value))
}

fn rows_route(table: &TomlTable<'_>, known: &[&str]) -> Result<RowsRoute> {
    let rows = table.get("rows");
    let only = table.get("only").map(|only| self::only(&only));
    let page = table.get("page").map(|page| page_size(&page));
    let paging = table
        .get("paging")
        .map(|paging| self::paging(&paging, known));
    let request = request::request(table, known)?;
    let paging = paging.transpose()?.unwrap_or(Paging::Single);
    if let Paging::Cursor(cursor) = &paging
        && cursor.place == CursorPlace::Json
        && request.method == Method::GET
    {
        return Err(table.error("a cursor in json needs method = \"POST\""));
    }
    Ok(RowsRoute {
        rows: values::pointer(&rows.map_or_else(|| table.need("rows"), Ok)?)?,
        only: only.transpose()?,
        page: page.transpose()?,
        error: values::optional_pointers(table, "error")?,
        request,
        paging,
    })
}

fn only(value: &TomlValue<'_>) -> Result<Only> {
    let table = value.table()?;
    table.check_keys("only", &["at", "equals"])?;
    Ok(Only {
        at: values::pointer(&table.need("at")?)?,
        equals: table.need("equals")?.json()?,
    })
}

fn page_size(value: &TomlValue<'_>) -> Result<PageSize> {
    let table = value.table()?;
    table.check_keys("page", &["parameter", "rows"])?;
    let rows = table.need("rows")?;
    match rows.integer()? {
        number @ 1..=MAX_PAGE_ROWS => Ok(PageSize {
            parameter: values::text(&table.need("parameter")?)?,
            rows: usize::try_from(number).unwrap_or(1),
        }),
        _ => Err(rows.error(format!("a number from 1 to {MAX_PAGE_ROWS} is expected"))),
    }
}

fn paging(value: &TomlValue<'_>, known: &[&str]) -> Result<Paging> {
    let table = value.table()?;
    let kinds = ["next", "link", "cursor", "page", "offset"].map(|kind| (kind, kind));
    if table.get("kind").is_none() {
        table.check_keys("paging", &PAGING_KEYS.split(' ').collect::<Vec<_>>())?;
    }
    let kind = table.need("kind")?.word(&kinds)?;
    let own: &[&str] = match kind {
        "next" => &["at", "follow", "total", "parameter", "first"],
        "link" => &[],
        "cursor" => &["at", "parameter", "in", "path", "json", "more"],
        _ => &["parameter", "first", "total", "total_header"],
    };
    table.check_keys(
        &format!("paging of the kind {kind}"),
        &[&["kind"], own].concat(),
    )?;
    Ok(match kind {
        "next" => next_paging(&table)?,
        "link" => Paging::Link,
        "cursor" => Paging::Cursor(Box::new(cursor(&table, known)?)),
        "page" => Paging::Page {
            parameter: values::text(&table.need("parameter")?)?,
            first: first(&table)?.unwrap_or(1),
            total: total(&table)?,
        },
        _ => Paging::Offset {
            parameter: values::text(&table.need("parameter")?)?,
            first: first(&table)?.unwrap_or(0),
            total: total(&table)?,
        },
    })
}

fn next_paging(table: &TomlTable<'_>) -> Result<Paging> {
    let follow = table.get("follow");
    let follow =
        follow.map(|follow| follow.word(&[("path", Follow::Path), ("query", Follow::Query)]));
    let parameter = values::optional_text(table, "parameter")?;
    let first = match (parameter, first(table)?) {
        (Some(parameter), number) => Some((parameter, number.unwrap_or(1))),
        (None, Some(_)) => {
            return Err(table
                .need("parameter")
                .err()
                .unwrap_or_else(|| table.error("parameter is missing")));
        }
        (None, None) => None,
    };
    Ok(Paging::Next {
        at: values::pointers(&table.need("at")?)?,
        follow: follow.transpose()?.unwrap_or(Follow::Path),
        total: total(table)?,
        first,
    })
}

fn cursor(table: &TomlTable<'_>, known: &[&str]) -> Result<Cursor> {
    let place = table.get("in");
    let place = place
        .map(|place| place.word(&[("query", CursorPlace::Query), ("json", CursorPlace::Json)]));
    let place = place.transpose()?.unwrap_or(CursorPlace::Query);
    let path = table.get("path").map(|path| values::path(&path, known));
    let json = table.get("json");
    if let Some(json) = json.as_ref().filter(|_| place == CursorPlace::Query) {
        return Err(json.error("only a cursor with in = \"json\" has another body"));
    }
    let json = json.map(|json| match values::json(&json, known)? {
        object @ JsonTemplate::Object(_) => Ok(object),
        _ => Err(json.error("a table is expected")),
    });
    let more = table.get("more").map(|more| values::pointer(&more));
    Ok(Cursor {
        at: values::pointers(&table.need("at")?)?,
        parameter: values::text(&table.need("parameter")?)?,
        place,
        more: more.transpose()?,
        path: path.transpose()?,
        json: json.transpose()?,
    })
}

fn first(table: &TomlTable<'_>) -> Result<Option<u64>> {
    let Some(value) = table.get("first") else {
        return Ok(None);
    };
    match u64::try_from(value.integer()?) {
        Ok(number @ 0..=1) => Ok(Some(number)),
        _ => Err(value.error("0 or 1 is expected")),
    }
}

fn total(table: &TomlTable<'_>) -> Result<Total> {
    match (table.get("total"), table.get("total_header")) {
        (Some(_), Some(header)) => Err(header.error("the total is in one place")),
        (Some(total), None) => Ok(Total::At(values::pointer(&total)?)),
        (None, Some(header)) => Ok(Total::Header(values::header_name(header.text()?, &header)?)),
        (None, None) => Ok(Total::Unknown),
    }
}

fn filters(value: &TomlValue<'_>, fields: &[Field]) -> Result<Vec<FilterRule>> {
    let table = value.table()?;
    let own = fields.iter().map(|field| field.name.as_str());
    let known: Vec<&str> = ["match", "since", "until", "larger-than"]
        .into_iter()
        .chain(own)
        .collect();
    table.check_keys("filters", &known)?;
    let filters = table.entries().map(|(name, value)| {
        Ok(FilterRule {
            of: match name {
                "match" => Filtered::Match,
                "since" => Filtered::Since,
                "until" => Filtered::Until,
                "larger-than" => Filtered::LargerThan,
                field => Filtered::Field(field.to_owned()),
            },
            server: server_filter(&value)?,
        })
    });
    filters.collect()
}

fn server_filter(value: &TomlValue<'_>) -> Result<ServerFilterRule> {
    let Some(table) = value.as_table() else {
        return values::text(value).map(ServerFilterRule::Parameter);
    };
    table.check_keys("a filter", &["parameter", "field", "operator", "json"])?;
    let parameter = values::text(&table.need("parameter")?)?;
    let Some(json) = table.get("json") else {
        return Ok(match values::optional_text(&table, "field")? {
            Some(field) => ServerFilterRule::Field {
                parameter,
                field,
                operator: values::optional_text(&table, "operator")?,
            },
            None => match table.get("operator") {
                Some(operator) => return Err(operator.error("an operator needs field")),
                None => ServerFilterRule::Parameter(parameter),
            },
        });
    };
    if let Some(other) = table.get("field").or_else(|| table.get("operator")) {
        return Err(other.error("a filter has json, or field and operator"));
    }
    let template = values::json(&json, &["value"])?;
    if !template.slots().contains(&"value") {
        return Err(json.error("the slot {value} is missing"));
    }
    match template {
        JsonTemplate::Object(fields) => Ok(ServerFilterRule::Json {
            parameter,
            json: fields,
        }),
        _ => Err(json.error("a table is expected")),
    }
}

/// The lookups in the key `lookup`.
pub(super) fn lookups(
    value: &TomlValue<'_>,
    known: &[&str],
    fields: &[Field],
) -> Result<Vec<Lookup>> {
    let table = value.table()?;
    let lookups = table.entries().map(|(name, value)| {
        let lookup = lookup(name, &value.table()?, known, fields)?;
        let is_taken =
            fields.iter().any(|field| field.name == name) || RECORD_FIELDS.contains(&name);
        if lookup.field.is_some() && is_taken {
            return Err(value.error(format!("records have the field {name:?} already")));
        }
        Ok(lookup)
    });
    lookups.collect()
}

fn lookup(name: &str, table: &TomlTable<'_>, known: &[&str], fields: &[Field]) -> Result<Lookup> {
    let keys = [&REQUEST_KEYS[..], &ROWS_KEYS, &LOOKUP_KEYS].concat();
    table.check_keys("a lookup", &keys)?;
    let field = match table.get("field") {
        None => None,
        Some(value) => Some(known_field(&value, fields)?),
    };
    let by_name = match table.get("filters") {
        None => None,
        Some(filters) => {
            let filters = filters.table()?;
            filters.check_keys("the filters of a lookup", &["name"])?;
            Some(server_filter(&filters.need("name")?)?)
        }
    };
    let pattern = table.get("id_pattern").map(|value| {
        let pattern = Regex::new(&format!("^(?:{})$", values::text(&value)?));
        pattern.map_err(|_| value.error("the regular expression cannot be used"))
    });
    Ok(Lookup {
        name: name.to_owned(),
        rows: rows_route(table, known)?,
        id: values::field_place(&table.need("id")?)?,
        named: values::pointers(&table.need("name")?)?,
        field,
        by_name,
        id_pattern: pattern.transpose()?,
    })
}

/// The name of a field that the rows have.
fn known_field(value: &TomlValue<'_>, fields: &[Field]) -> Result<String> {
    let words: Vec<(&str, &str)> = fields
        .iter()
        .map(|field| (field.name.as_str(), field.name.as_str()))
        .collect();
    value.word(&words).map(str::to_owned)
}

/// The options in the key `options`.
pub(super) fn options(
    value: &TomlValue<'_>,
    fields: &[Field],
    lookups: &[Lookup],
) -> Result<Vec<TableOption>> {
    let table = value.table()?;
    let options = table.entries().map(|(name, value)| {
        let option = value.table()?;
        option.check_keys("an option", &["field", "values", "resolve", "help"])?;
        names::check_option(name, &value)?;
        let lookup = option.get("resolve").map(|value| {
            let words: Vec<(&str, &str)> = lookups
                .iter()
                .map(|lookup| (lookup.name.as_str(), lookup.name.as_str()))
                .collect();
            value.word(&words).map(str::to_owned)
        });
        let words = option.get("values").map(|words| values::texts(&words));
        Ok(TableOption {
            name: name.to_owned(),
            field: known_field(&option.need("field")?, fields)?,
            values: words.transpose()?.unwrap_or_default(),
            lookup: lookup.transpose()?,
            help: values::optional_text(&option, "help")?,
        })
    });
    options.collect()
}
