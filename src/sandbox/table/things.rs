//! The documents of the sandbox as things of a service: their ids, and the values that fill the slots of requests.

use super::checksums::checksum_text;
use super::served::UnservableTable;
use crate::model::Rate;
use crate::provider::{
    BodyTemplate, ChecksumPlace, JsonTemplate, RequestTemplate, SlotValues, Table,
};
use crate::sandbox::document::Document;
use crate::sandbox::state::random;
use std::io;
use std::sync::Arc;

/// The host that the sandbox listens on.
const HOST: &str = "127.0.0.1";

/// The things of one kind of a service.
#[derive(Debug)]
pub(super) struct ServedKind {
    pub(super) table: Arc<Table>,
    pub(super) things: Vec<Thing>,
    /// The parameters of the user, with the values that the sandbox gives them.
    pub(super) parameters: Vec<(String, String)>,
    /// The parts of ids that all things share, and what else `--in` names.
    pub(super) shared: Vec<(String, String)>,
}

/// A document as a thing of one kind.
#[derive(Debug)]
pub(super) struct Thing {
    /// The number of the document in the sandbox.
    pub(super) index: usize,
    pub(super) document: Document,
    /// The parts of its id, by their names.
    pub(super) parts: Vec<(String, String)>,
    /// The values that the steps capture.
    pub(super) captures: Vec<(String, String)>,
}

impl Thing {
    /// Whether the thing is served in the first of two ways that a table allows. Every second one is.
    pub(super) fn is_even(&self) -> bool {
        self.index.is_multiple_of(2)
    }

    /// The id, as the user writes it.
    pub(super) fn id(&self, table: &Table) -> String {
        let last = self.parts.len() - 1;
        let parts = self.parts.iter().enumerate();
        let parts = parts.map(|(index, (_, value))| {
            if last == 0 || table.id.has_rest && index == last {
                value.clone()
            } else {
                value.replace('%', "%25").replace('/', "%2F")
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

impl ServedKind {
    /// The things of `table`, one for each of the documents.
    ///
    /// # Errors
    /// [`UnservableTable`] for a document that cannot be read.
    pub(super) fn new(table: &Arc<Table>, documents: &[Document]) -> Result<Self, UnservableTable> {
        let integers = integer_slots(table);
        let is_integer = |name: &str| integers.iter().any(|slot| slot == name);
        let value_of = |name: &str, number: usize| {
            if is_integer(name) {
                number.to_string()
            } else {
                format!("{name}-{number}")
            }
        };
        let parameters = table.parameters.iter().enumerate();
        let parameters = parameters.map(|(index, parameter)| {
            let value = value_of(&parameter.name, index + 1);
            (parameter.name.clone(), value)
        });
        let parameters = parameters.collect();
        let scope = table.list.as_ref().map_or(&[][..], |list| &list.scope);
        let all_but_last = &table.id.parts[..table.id.parts.len() - 1];
        let names = if scope.is_empty() {
            all_but_last
        } else {
            scope
        };
        let shared = names.iter().map(|name| (name.clone(), value_of(name, 1)));
        let mut kind = Self {
            shared: shared.collect(),
            parameters,
            things: Vec::new(),
            table: Arc::clone(table),
        };
        for (index, document) in documents.iter().enumerate() {
            let thing = kind.thing(index, document, &is_integer)?;
            kind.things.push(thing);
        }
        Ok(kind)
    }

    fn thing(
        &self,
        index: usize,
        document: &Document,
        is_integer: &dyn Fn(&str) -> bool,
    ) -> Result<Thing, UnservableTable> {
        let table = &self.table;
        let mut parts = Vec::new();
        for (position, name) in table.id.parts.iter().enumerate() {
            let is_last = position + 1 == table.id.parts.len();
            let value = if let Some(checksum) = checksum_in_part(table, document, name)? {
                checksum
            } else if let Some((_, value)) = self.shared.iter().find(|(shared, _)| shared == name) {
                value.clone()
            } else if is_integer(name) {
                (1001 + index).to_string()
            } else if is_last && table.id.has_rest {
                format!("files/{}", document.id)
            } else {
                document.id.clone()
            };
            parts.push((name.clone(), value));
        }
        let mut captures = Vec::new();
        for (name, _) in table.resolve.iter().flat_map(|step| &step.captures) {
            if captures.iter().any(|(known, _)| known == name) {
                continue;
            }
            let value = if is_integer(name) {
                (7001 + index).to_string()
            } else {
                random(12)?
            };
            captures.push((name.clone(), value));
        }
        Ok(Thing {
            index,
            document: document.clone(),
            parts,
            captures,
        })
    }

    /// The values of the slots: those of `thing`, where there is one.
    pub(super) fn values<'a>(&'a self, thing: Option<&'a Thing>) -> SlotValues<'a> {
        let mut values = SlotValues::default();
        values.add("base_host", HOST);
        if let Some(kind) = &self.table.kind {
            values.add("resource", kind.as_str());
        }
        for (name, value) in self.parameters.iter().chain(&self.shared) {
            values.add(name.as_str(), value.as_str());
        }
        let Some(thing) = thing else {
            return values;
        };
        let last = thing.parts.len() - 1;
        for (index, (name, value)) in thing.parts.iter().enumerate() {
            if self.table.id.has_rest && index == last {
                values.add_path(name.as_str(), value.as_str());
            } else {
                values.add(name.as_str(), value.as_str());
            }
        }
        for (name, value) in &thing.captures {
            values.add(name.as_str(), value.as_str());
        }
        values
    }

    /// The rates that the service keeps.
    pub(super) fn rates(&self) -> &[Rate] {
        &self.table.rates
    }
}

/// The checksum that is the part `name` of an id, where the table has one.
fn checksum_in_part(table: &Table, document: &Document, name: &str) -> io::Result<Option<String>> {
    let steps = table.resolve.iter().flat_map(|step| &step.checksums);
    let metadata = table.metadata.iter();
    let mut rules = steps.chain(metadata.flat_map(|metadata| &metadata.checksums));
    let rule = rules.find(|rule| matches!(&rule.place, ChecksumPlace::Part(part) if part == name));
    rule.map(|rule| checksum_text(rule, document)).transpose()
}

/// The slots of JSON bodies that take numbers.
fn integer_slots(table: &Table) -> Vec<String> {
    let steps = table.resolve.iter().map(|step| &step.request);
    let metadata = table.metadata.iter().map(|metadata| &metadata.request);
    let list = table.list.iter().map(|list| &list.rows.request);
    let mut found = Vec::new();
    for request in steps.chain(metadata).chain(list) {
        let request: &RequestTemplate = request;
        if let Some(BodyTemplate::Json(json)) = &request.body {
            add_integer_slots(json, &mut found);
        }
    }
    found
}

fn add_integer_slots(json: &JsonTemplate, found: &mut Vec<String>) {
    match json {
        JsonTemplate::Integer(slot) => found.push(slot.clone()),
        JsonTemplate::Array(elements) => {
            for element in elements {
                add_integer_slots(element, found);
            }
        }
        JsonTemplate::Object(fields) => {
            for (_, field) in fields {
                add_integer_slots(field, found);
            }
        }
        JsonTemplate::Fixed(_) | JsonTemplate::Text(_) => {}
    }
}
