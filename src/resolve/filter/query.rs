//! The filters of a request: what the server of a listing can compare.
//!
//! A server may compare in another way than docfetch. A filter goes to the server only where the server then
//! sends every row that matches here.

use super::{FieldFilter, Filter, OwnFilter};
use crate::provider::{Filtered, Listing, ServerFilterRule, Table, TableOption};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The filters of a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::resolve) struct FilterQuery {
    /// Query parameters.
    pub(in crate::resolve) pairs: Vec<(String, String)>,
    /// Whether a server that applies these parameters sends only rows that match.
    pub(in crate::resolve) is_exact: bool,
    /// The options whose values are ids of other things. The server may refuse an id that it does not know.
    pub(in crate::resolve) references: Vec<String>,
}

impl FilterQuery {
    /// The parameters for the filters that the server of a table's list has.
    pub(in crate::resolve) fn of(filter: &Filter, table: &Table) -> Self {
        let mut query = Builder::default();
        let Some(listing) = &table.list else {
            return query.build();
        };
        if let Some(name) = &filter.name {
            let rule = listing.server_filter(&Filtered::Match);
            query.add(rule.filter(|_| is_plain(name)), name.as_str().into());
        }
        if let Some(since) = filter.since {
            let rule = listing.server_filter(&Filtered::Since);
            query.add(rule, rfc3339(since).into());
        }
        if let Some(until) = filter.until {
            let rule = listing.server_filter(&Filtered::Until);
            query.add(rule, rfc3339(until).into());
        }
        for own in &filter.own {
            query.add_own(own, table, listing);
        }
        if let Some(size) = filter.larger_than {
            query.add(listing.server_filter(&Filtered::LargerThan), size.into());
            query.is_inexact = true; // the server's least size includes documents of that size
        }
        for field in &filter.fields {
            query.add_field(field, table, listing);
        }
        query.is_inexact |= !filter.include.is_empty() || !filter.exclude.is_empty();
        query.build()
    }

    /// The parameters for the things of a side list that have this name.
    pub(in crate::resolve) fn of_name(name: &str, rule: &ServerFilterRule) -> Self {
        let mut query = Builder::default();
        query.add(Some(rule), name.into());
        query.build()
    }
}

/// Whether every server finds this text in a name as docfetch does. Servers differ in the case of other letters
/// than ASCII, and take a backslash for an escape.
fn is_plain(text: &str) -> bool {
    text.is_ascii() && !text.contains('\\')
}

#[derive(Default)]
struct Builder {
    pairs: Vec<(String, String)>,
    /// The JSON objects in query parameters, by the parameters.
    objects: Vec<(String, Map<String, Value>)>,
    is_inexact: bool,
    references: Vec<String>,
}

impl Builder {
    /// Adds a filter, unless the server lacks the filter or compares the field already.
    fn add(&mut self, rule: Option<&ServerFilterRule>, value: Value) {
        self.add_values(rule, &[value]);
    }

    /// Adds a filter of several values, all of which a row has. A rule that takes one value gets the first one.
    fn add_values(&mut self, rule: Option<&ServerFilterRule>, values: &[Value]) {
        let (Some(rule), [first, others @ ..]) = (rule, values) else {
            self.is_inexact = true;
            return;
        };
        let is_added = match rule {
            ServerFilterRule::Parameter(name) => {
                others.is_empty() & self.add_pair(name, text_of(first))
            }
            ServerFilterRule::Field {
                parameter,
                field,
                operator,
            } => {
                let value = match operator {
                    None => first.clone(),
                    Some(operator) => Map::from_iter([(operator.clone(), first.clone())]).into(),
                };
                let fields = Map::from_iter([(field.clone(), value)]);
                others.is_empty() & self.add_object(parameter, fields)
            }
            ServerFilterRule::Json { parameter, json } => {
                let texts: Vec<String> = values.iter().map(text_of).collect();
                let takes_all = json.iter().any(|(_, value)| value.takes_several("value"));
                let fields = json.iter();
                let fields =
                    fields.map(|(name, value)| (name.clone(), value.fill_each("value", &texts)));
                let fields = fields.collect();
                (takes_all || others.is_empty()) & self.add_object(parameter, fields)
            }
        };
        self.is_inexact |= !is_added;
    }

    /// Adds a query parameter, unless the request has the parameter already. Returns whether it is new.
    fn add_pair(&mut self, name: &str, value: String) -> bool {
        let is_new = !self.pairs.iter().any(|(known, _)| known == name);
        if is_new {
            self.pairs.push((name.to_owned(), value));
        }
        is_new
    }

    /// Adds fields to the JSON object in a query parameter, unless the object has one of them already. Returns whether
    /// they are new.
    fn add_object(&mut self, parameter: &str, fields: Map<String, Value>) -> bool {
        let index = self
            .objects
            .iter()
            .position(|(known, _)| known == parameter);
        let Some(index) = index else {
            self.objects.push((parameter.to_owned(), fields));
            return true;
        };
        let object = &mut self.objects[index].1;
        let is_new = !fields.keys().any(|name| object.contains_key(name));
        if is_new {
            object.extend(fields);
        }
        is_new
    }

    fn add_own(&mut self, filter: &OwnFilter, table: &Table, listing: &Listing) {
        let Some(option) = table.option(&filter.option) else {
            return; // `Filter::check` refused it
        };
        let values: Vec<Value> = filter
            .values
            .iter()
            .map(|value| value.as_str().into())
            .collect();
        self.note_reference(option);
        let rule = listing.server_filter(&Filtered::Field(option.field.clone()));
        self.add_values(rule, &values);
    }

    /// Adds `--where`, where the server has a filter for the field and knows the value.
    fn add_field(&mut self, filter: &FieldFilter, table: &Table, listing: &Listing) {
        let rule = listing.server_filter(&Filtered::Field(filter.field.clone()));
        let (Some(rule), [wanted]) = (rule, filter.values.as_slice()) else {
            self.is_inexact = true;
            return;
        };
        let mut options = table.options.iter();
        let option = options.find(|option| option.field == filter.field);
        let is_known =
            !wanted.is_empty() && option.is_none_or(|option| is_value(option, wanted, table));
        if let Some(option) = option.filter(|_| is_known) {
            self.note_reference(option);
        }
        self.add(Some(rule).filter(|_| is_known), wanted.as_str().into());
    }

    /// Notes an option whose values are ids of other things.
    fn note_reference(&mut self, option: &TableOption) {
        if option.lookup.is_some() && !self.references.contains(&option.name) {
            self.references.push(option.name.clone());
        }
    }

    fn build(mut self) -> FilterQuery {
        for (parameter, object) in self.objects {
            self.pairs
                .push((parameter, Value::Object(object).to_string()));
        }
        FilterQuery {
            pairs: self.pairs,
            is_exact: !self.is_inexact,
            references: self.references,
        }
    }
}

/// Whether the server knows a value of an option's field: one of a few words, or an id where the table tells their form.
fn is_value(option: &TableOption, value: &str, table: &Table) -> bool {
    let has_pattern = |lookup: &&crate::provider::Lookup| lookup.id_pattern.is_some();
    match table.lookup_of(option).filter(has_pattern) {
        Some(lookup) => lookup.id_in(value) == Some(value),
        None => option.values.is_empty() || option.values.iter().any(|known| known == value),
    }
}

/// A value as a query parameter has it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time for a query: to the microsecond, the precision of the servers.
fn rfc3339(time: Timestamp) -> String {
    match time.subsec_nanosecond() % 1000 {
        0 => time.to_string(),
        _ => format!("{time:.6}"),
    }
}
