//! The tables in the source tree.

use super::read;
use super::table::Table;
use crate::config::toml_file::TomlFile;
use crate::error::Result;
use std::sync::{Arc, LazyLock};

/// A table of the source tree.
struct Shipped {
    /// The name of the provider.
    name: &'static str,
    /// One table for each kind of things, once one of them is used.
    kinds: LazyLock<Vec<Arc<Table>>>,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(Shipped {
            name: $name,
            kinds: LazyLock::new(|| kinds($name, include_str!(concat!("tables/", $name, ".toml")))),
        }),*]
    };
}

/// Every table of the source tree.
static SHIPPED: [Shipped; 2] = shipped!["sm", "onecodex"];

/// Reads a table of the source tree. A test reads them all: none is wrong.
fn kinds(name: &str, text: &str) -> Vec<Arc<Table>> {
    let read = || -> Result<Vec<Table>> {
        let file = TomlFile::new(format!("{name}.toml"), text);
        let parsed = file.parse()?;
        read::provider(name, &file.root(&parsed))
    };
    let tables = read().unwrap_or_default();
    tables.into_iter().map(Arc::new).collect()
}

/// The names of the providers of the source tree, without a look at their tables.
pub(crate) fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|shipped| shipped.name)
}

/// The names of the parameters of a provider of the source tree; none where the source tree has no such provider.
pub(crate) fn parameter_names(provider: &str) -> Vec<String> {
    let mut shipped = SHIPPED.iter().filter(|shipped| shipped.name == provider);
    let table = shipped.next().and_then(|shipped| shipped.kinds.first());
    let parameters = table.map_or(&[][..], |table| &table.parameters);
    let names = parameters.iter().map(|parameter| parameter.name.clone());
    names.collect()
}

/// The table of a provider of the source tree, and of one kind of its things.
///
/// # Panics
/// When the source tree has no such table.
#[allow(
    clippy::expect_used,
    reason = "the callers go away with the tables in code"
)]
pub(super) fn kind(name: &str, kind: Option<&str>) -> Arc<Table> {
    let mut shipped = SHIPPED.iter();
    let shipped = shipped.find(|shipped| shipped.name == name);
    let mut kinds = shipped.into_iter().flat_map(|shipped| shipped.kinds.iter());
    let found = kinds.find(|table| table.kind.as_deref() == kind);
    Arc::clone(found.expect("the source tree has the table"))
}
