//! Values of one step's answer for the requests of the steps after it.

use crate::provider::SlotValues;
use crate::secret::{Secret, register_captured, stored};
use serde::{Deserialize, Serialize};

/// Captured values. They are secrets: each may open a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Captures(Vec<Capture>);

/// A captured value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Capture {
    /// The name of its slot.
    name: String,
    #[serde(with = "stored")]
    value: Secret,
}

impl Captures {
    /// Adds a value, and registers it as a secret.
    pub(super) fn add(&mut self, name: &str, value: String) {
        register_captured(&value);
        self.0.push(Capture {
            name: name.to_owned(),
            value: Secret::unregistered(value),
        });
    }

    /// Fills the slots of these names. Registers the values, which an earlier run may have recorded.
    pub(super) fn fill(&self, values: &mut SlotValues<'_>) {
        for Capture { name, value } in &self.0 {
            register_captured(value.expose());
            values.add(name.clone(), value.expose().to_owned());
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
