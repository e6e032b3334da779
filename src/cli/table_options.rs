//! The command-line options that tables of providers have, for `list` and `sync`.

use crate::provider::{Provider, TableOption};
use crate::resolve::filter::OwnFilter;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// An option of one table or of several ones.
struct SharedOption<'a> {
    name: &'a str,
    /// The tables that have the option, each with what it says of the option.
    owners: Vec<(&'a Provider, &'a TableOption)>,
}

/// Adds the options of the tables of `providers` to a command. An option that several tables have is one argument.
pub(super) fn add(command: Command, providers: &[Provider]) -> Command {
    let options = shared(providers);
    command.args(options.iter().map(SharedOption::argument))
}

/// What the user gives for these options.
pub(super) fn given(matches: &ArgMatches, providers: &[Provider]) -> Vec<OwnFilter> {
    let options = shared(providers);
    let filters = options.iter().filter_map(|option| {
        let values = matches.try_get_many::<String>(option.name).ok()??;
        Some(OwnFilter {
            option: option.name.to_owned(),
            values: values.cloned().collect(),
        })
    });
    filters.collect()
}

fn shared(providers: &[Provider]) -> Vec<SharedOption<'_>> {
    let mut found: Vec<SharedOption<'_>> = Vec::new();
    for provider in providers {
        for option in &provider.table.options {
            match found.iter_mut().find(|known| known.name == option.name) {
                Some(known) => known.owners.push((provider, option)),
                None => found.push(SharedOption {
                    name: &option.name,
                    owners: vec![(provider, option)],
                }),
            }
        }
    }
    found
}

impl SharedOption<'_> {
    fn argument(&self) -> Arg {
        let value_name = self.name.rsplit('-').next().unwrap_or(self.name);
        let takes_several = self.owners.iter().any(|(provider, option)| {
            let list = provider.table.list.as_ref();
            list.is_some_and(|list| list.has_several_values(&option.field))
        });
        let action = if takes_several {
            ArgAction::Append
        } else {
            ArgAction::Set
        };
        Arg::new(self.name.to_owned())
            .long(self.name.to_owned())
            .value_name(value_name.to_uppercase())
            .help(self.help())
            .help_heading(self.heading())
            .value_parser(self.value_parser())
            .action(action)
    }

    /// The values of all owners, or any text where one of them takes any.
    fn value_parser(&self) -> ValueParser {
        if self
            .owners
            .iter()
            .any(|(_, option)| option.values.is_empty())
        {
            return NonEmptyStringValueParser::new().into();
        }
        let mut values: Vec<String> = Vec::new();
        for value in self.owners.iter().flat_map(|(_, option)| &option.values) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        PossibleValuesParser::new(values).into()
    }

    fn heading(&self) -> String {
        let mut titles: Vec<&str> = Vec::new();
        for (provider, _) in &self.owners {
            if !titles.contains(&provider.table.title.as_str()) {
                titles.push(&provider.table.title);
            }
        }
        format!("Filters of {}", titles.join(" and "))
    }

    fn help(&self) -> String {
        let own = self
            .owners
            .iter()
            .find_map(|(_, option)| option.help.clone());
        own.unwrap_or_else(|| {
            let fields = self.owners.first().map(|(_, option)| option.field.as_str());
            let field = fields.unwrap_or(self.name);
            format!("Only documents whose {field} has this value")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::all;

    fn parse(arguments: &[&str]) -> Result<Vec<OwnFilter>, clap::Error> {
        let providers = all();
        let command = add(Command::new("list"), &providers).no_binary_name(true);
        let matches = command.try_get_matches_from(arguments)?;
        Ok(given(&matches, &providers))
    }

    #[test]
    fn an_option_of_a_table_is_a_filter() {
        let filter = |option: &str, values: &[&str]| OwnFilter {
            option: option.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let found = parse(&[
            "--company",
            "7",
            "--tag",
            "a",
            "--tag",
            "b",
            "--parse-state",
            "completed",
        ]);
        let expected = [
            filter("company", &["7"]),
            filter("parse-state", &["completed"]),
            filter("tag", &["a", "b"]),
        ];
        assert_eq!(found.unwrap(), expected);
        for wrong in [
            &["--company", ""][..],
            &["--company", "1", "--company", "2"],
            &["--source", "fax"],
            &["--scope", "x"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_option_of_two_tables_is_one_argument_with_the_values_of_both() {
        let mut providers = all();
        let mut other = providers[0].clone();
        let mut table = (*other.table).clone();
        table.title = "Other".to_owned();
        table.options.retain(|option| option.name == "source");
        table.options[0].values = vec!["scanner".to_owned()];
        other.table = table.into();
        providers.push(other);
        let command = add(Command::new("list"), &providers);
        let of = |name: &str| {
            command
                .get_arguments()
                .find(|arg| arg.get_id() == name)
                .unwrap()
        };
        let source = of("source");
        assert_eq!(
            source.get_help_heading(),
            Some("Filters of Standard Metrics and Other")
        );
        let values = source.get_possible_values();
        let values: Vec<&str> = values
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        assert!(
            values.contains(&"scanner") && values.contains(&"email"),
            "{values:?}"
        );
        assert_eq!(
            of("company").get_help_heading(),
            Some("Filters of Standard Metrics")
        );
    }
}
