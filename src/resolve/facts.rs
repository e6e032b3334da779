//! What an answer of the API tells of a document, by the places that a table names.

use super::checksums::ChecksumAnswer;
use crate::http::DocumentFacts;
use crate::provider::{
    AlgorithmRule, ChecksumPlace, ChecksumRule, MetadataRoute, Pointer, Pointers, Step, Table,
};
use crate::secret::register_public;
use crate::text::LARGEST_SIZE;
use serde_json::Value;

/// Where an answer tells of a document.
#[derive(Clone, Copy)]
pub(super) struct FactPlaces<'a> {
    name: Option<&'a Pointers>,
    size: Option<&'a Pointers>,
    checksums: &'a [ChecksumRule],
}

impl<'a> From<&'a Step> for FactPlaces<'a> {
    fn from(step: &'a Step) -> Self {
        Self {
            name: step.name.as_ref(),
            size: step.size.as_ref(),
            checksums: &step.checksums,
        }
    }
}

impl<'a> From<&'a MetadataRoute> for FactPlaces<'a> {
    fn from(route: &'a MetadataRoute) -> Self {
        Self {
            name: route.name.as_ref(),
            size: route.size.as_ref(),
            checksums: &route.checksums,
        }
    }
}

impl<'a> FactPlaces<'a> {
    /// The places of the name and of the size.
    pub(super) fn name_and_size(self) -> impl Iterator<Item = Vec<&'a Pointer>> {
        let places = [self.name, self.size].into_iter().flatten();
        places.map(|at| at.iter().collect())
    }

    /// The places of the checksums and of their algorithms.
    pub(super) fn checksums(self) -> impl Iterator<Item = Vec<&'a Pointer>> {
        let values = self.checksums.iter().filter_map(|rule| match &rule.place {
            ChecksumPlace::At(at) => Some(at),
            ChecksumPlace::Header(_) | ChecksumPlace::Part(_) => None,
        });
        let algorithms = self
            .checksums
            .iter()
            .filter_map(|rule| match &rule.algorithm {
                AlgorithmRule::At(at) => Some(at),
                AlgorithmRule::Fixed(_) | AlgorithmRule::Prefix => None,
            });
        values.chain(algorithms).map(|at| at.iter().collect())
    }

    /// What an answer tells: the name, the size in bytes as a number or as text, the checksums.
    pub(super) fn read(self, table: &Table, answer: ChecksumAnswer<'_>) -> DocumentFacts {
        let json = answer.json;
        let name = self.name.and_then(|name| name.text(json));
        if let Some(name) = &name {
            register_public(name);
        }
        let bytes = |value: &Value| match value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        let size = self.size.and_then(|size| size.find_map(json, bytes));
        DocumentFacts {
            name,
            size: size.filter(|size| *size <= LARGEST_SIZE),
            checksums: answer.checksums(table, self.checksums),
        }
    }
}
