//! The tables in the source tree.

use super::read;
use super::table::Table;
use crate::config::toml_file::TomlFile;
use crate::error::Result;
use std::sync::{Arc, OnceLock};

/// A table of the source tree.
pub(super) struct Shipped {
    /// The name of the provider.
    pub(super) name: &'static str,
    /// The TOML text.
    pub(super) text: &'static str,
    /// One table for each kind of things, read when one of them is used.
    kinds: OnceLock<Arc<[Arc<Table>]>>,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(Shipped {
            name: $name,
            text: include_str!(concat!("tables/", $name, ".toml")),
            kinds: OnceLock::new(),
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

/// The table of this name; none where the source tree has none.
pub(super) fn table(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

impl Shipped {
    /// One table for each kind of things. A test reads every table: none is wrong.
    pub(super) fn kinds(&self) -> &Arc<[Arc<Table>]> {
        self.kinds.get_or_init(|| {
            let tables = self.read().unwrap_or_default();
            tables.into_iter().map(Arc::new).collect()
        })
    }

    /// Reads the table.
    ///
    /// # Errors
    /// [`Code::Config`](crate::Code::Config) for a table that is wrong.
    fn read(&self) -> Result<Vec<Table>> {
        let file = TomlFile::new(format!("{}.toml", self.name), self.text);
        let parsed = file.parse()?;
        read::provider(self.name, &file.root(&parsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_source_tree_can_be_read() {
        for shipped in &SHIPPED {
            let (name, kinds) = (shipped.name, shipped.read().unwrap());
            assert!(kinds[0].source.is_some(), "{name} names no source");
        }
    }
}
