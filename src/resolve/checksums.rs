//! The checksums of a document that an answer of the API tells.

use crate::http::headers::{Checksum, ExpectedChecksum};
use crate::model::DocumentId;
use crate::provider::{Algorithm, AlgorithmRule, ChecksumEncoding, ChecksumPlace, ChecksumRule};
use crate::provider::{Pointer, Table};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer that may tell checksums of the document `id`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChecksumAnswer<'a> {
    /// Its JSON; null where it has none.
    pub(super) json: &'a Value,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// The document.
    pub(super) id: &'a DocumentId,
}

impl ChecksumAnswer<'_> {
    /// The checksums that these rules of `table` find. Passes over what is absent, null, malformed, or of an algorithm
    /// that docfetch does not compute.
    pub(super) fn checksums(&self, table: &Table, rules: &[ChecksumRule]) -> Vec<ExpectedChecksum> {
        let mut found = Vec::new();
        for rule in rules {
            for checksum in self.checksums_by(table, rule) {
                if !found.contains(&checksum) {
                    found.push(checksum);
                }
            }
        }
        found
    }

    fn checksums_by(&self, table: &Table, rule: &ChecksumRule) -> Vec<ExpectedChecksum> {
        let one = |text: Option<&str>| {
            let algorithm = self.algorithm_at(rule, None);
            let checksum = text.and_then(|text| self.decode(rule, algorithm, text));
            checksum.into_iter().collect()
        };
        match &rule.place {
            ChecksumPlace::Header(name) => {
                let values = self.headers.get_all(name).into_iter();
                let mut values = values.filter_map(|value| value.to_str().ok());
                one(values.next())
            }
            ChecksumPlace::Part(part) => {
                let names = table.id.parts.iter();
                let part = names.zip(self.id.parts()).find(|(name, _)| *name == part);
                one(part.map(|(_, value)| value))
            }
            ChecksumPlace::At(pointers) => {
                let found = pointers.iter().map(|pointer| self.at(rule, pointer));
                found
                    .into_iter()
                    .find(|found| !found.is_empty())
                    .unwrap_or_default()
            }
        }
    }

    /// The checksums at one pointer, of which `*` stands for each element of an array.
    fn at(&self, rule: &ChecksumRule, pointer: &Pointer) -> Vec<ExpectedChecksum> {
        let value = |pointer: &Pointer, index| {
            let text = pointer.find(self.json)?.as_str()?;
            self.decode(rule, self.algorithm_at(rule, index), text)
        };
        match pointer.element_count(self.json) {
            Some(count) => (0..count)
                .filter_map(|index| value(&pointer.to_element(index), Some(index)))
                .collect(),
            None => value(pointer, None).into_iter().collect(),
        }
    }

    /// The algorithm that the answer names for a checksum; for the checksum of one element of an array, the one that
    /// the same element names.
    fn algorithm_at(&self, rule: &ChecksumRule, element: Option<usize>) -> Option<Algorithm> {
        match &rule.algorithm {
            AlgorithmRule::Fixed(algorithm) => Some(*algorithm),
            AlgorithmRule::Prefix => None,
            AlgorithmRule::At(pointers) => pointers.iter().find_map(|pointer| {
                let pointer = match element {
                    Some(index) => &pointer.to_element(index),
                    None => pointer,
                };
                let name = pointer.find(self.json)?.as_str()?;
                let algorithm = Algorithm::named(name);
                if algorithm.is_none() {
                    log::info!("docfetch does not compute the checksum {name}");
                }
                algorithm
            }),
        }
    }

    fn decode(
        &self,
        rule: &ChecksumRule,
        algorithm: Option<Algorithm>,
        text: &str,
    ) -> Option<ExpectedChecksum> {
        let (algorithm, text) = match rule.algorithm {
            AlgorithmRule::Prefix => {
                let (name, text) = text.split_once(':')?;
                (Algorithm::named(name.trim()), text)
            }
            AlgorithmRule::Fixed(_) | AlgorithmRule::At(_) => (algorithm, text),
        };
        let algorithm = computed(algorithm?);
        let checksum = match rule.encoding {
            ChecksumEncoding::Hex => ExpectedChecksum::from_hexadecimal(algorithm, text),
            ChecksumEncoding::Base64 => ExpectedChecksum::from_base64(algorithm, text),
        };
        if checksum.is_none() {
            let (id, name) = (self.id, algorithm.name());
            log::info!("the API tells no usable {name} of {id}: docfetch does not compare that");
        }
        checksum
    }
}

fn computed(algorithm: Algorithm) -> Checksum {
    match algorithm {
        Algorithm::Sha256 => Checksum::Sha256,
        Algorithm::Sha512 => Checksum::Sha512,
        Algorithm::Sha1 => Checksum::Sha1,
        Algorithm::Md5 => Checksum::Md5,
        Algorithm::Crc32c => Checksum::Crc32c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::table_of;
    use serde_json::json;

    /// The checksums that a table with this `checksum` reads from an answer, as the names of their algorithms and the
    /// first byte of each.
    fn found(checksum: &str, answer: &Value) -> Vec<(&'static str, u8)> {
        let text = format!(
            "base = 'https://a.example'\nid = ['repo', 'oid']\nauth = {{ type = 'none' }}\n\
             resolve = {{ path = '/x/{{repo}}/{{oid}}', url = '/url' }}\n\
             metadata = {{ path = '/y', size = ['/n', '/size'], checksum = {checksum} }}"
        );
        let table = table_of("lab", &text);
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let id = DocumentId::parse_parts(&format!("r/{md5}"), &table.id).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-sum", "4wb/vg==".parse().unwrap());
        let answer = ChecksumAnswer {
            json: answer,
            headers: &headers,
            id: &id,
        };
        let rules = &table.metadata.as_ref().unwrap().checksums;
        let found = answer.checksums(&table, rules);
        let named = found
            .iter()
            .map(|found| (found.algorithm.name(), found.value[0]));
        named.collect()
    }

    const SHA1: &str = "A9993e364706816aba3e25717850c26c9cd0d89d";

    #[test]
    fn a_checksum_is_found_at_each_place() {
        let answer =
            json!({"sum": SHA1, "kind": "SHA-1", "digest": format!("sha1:{SHA1}"), "none": null});
        for (rule, expected) in [
            ("{ at = '/sum', algorithm = 'sha1' }", vec![("SHA-1", 0xa9)]),
            (
                "{ at = ['/none', '/sum'], algorithm = 'sha1' }",
                vec![("SHA-1", 0xa9)],
            ),
            (
                "{ at = ['/kind', '/sum'], algorithm = 'sha1' }",
                vec![("SHA-1", 0xa9)],
            ),
            (
                "{ at = '/sum', algorithm_at = '/kind' }",
                vec![("SHA-1", 0xa9)],
            ),
            (
                "{ at = '/digest', encoding = 'prefixed' }",
                vec![("SHA-1", 0xa9)],
            ),
            (
                "{ header = 'X-Sum', algorithm = 'crc32c', encoding = 'base64' }",
                vec![("CRC-32C", 0xe3)],
            ),
            ("{ part = 'oid', algorithm = 'md5' }", vec![("MD5", 0x90)]),
            (
                "[{ part = 'oid', algorithm = 'md5' }, { at = '/sum', algorithm = 'sha1' }]",
                vec![("MD5", 0x90), ("SHA-1", 0xa9)],
            ),
        ] {
            assert_eq!(found(rule, &answer), expected, "{rule}");
        }
    }

    #[test]
    fn what_is_no_usable_checksum_is_passed_over() {
        let answer = json!({"sum": SHA1, "kind": "blake3", "digest": "blake3:00", "plain": SHA1, "none": null, "part": "00-2"});
        for rule in [
            "{ at = '/none', encoding = 'prefixed' }",
            "{ at = '/absent', algorithm = 'sha1' }",
            "{ at = '/sum', algorithm = 'sha256' }",
            "{ at = '/part', algorithm = 'md5' }",
            "{ at = '/sum', algorithm_at = '/kind' }",
            "{ at = '/sum', algorithm_at = '/none' }",
            "{ at = '/digest', encoding = 'prefixed' }",
            "{ at = '/plain', encoding = 'prefixed' }",
            "{ header = 'X-None', algorithm = 'crc32c', encoding = 'base64' }",
            "{ part = 'repo', algorithm = 'md5' }",
        ] {
            assert_eq!(found(rule, &answer), [], "{rule}");
        }
    }

    #[test]
    fn each_element_of_an_array_has_its_own_algorithm() {
        let answer = json!({"checksums": [
            {"type": "trunc512", "checksum": "00"},
            {"checksum": "11"},
            {"type": "SHA-1", "checksum": SHA1},
            {"type": "md5", "checksum": "900150983cd24fb0d6963f7d28e17f72"},
            {"type": "md5"},
        ]});
        let rule = "{ at = '/checksums/*/checksum', algorithm_at = '/checksums/*/type' }";
        assert_eq!(found(rule, &answer), [("SHA-1", 0xa9), ("MD5", 0x90)]);
        let rule = "{ at = '/checksums/[type=md5]/checksum', algorithm = 'md5' }";
        assert_eq!(found(rule, &answer), [("MD5", 0x90)]);
    }
}
