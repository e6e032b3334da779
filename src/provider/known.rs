//! The providers that a process knows: those of the source tree, and those of the user's configuration file.
//!
//! Only the binary adds tables of the user. A user's table of a shipped name replaces that table whole.

use super::read;
use super::schema::Provider;
use super::shipped::{self, SHIPPED};
use super::table::Table;
use crate::config::toml_file::{TomlFile, TomlTable};
use crate::config::toml_sections;
use crate::error::{Code, Error, Result};
use crate::similar::nearest;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use toml::de::DeTable;

/// The configuration file of the user, parsed.
static USER_FILE: OnceLock<UserFile> = OnceLock::new();

/// A provider, or the error of its table.
#[derive(Debug)]
pub(crate) struct KnownProvider {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The line of the user's configuration file where the table begins, from 1. None for a table of the source tree.
    pub(crate) line: Option<usize>,
    /// The provider with its default kind, or why docfetch cannot use the user's table.
    pub(crate) provider: Result<Provider>,
}

#[derive(Debug)]
struct UserFile {
    file: &'static TomlFile,
    parsed: DeTable<'static>,
}

/// Adds the tables `[providers.NAME]` of the user's configuration file, which lives as long as the process, and returns
/// the root of the file. A second call adds nothing.
///
/// # Errors
/// [`Code::Config`] for a file that is not TOML.
pub(crate) fn add_user_tables(file: &'static TomlFile) -> Result<TomlTable<'static>> {
    let parsed = file.parse()?;
    Ok(USER_FILE.get_or_init(|| UserFile { file, parsed }).root())
}

impl UserFile {
    fn root(&'static self) -> TomlTable<'static> {
        self.file.root(&self.parsed)
    }
}

/// The user's table `providers`; none where the file has none.
///
/// # Errors
/// [`Code::Config`] for a value that is no table.
fn user_tables() -> Result<Option<TomlTable<'static>>> {
    let Some(user) = USER_FILE.get() else {
        return Ok(None);
    };
    let value = user.root().get("providers");
    value.map(|value| value.table()).transpose()
}

/// The text of a key in the section `[NAME]` of the user's configuration file; none without the key.
///
/// # Errors
/// [`Code::Config`] for a value that is no text.
pub(super) fn section_text(section: &str, key: &str) -> Result<Option<String>> {
    let Some(user) = USER_FILE.get() else {
        return Ok(None);
    };
    let Some(section) = user.root().get(section) else {
        return Ok(None);
    };
    let value = section.table()?.get(key);
    value
        .map(|value| value.text().map(str::to_owned))
        .transpose()
}

/// The names of all providers whose names can be used: those of the source tree, then the user's.
pub(crate) fn names() -> Vec<&'static str> {
    let shipped = SHIPPED.iter().map(|shipped| shipped.name);
    let user = user_tables().ok().flatten();
    let user: Vec<&str> = user
        .iter()
        .flat_map(|tables| tables.entries().map(|(name, _)| name))
        .collect();
    let mut seen = BTreeSet::new();
    let user = user
        .into_iter()
        .filter(|name| read::names::check_table(name).is_ok());
    let names = shipped.chain(user).filter(|name| seen.insert(*name));
    names.collect()
}

/// Every provider whose table can be used, with each kind of its things.
pub(crate) fn all() -> Vec<Provider> {
    let providers = names().into_iter().filter_map(|name| find(name).ok());
    providers
        .flat_map(|provider| provider.all_kinds())
        .collect()
}

/// The provider of this name, with its default kind.
///
/// # Errors
/// [`Code::Usage`] when there is no such provider, [`Code::Config`] when the user's table of it is wrong.
pub(crate) fn find(name: &str) -> Result<Provider> {
    let user = match user_tables() {
        Ok(tables) => tables.and_then(|tables| tables.get(name)),
        Err(error) => return Provider::shipped(name).map_err(|_| error),
    };
    match user {
        Some(value) => Provider::new(read::provider(name, &value.table()?)?),
        None => Provider::shipped(name),
    }
}

/// Every provider, those of the source tree first. A broken table of the user is an error of its own.
pub(crate) fn known_providers() -> Vec<KnownProvider> {
    let user = user_tables().ok().flatten();
    let line = |name: &str| Some(user.as_ref()?.get(name)?.line());
    let known = |name| KnownProvider {
        name,
        line: line(name),
        provider: find(name),
    };
    let usable = names();
    let tables = user.iter().flat_map(TomlTable::entries);
    let user_names: Vec<&'static str> = tables.map(|(name, _)| name).collect();
    // A name that no command can have is an error of its table, too.
    let others = user_names.iter().filter(|name| !usable.contains(name));
    usable
        .iter()
        .chain(others)
        .map(|name| known(name))
        .collect()
}

/// The table of this name as TOML for the configuration file: that of the user as the user wrote the table, else that of
/// the source tree.
///
/// # Errors
/// [`Code::Usage`] when there is no such provider.
pub(crate) fn toml_text(name: &str) -> Result<String> {
    let path = ["providers", name];
    let user = user_tables().ok().flatten();
    let is_user = user.is_some_and(|tables| tables.get(name).is_some());
    if let Some(user) = USER_FILE.get().filter(|_| is_user) {
        return Ok(toml_sections::extract(user.file.text(), &path));
    }
    let shipped = shipped::table(name).ok_or_else(|| unknown(name))?;
    Ok(toml_sections::below(shipped.text, &path))
}

/// What is wrong with the user's table of this name; none where there is no such table, and for a table that can be used.
pub(crate) fn table_error(name: &str) -> Option<Error> {
    let error = find(name).err();
    error.filter(|error| error.code() == Code::Config)
}

/// The error of a name that no provider has.
pub(crate) fn unknown(name: &str) -> Error {
    let names = names();
    let error = Error::new(Code::Usage, format!("there is no provider {name:?}"))
        .with_cause(format!("the providers are {}", names.join(", ")));
    match nearest(name, names) {
        Some(near) => error.with_hint(format!("the nearest name is {near:?}")),
        None => error.with_hint("`docfetch providers` lists them"),
    }
}

impl Provider {
    /// The provider of this name in the source tree, with its default kind. `docfetch providers` lists the names.
    ///
    /// # Errors
    /// [`Code::Usage`] when there is no such provider.
    pub fn shipped(name: &str) -> Result<Self> {
        let shipped = shipped::table(name).ok_or_else(|| unknown(name))?;
        Self::of_kinds(Arc::clone(shipped.kinds()))
    }

    /// The provider that the TOML text describes, with its default kind. `name` is the provider's name in records, and
    /// stands in errors for the name of the file.
    ///
    /// # Errors
    /// [`Code::Config`], with the line and the key, for text that does not describe a provider.
    pub fn from_toml(name: &str, text: &str) -> Result<Self> {
        let file = TomlFile::new(name, text);
        let parsed = file.parse()?;
        Self::new(read::provider(name, &file.root(&parsed))?)
    }

    fn new(kinds: Vec<Table>) -> Result<Self> {
        Self::of_kinds(kinds.into_iter().map(Arc::new).collect())
    }

    fn of_kinds(kinds: Arc<[Arc<Table>]>) -> Result<Self> {
        let Some(first) = kinds.first().map(Arc::clone) else {
            return Err(Error::new(Code::Config, "the table has no kind"));
        };
        Ok(Self::of_table(first, kinds))
    }

    fn of_table(table: Arc<Table>, kinds: Arc<[Arc<Table>]>) -> Self {
        Self {
            parameters: Vec::new(),
            identity: table.identity.clone(),
            base_host: None,
            table,
            kinds,
        }
    }

    /// The provider with this kind of its things.
    ///
    /// # Errors
    /// [`Code::Usage`] when the provider has no such kind.
    pub fn of_kind(&self, kind: &str) -> Result<Self> {
        let mut kinds = self.kinds.iter();
        let found = kinds.find(|table| table.kind.as_deref() == Some(kind));
        match found {
            Some(table) => {
                let of_kind = Self {
                    base_host: self.base_host.clone(),
                    ..Self::of_table(Arc::clone(table), Arc::clone(&self.kinds))
                };
                let mut set = self.parameters.iter();
                set.try_fold(of_kind, |kind, (name, value)| {
                    kind.with_parameter(name, value)
                })
            }
            None => Err(self.no_kind(kind)),
        }
    }

    fn no_kind(&self, kind: &str) -> Error {
        let names: Vec<&str> = self.kind_names().collect();
        let title = &self.table.title;
        let what = format!("{title} has no {kind}");
        if names.is_empty() {
            let things = format!("{title} has {}s only", self.table.thing);
            let what = if kind == self.default_kind_name() {
                &things
            } else {
                &what
            };
            return Error::new(Code::Usage, what)
                .with_cause(format!(
                    "--resource {kind} is for a provider with several kinds"
                ))
                .with_hint("run the command again without --resource");
        }
        let error = Error::new(Code::Usage, what);
        let error = error.with_cause(format!("the kinds for --resource are {}", names.join(", ")));
        match nearest(kind, names) {
            Some(near) => error.with_hint(format!("the nearest kind is {near:?}")),
            None => error,
        }
    }

    /// The names of the kinds of things that the provider has, the default one first. None for a provider with one kind.
    pub fn kind_names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().filter_map(|table| table.kind.as_deref())
    }

    /// The plural of the word for a thing: the name that a single kind would have.
    pub(crate) fn default_kind_name(&self) -> String {
        format!("{}s", self.table.thing)
    }

    /// The provider with each kind of its things.
    pub(crate) fn all_kinds(&self) -> Vec<Self> {
        let kinds = self.kinds.iter();
        let of = |table: &Arc<Table>| Self::of_table(Arc::clone(table), Arc::clone(&self.kinds));
        kinds.map(of).collect()
    }

    /// Whether this is the default kind, or the only one.
    pub(crate) fn is_default_kind(&self) -> bool {
        let first = self.kinds.first();
        first.is_some_and(|first| Arc::ptr_eq(first, &self.table))
    }
}
