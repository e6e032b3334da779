//! What the user names with `--in`: parts of the ids of a list, and other values that its requests need.

use crate::error::{Code, Error, Result};
use crate::model::{DocumentId, IdForm};
use crate::provider::{Provider, SlotValues};

/// What all rows of a list have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Each name of the list's `scope`, in order.
    parts: Vec<ScopePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ScopePart {
    name: String,
    /// The place in an id. None for a value that fills templates only.
    index: Option<usize>,
    value: String,
    /// Whether the part is the rest of an id, whose slashes stay.
    is_rest: bool,
}

impl Scope {
    /// The scope that `given`, the value of `--in`, names for the list of `provider`.
    ///
    /// # Errors
    /// [`Code::Usage`] for a scope that the list does not have, or needs; and for a part that breaks a rule of ids.
    pub(crate) fn parse(given: Option<&str>, provider: &Provider) -> Result<Self> {
        let table = &provider.table;
        let names = table.list.as_ref().map_or(&[][..], |list| &list.scope);
        let form = names.join("/").to_uppercase();
        let Some(given) = given else {
            if names.is_empty() {
                return Ok(Self::default());
            }
            let what = format!("the list of {} needs --in {form}", table.title);
            return Err(Error::new(Code::Usage, what)
                .with_cause("the service lists only what is in one of them")
                .with_hint(format!("{} --in {form}", provider.list_command())));
        };
        if names.is_empty() {
            let what = format!("the list of {} has no --in", table.title);
            return Err(Error::new(Code::Usage, what)
                .with_cause("it lists everything that the account can see")
                .with_hint("run the command again without --in"));
        }
        let place = |name: &String| table.id.parts.iter().position(|part| part == name);
        let is_rest = |name: &String| table.id.has_rest && table.id.parts.last() == Some(name);
        let values = IdForm {
            parts: names.to_vec(),
            has_rest: names.last().is_some_and(is_rest),
        };
        let values = values.split(given).map_err(|why| {
            let what = format!("invalid value {given:?} for '--in <{form}>'");
            Error::new(Code::Usage, what)
                .with_cause(why.to_string())
                .with_hint("write a slash inside a part as %2F")
        })?;
        let parts = names.iter().zip(values).map(|(name, value)| ScopePart {
            index: place(name),
            is_rest: is_rest(name),
            name: name.clone(),
            value,
        });
        Ok(Self {
            parts: parts.collect(),
        })
    }

    /// Fills the slots of the scope's parts.
    pub(super) fn fill(&self, values: &mut SlotValues<'_>) {
        for part in &self.parts {
            if part.is_rest {
                values.add_path(part.name.clone(), part.value.clone());
            } else {
                values.add(part.name.clone(), part.value.clone());
            }
        }
    }

    /// The value of the part at this place of an id, as the id has it.
    pub(super) fn part(&self, index: usize) -> Option<String> {
        let part = self.parts.iter().find(|part| part.index == Some(index))?;
        Some(written(&part.value, part.is_rest))
    }

    /// Whether a document's id has these parts. A value that is no part of an id does not count.
    pub(crate) fn holds(&self, id: &DocumentId) -> bool {
        let parts: Vec<&str> = id.parts().collect();
        let has = |part: &ScopePart| match part.index {
            Some(index) => parts.get(index).is_some_and(|own| *own == part.value),
            None => true,
        };
        self.parts.iter().all(has)
    }
}

/// A part of an id as ids of several parts have it: a slash is `%2F`, unless the part is the rest of the id.
pub(super) fn written(part: &str, is_rest: bool) -> String {
    if is_rest {
        part.to_owned()
    } else {
        part.replace('/', "%2F")
    }
}
