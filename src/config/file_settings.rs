//! The settings of the configuration file: for the whole file, and in the sections of providers and profiles.
//!
//! `cli/` passes in which options are keys, so that options have one definition. `provider/` reads the tables in
//! `[providers]`.

use super::network::{PROXY_FLAG, has_password};
use super::toml_file::{TomlTable, TomlValue};
use crate::error::{Error, Result};

/// The tables of providers.
const PROVIDERS: &str = "providers";
/// The sections of profiles.
const PROFILES: &str = "profiles";
/// In the table of a provider, the values that each user sets.
const PARAMETERS: &str = "parameters";
/// A key that contains one of these words, and is no setting, names a part of a credential.
const CREDENTIAL_WORDS: [&str; 11] = [
    "api-key",
    "apikey",
    "bearer",
    "client-id",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "token",
    "username",
];
/// What to do with a credential in the file.
const CREDENTIAL_HINT: &str = "remove the key; set the variable of the credential, or the variable that ends in _FILE \
                               and names a file (see docfetch PROVIDER --help)";

/// Checks that an option takes these texts, as on the command line. Says what docfetch expects, if not.
pub(crate) type CheckValue<'a> = &'a dyn Fn(&str, &[String]) -> Result<(), String>;

/// The keys that the file can have.
pub(crate) struct ConfigKeys<'a> {
    /// The options that are keys, by their long names.
    pub options: Vec<OptionKey>,
    /// The options that are no keys.
    pub other_options: Vec<OtherOption>,
    /// The names of the providers that docfetch ships.
    pub providers: Vec<&'a str>,
    /// The names of the parameters of a provider that docfetch ships: further keys of the provider's section.
    pub parameters: &'a dyn Fn(&str) -> Vec<String>,
    /// Checks a value.
    pub check: CheckValue<'a>,
}

/// An option that is a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionKey {
    /// The long option.
    pub name: String,
    /// What the option takes.
    pub kind: ValueKind,
    /// Whether the user can give the option several times. The file then has an array.
    pub repeats: bool,
}

/// What the value of an option is in the file. Text is always right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Text only: any text is a value, and a number or a boolean is a mistake.
    Text,
    /// A whole number, too.
    Number,
    /// True or false, too.
    Switch,
}

/// An option that is no key.
#[derive(Clone, Debug)]
pub(crate) struct OtherOption {
    /// The long option.
    pub name: String,
    /// The variable that sets the option, if there is one.
    pub variable: Option<String>,
}

/// A provider whose table is in the file.
#[derive(Clone, Debug)]
struct UserProvider {
    name: String,
    parameters: Vec<String>,
}

/// A setting of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileSetting {
    /// The long option, or the parameter of a provider.
    pub name: String,
    /// The value, as the user would write it on the command line. Several texts where the option repeats.
    pub texts: Vec<String>,
    /// The line of the value, from 1.
    pub line: usize,
}

/// All settings of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileSettings {
    /// What messages call the file. Empty without a file.
    pub file_name: String,
    general: Vec<FileSetting>,
    sections: Vec<ProviderSection>,
}

/// The section of a provider.
#[derive(Clone, Debug)]
struct ProviderSection {
    name: String,
    settings: Vec<FileSetting>,
}

impl FileSettings {
    /// Reads every section of the file.
    ///
    /// # Errors
    /// [`Code::Config`](crate::Code::Config), with the line and the key, for a key that is not in `keys`, for a value that
    /// the option does not take, and for a secret.
    pub(crate) fn parse(root: &TomlTable<'_>, keys: &ConfigKeys<'_>) -> Result<Self> {
        let mut sections = Sections {
            keys,
            user_providers: Vec::new(),
        };
        if let Some(tables) = root.get(PROVIDERS) {
            let mut user = user_providers(&tables.table()?);
            // No table has the name of another key of the file. `provider/` refuses such a name.
            let is_key =
                |name: &str| [PROVIDERS, PROFILES].contains(&name) || keys.option(name).is_some();
            user.retain(|provider| !is_key(&provider.name));
            sections.user_providers = user;
        }
        let mut settings = Self {
            file_name: root.file_name().to_owned(),
            ..Self::default()
        };
        for (name, value) in root.entries() {
            if sections.names().any(|known| known == name) {
                settings.sections.push(ProviderSection {
                    name: name.to_owned(),
                    settings: sections.of_provider(name, &value.table()?)?,
                });
            } else if name == PROFILES {
                sections.check_profiles(&value.table()?)?;
            } else if name != PROVIDERS {
                let names: Vec<&str> = sections.names().chain([PROFILES, PROVIDERS]).collect();
                let setting = keys.setting(root, name, &value, &names)?;
                settings.general.push(setting);
            }
        }
        Ok(settings)
    }

    /// Whether the file sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.general.is_empty()
            && self
                .sections
                .iter()
                .all(|section| section.settings.is_empty())
    }

    /// The setting of an option for a provider: in the provider's section, else for the whole file.
    pub(crate) fn get(&self, provider: Option<&str>, option: &str) -> Option<&FileSetting> {
        let section = provider.map_or(&[][..], |provider| self.section(provider));
        let mut settings = section.iter().chain(&self.general);
        settings.find(|setting| setting.name == option)
    }

    /// The settings in the section of a provider. None without a section.
    pub(crate) fn section(&self, provider: &str) -> &[FileSetting] {
        let mut sections = self.sections.iter();
        let section = sections.find(|section| section.name == provider);
        section.map_or(&[], |section| &section.settings)
    }

    /// Whether an option is set in the section of the provider.
    pub(crate) fn is_of_section(&self, provider: Option<&str>, option: &str) -> bool {
        let section = provider.map_or(&[][..], |provider| self.section(provider));
        section.iter().any(|setting| setting.name == option)
    }

    /// The providers that have a section, in the order of the file.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|section| section.name.as_str())
    }
}

/// The providers whose tables are in the file. `provider/` checks the tables.
fn user_providers(tables: &TomlTable<'_>) -> Vec<UserProvider> {
    let mut providers = Vec::new();
    for (name, value) in tables.entries() {
        // `provider/` tells what is wrong with a table, once the user names that table.
        let table = value.as_table();
        let parameters = table.and_then(|table| table.get(PARAMETERS));
        let parameters = parameters.and_then(|parameters| parameters.as_table());
        let parameters = parameters.map(|parameters| {
            let names = parameters.entries().map(|(name, _)| name.to_owned());
            names.collect()
        });
        providers.push(UserProvider {
            name: name.to_owned(),
            parameters: parameters.unwrap_or_default(),
        });
    }
    providers
}

/// The sections that the file can have.
struct Sections<'a> {
    keys: &'a ConfigKeys<'a>,
    user_providers: Vec<UserProvider>,
}

impl Sections<'_> {
    /// The names of all providers.
    fn names(&self) -> impl Iterator<Item = &str> {
        let user = self.user_providers.iter().map(|user| user.name.as_str());
        self.keys.providers.iter().copied().chain(user)
    }

    /// The parameters of a provider. A table of the user replaces the table that docfetch ships.
    fn parameters(&self, provider: &str) -> Vec<String> {
        let mut user = self.user_providers.iter();
        match user.find(|user| user.name == provider) {
            Some(user) => user.parameters.clone(),
            None => (self.keys.parameters)(provider),
        }
    }

    /// The settings in the section of a provider.
    fn of_provider(&self, name: &str, table: &TomlTable<'_>) -> Result<Vec<FileSetting>> {
        self.settings(table, || self.parameters(name))
    }

    /// Checks the sections of profiles, which may have the parameters of every provider.
    fn check_profiles(&self, profiles: &TomlTable<'_>) -> Result<()> {
        let parameters = || {
            self.names()
                .flat_map(|name| self.parameters(name))
                .collect()
        };
        for (_, profile) in profiles.entries() {
            self.settings(&profile.table()?, parameters)?;
        }
        Ok(())
    }

    /// The settings of a section. `parameters` reads tables, and is called for a key that is no option only.
    fn settings(
        &self,
        table: &TomlTable<'_>,
        parameters: impl Fn() -> Vec<String>,
    ) -> Result<Vec<FileSetting>> {
        let mut settings = Vec::new();
        for (name, value) in table.entries() {
            let is_option = self.keys.option(name).is_some();
            let parameters = if is_option { Vec::new() } else { parameters() };
            settings.push(if parameters.iter().any(|known| known == name) {
                FileSetting {
                    name: name.to_owned(),
                    texts: vec![value.text()?.to_owned()],
                    line: value.line(),
                }
            } else {
                let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
                self.keys.setting(table, name, &value, &parameters)?
            });
        }
        Ok(settings)
    }
}

impl ConfigKeys<'_> {
    /// The option that a key sets.
    fn option(&self, name: &str) -> Option<&OptionKey> {
        self.options.iter().find(|option| option.name == name)
    }

    /// The setting of an option. `others` are the further keys of the table.
    fn setting(
        &self,
        table: &TomlTable<'_>,
        name: &str,
        value: &TomlValue<'_>,
        others: &[&str],
    ) -> Result<FileSetting> {
        let Some(option) = self.option(name) else {
            return Err(self.unknown_key(table, name, others));
        };
        let texts = option.texts(value)?;
        if is_proxy(name) && texts.iter().any(|text| has_password(text)) {
            return Err(value
                .error("the URL has a password, and the configuration file holds no secret")
                .with_hint("remove the key; set the variable DOCFETCH_PROXY or HTTPS_PROXY"));
        }
        (self.check)(name, &texts).map_err(|why| value.error(why))?;
        Ok(FileSetting {
            name: name.to_owned(),
            texts,
            line: value.line(),
        })
    }

    /// Why the table has no key `name`, and what to do instead.
    fn unknown_key(&self, table: &TomlTable<'_>, name: &str, others: &[&str]) -> Error {
        if let Some(option) = self.other_options.iter().find(|known| known.name == name) {
            let what = format!("the option --{name} is no setting");
            let hint = match &option.variable {
                Some(variable) => format!("remove the key; give --{name}, or set {variable}"),
                None => format!("remove the key; give --{name} on the command line"),
            };
            return table
                .key_error(name, &what)
                .with_cause("the option belongs to a single run")
                .with_hint(hint);
        }
        if is_credential(name) {
            return table
                .key_error(name, "the key names a credential")
                .with_cause("the configuration file holds no secret")
                .with_hint(CREDENTIAL_HINT);
        }
        if matches!(name, "base" | "api-base") {
            let why = "the variable of a provider that ends in _API_BASE sets its base";
            return table.unknown_key(name, why, &[]);
        }
        let options = self.options.iter().map(|option| option.name.as_str());
        let known: Vec<&str> = options.chain(others.iter().copied()).collect();
        let is_table = |value: TomlValue<'_>| value.as_table().is_some();
        let (why, known) = if table.get(name).is_some_and(is_table) {
            let why = format!("the sections of the file are {}", others.join(", "));
            (why, others)
        } else {
            let why = "a key is the name of a long option, as in `jobs = 8` for --jobs 8";
            (why.to_owned(), &known[..])
        };
        table.unknown_key(name, why, known)
    }
}

impl OptionKey {
    /// The value as the user would write it on the command line.
    fn texts(&self, value: &TomlValue<'_>) -> Result<Vec<String>> {
        match value.as_array() {
            Some(elements) if self.repeats => {
                elements.iter().map(|element| self.text(element)).collect()
            }
            _ => Ok(vec![self.text(value)?]),
        }
    }

    fn text(&self, value: &TomlValue<'_>) -> Result<String> {
        if let Some(text) = value.as_text() {
            return Ok(text.to_owned());
        }
        match self.kind {
            ValueKind::Text => value.text().map(str::to_owned),
            ValueKind::Switch => value.boolean().map(|value| value.to_string()),
            ValueKind::Number => value.integer().map(|number| number.to_string()),
        }
    }
}

/// Whether a key names a part of a credential, such as `api_key` or `ONE_CODEX_API_KEY`.
fn is_credential(name: &str) -> bool {
    let name = name.to_lowercase().replace(['_', ' ', '.'], "-");
    CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
}

fn is_proxy(option: &str) -> bool {
    PROXY_FLAG.trim_start_matches('-') == option
}

#[cfg(test)]
mod tests;
