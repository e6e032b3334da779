//! Whether a provider has what a filter compares.

use super::{FieldFilter, Filter, OwnFilter};
use crate::error::{Code, Error, Result};
use crate::provider::{Filtered, Listing, Provider, TableOption, all};
use crate::resolve::page_errors::no_list;
use crate::resolve::scope::Scope;

impl Filter {
    /// Checks that the provider has a list, and that its server or its rows have every field that this filter compares.
    ///
    /// # Errors
    /// [`Code::Usage`], with the provider and the option that it has no filter for, or the fields that its
    /// rows have.
    pub(crate) fn check(&self, provider: &Provider) -> Result<()> {
        let table = &provider.table;
        let Some(listing) = &table.list else {
            return Err(no_list(provider));
        };
        Scope::parse(self.scope.as_deref(), provider)?;
        for (option, is_given) in [
            ("match", self.name.is_some()),
            ("include", !self.include.is_empty()),
            ("exclude", !self.exclude.is_empty()),
            ("since", self.since.is_some()),
            ("until", self.until.is_some()),
            ("larger-than", self.larger_than.is_some()),
        ] {
            if is_given && !has(listing, option) {
                return Err(no_filter(provider, option));
            }
        }
        for own in &self.own {
            match table.option(&own.option) {
                Some(option) => check_values(option, own)?,
                None => return Err(no_filter(provider, &own.option)),
            }
        }
        let known = table.row_fields();
        let unknown = |filter: &&FieldFilter| !known.contains(&filter.field.as_str());
        match self.fields.iter().find(unknown) {
            Some(filter) => Err(unknown_field(provider, &filter.field, &known)),
            None => Ok(()),
        }
    }
}

/// Whether the server or the rows of a listing have what an option of every list compares.
fn has(listing: &Listing, option: &str) -> bool {
    let has_rule = |of| listing.server_filter(&of).is_some();
    match option {
        "match" => listing.name.is_some() || has_rule(Filtered::Match),
        "include" | "exclude" => listing.name.is_some(),
        "since" => listing.modified.is_some() || has_rule(Filtered::Since),
        "until" => listing.modified.is_some() || has_rule(Filtered::Until),
        "larger-than" => listing.size.is_some() || has_rule(Filtered::LargerThan),
        _ => false,
    }
}

/// Checks values that clap does not check, because another table has an option of the same name.
fn check_values(option: &TableOption, given: &OwnFilter) -> Result<()> {
    let is_known = |value: &&String| option.values.is_empty() || option.values.contains(value);
    let Some(wrong) = given.values.iter().find(|value| !is_known(value)) else {
        return Ok(());
    };
    let what = format!("invalid value {wrong:?} for '--{}'", option.name);
    let values = option.values.join(", ");
    Err(Error::new(Code::Usage, what).with_cause(format!("the values are {values}")))
}

/// The error of a field that rows do not have.
fn unknown_field(provider: &Provider, field: &str, known: &[&str]) -> Error {
    let table = &provider.table;
    let rows = match &table.kind {
        None => table.title.clone(),
        Some(kind) => format!("{} {kind}", table.title),
    };
    let list = known.join(", ");
    let hint = match similar_field(field, known) {
        Some(similar) => format!("a similar field is {similar:?}"),
        None => format!("`{} --json` shows the fields", provider.list_command()),
    };
    let what = format!("the rows of {rows} have no field {field:?}");
    Error::new(Code::Usage, what)
        .with_cause(format!("the fields for --where are {list}"))
        .with_hint(hint)
}

/// The field of `known` that the user may have meant with `field`, in any case: the same, or else one that begins so,
/// or else one that has `field` as a part.
pub(super) fn similar_field<'a>(field: &str, known: &[&'a str]) -> Option<&'a str> {
    let field = field.to_lowercase();
    let known = known.iter().map(|known| (known.to_lowercase(), *known));
    let similar = known.filter(|(lower, _)| !field.is_empty() && lower.contains(&field));
    let nearest = similar.min_by_key(|(lower, _)| (*lower != field, !lower.starts_with(&field)));
    nearest.map(|(_, known)| known)
}

/// The error of an option that neither the server nor the rows of `provider` have. Names the rows that have the option.
fn no_filter(provider: &Provider, option: &str) -> Error {
    let table = &provider.table;
    let title = &table.title;
    let error = Error::new(Code::Usage, format!("{title} has no filter --{option}"));
    let takes = |other: &Provider| {
        let list = other.table.list.as_ref();
        list.is_some_and(|list| has(list, option)) || other.table.option(option).is_some()
    };
    let (own, others): (Vec<Provider>, Vec<Provider>) = all()
        .into_iter()
        .filter(takes)
        .partition(|other| other.table.name == table.name);
    let own = own.iter().find_map(|other| other.table.kind.as_ref());
    if let (Some(kind), Some(other)) = (&table.kind, own) {
        return error
            .with_cause(format!("{kind} have no such field, {other} have"))
            .with_hint(format!("add --resource {other}"));
    }
    if let Some(other) = others.first() {
        return error
            .with_cause(format!("it is a filter of {}", other.table.title))
            .with_hint(format!("`{}` takes it", other.list_command()));
    }
    let why = format!("neither its server nor the rows of its list have what --{option} compares");
    let fields = table.row_fields().join(", ");
    error
        .with_cause(why)
        .with_hint(format!("--where compares these fields: {fields}"))
}
