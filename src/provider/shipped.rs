//! The tables in the source tree.

use super::read;
use super::table::Table;
use crate::config::toml_file::TomlFile;
use crate::error::Result;
use std::sync::{Arc, LazyLock};

/// A table of the source tree.
pub(super) struct Shipped {
    /// The name of the provider.
    pub(super) name: &'static str,
    /// The TOML text.
    pub(super) text: &'static str,
    /// One table for each kind of things, read when one of them is used.
    kinds: LazyLock<Arc<[Arc<Table>]>>,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(Shipped {
            name: $name,
            text: include_str!(concat!("tables/", $name, ".toml")),
            kinds: LazyLock::new(|| kinds($name, include_str!(concat!("tables/", $name, ".toml")))),
        }),*]
    };
}

/// Every table of the source tree.
pub(super) static SHIPPED: [Shipped; 8] = shipped![
    "sm",
    "onecodex",
    "box",
    "dnanexus",
    "drs",
    "dropbox",
    "github",
    "sevenbridges"
];

impl Shipped {
    /// One table for each kind of things.
    pub(super) fn kinds(&self) -> &Arc<[Arc<Table>]> {
        &self.kinds
    }
}

/// Reads a table of the source tree. A test reads them all: none is wrong.
fn kinds(name: &str, text: &str) -> Arc<[Arc<Table>]> {
    let read = || -> Result<Vec<Table>> {
        let file = TomlFile::new(format!("{name}.toml"), text);
        let parsed = file.parse()?;
        read::provider(name, &file.root(&parsed))
    };
    let tables = read().unwrap_or_default();
    tables.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_source_tree_can_be_read() {
        for Shipped { name, text, .. } in &SHIPPED {
            let file = TomlFile::new(*name, *text);
            let parsed = file.parse().unwrap();
            let kinds = read::provider(name, &file.root(&parsed)).unwrap();
            assert!(kinds[0].source.is_some(), "{name} names no source");
        }
    }
}
