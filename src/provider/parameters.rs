//! The values that each user sets for a provider's parameters, such as a tenant.

use super::known;
use super::schema::Provider;
use super::table::Parameter;
use super::template::SlotValues;
use crate::config::variables;
use crate::error::{Code, Error, Result};

impl Provider {
    /// Sets a parameter of the provider's table, such as a tenant. A parameter stands in paths, queries and the like of
    /// requests.
    ///
    /// # Errors
    /// [`Code::Usage`] for a name that no parameter has, and for a value that is empty, `.` or `..`, or has a control
    /// character.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Result<Self> {
        let title = &self.table.title;
        let known = &self.table.parameters;
        if !known.iter().any(|parameter| parameter.name == name) {
            let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
            let error = Error::new(Code::Usage, format!("{title} has no parameter {name:?}"));
            return Err(match names.as_slice() {
                [] => error,
                names => error.with_cause(format!("its parameters are {}", names.join(", "))),
            });
        }
        let why = if value.is_empty() || value.chars().any(char::is_control) {
            Some("the value is empty, or has a control character")
        } else if matches!(value, "." | "..") {
            // The value may be a segment of a path.
            Some("'.' and '..' stand for folders")
        } else {
            None
        };
        if let Some(why) = why {
            let what = format!("the value of the parameter {name:?} cannot be used");
            let variable = known.iter().find(|parameter| parameter.name == name);
            let variable = variable.map_or(name, |parameter| &parameter.variable);
            let section = &self.table.name;
            return Err(Error::new(Code::Usage, what)
                .with_cause(why)
                .with_hint(format!(
                    "correct {variable}, or {name} below [{section}] in the configuration file"
                )));
        }
        let is_default =
            |known: &Parameter| known.name == name && known.default.as_deref() == Some(value);
        let is_default = known.iter().any(is_default);
        self.parameters.retain(|(set, _)| set != name);
        if !is_default {
            self.parameters.push((name.to_owned(), value.to_owned()));
        }
        // The same id at another tenant is another document. The order of the calls does not matter.
        self.parameters.sort();
        let mut identity = self.table.identity.clone();
        for (name, value) in &self.parameters {
            identity.push_str(&format!("\n{name}={value}"));
        }
        self.identity = identity;
        Ok(self)
    }

    /// The provider with the parameters that the environment sets, or else the provider's section of the user's
    /// configuration file.
    ///
    /// # Errors
    /// [`Code::Config`] for a value that is not UTF-8 or not text; as [`Provider::with_parameter`].
    pub(crate) fn with_user_parameters(self) -> Result<Self> {
        let parameters = self.table.parameters.clone();
        let mut provider = self;
        for parameter in parameters {
            let value = match variables::value(&parameter.variable)? {
                None => known::section_text(&provider.table.name, &parameter.name)?,
                value => value,
            };
            if let Some(value) = value {
                provider = provider.with_parameter(&parameter.name, &value)?;
            }
        }
        Ok(provider)
    }

    /// Checks that each parameter has a value that needs one.
    ///
    /// # Errors
    /// [`Code::Config`], with the variable of a parameter without a value.
    pub(crate) fn check_parameters(&self) -> Result<()> {
        let is_set = |name: &str| self.parameters.iter().any(|(set, _)| set == name);
        let mut needed = self.table.parameters.iter();
        let missing = needed.find(|known| known.is_required && !is_set(&known.name));
        let Some(missing) = missing else {
            return Ok(());
        };
        let (title, name, variable) = (&self.table.title, &missing.name, &missing.variable);
        let section = &self.table.name;
        Err(Error::new(
            Code::Config,
            format!("{title} needs the parameter {name:?}"),
        )
        .with_cause(format!(
            "{variable} is not set, and [{section}] in the configuration file has no {name}"
        ))
        .with_hint(format!(
            "set {variable}, or write {name} = \"…\" below [{section}]"
        )))
    }

    /// Adds the values of the parameters to the slots: a parameter that the user does not set has its default, else it is
    /// empty.
    pub(crate) fn add_parameters<'a>(&'a self, values: &mut SlotValues<'a>) {
        for parameter in &self.table.parameters {
            let mut set = self.parameters.iter();
            let value = set.find(|(name, _)| *name == parameter.name);
            let default = parameter.default.as_deref().unwrap_or_default();
            let value = value.map_or(default, |(_, value)| value);
            values.add(parameter.name.as_str(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        let text = r#"
            base = "https://graph.example"
            auth = { type = "none" }
            parameters = { tenant = { required = true }, region = {} }
            resolve = { path = "/{tenant}/{id}", url = "redirect" }
        "#;
        Provider::from_toml("graph", text).unwrap()
    }

    #[test]
    fn a_parameter_is_a_part_of_the_identity_whatever_the_order() {
        let set = |names: [(&str, &str); 2]| {
            let of = |provider: Provider, (name, value): (&str, &str)| {
                provider.with_parameter(name, value).unwrap()
            };
            names.into_iter().fold(provider(), of).identity
        };
        let (tenant, region) = (("tenant", "t"), ("region", "r"));
        assert_eq!(set([tenant, region]), set([region, tenant]));
        assert_ne!(set([tenant, region]), set([("tenant", "u"), region]));
        assert_eq!(provider().identity, "graph");
    }

    #[test]
    fn a_parameter_has_its_default_and_setting_the_same_value_changes_nothing() {
        let text = r#"
            base = "https://box.example"
            auth = { type = "none" }
            parameters = { folder = { default = "0" } }
            resolve = { path = "/{folder}/{id}", url = "redirect" }
        "#;
        let provider = || Provider::from_toml("box", text).unwrap();
        let folder = |provider: &Provider| {
            let mut values = SlotValues::default();
            provider.add_parameters(&mut values);
            values.get("folder").map(str::to_owned)
        };
        assert_eq!(folder(&provider()).as_deref(), Some("0"));
        let same = provider().with_parameter("folder", "0").unwrap();
        assert_eq!(same.identity, provider().identity);
        let other = provider().with_parameter("folder", "7").unwrap();
        assert_eq!(folder(&other).as_deref(), Some("7"));
        assert_ne!(other.identity, provider().identity);
        let back = other.with_parameter("folder", "0").unwrap();
        assert_eq!(back.identity, provider().identity);
        let both = text.replace("default = ", "required = true, default = ");
        assert!(Provider::from_toml("box", &both).is_err());
    }

    #[test]
    fn a_parameter_that_is_needed_is_named_with_its_variable() {
        let error = provider().check_parameters().unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(
            error.message().contains("GRAPH_TENANT is not set"),
            "{error}"
        );
        let set = provider().with_parameter("tenant", "t").unwrap();
        assert!(set.check_parameters().is_ok());
        assert!(provider().with_parameter("other", "t").is_err());
        for wrong in ["a\nb", "", ".", ".."] {
            assert!(
                provider().with_parameter("tenant", wrong).is_err(),
                "{wrong:?}"
            );
        }
    }
}
