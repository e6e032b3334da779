//! Projects and tags of samples at One Codex. A row refers to each by its URI; a filter does, too.

use super::answer::{Answer, json};
use super::document::{Document, id_of};
use super::operators::text_comparison;
use super::page_request::PageRequest;
use super::state::SandboxState;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The routes of what samples refer to.
pub(super) const REFERENCED_KINDS: [&str; 2] = ["projects", "tags"];

/// `{"$ref": URI}` of the project or the tag of this name.
pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": uri(kind, name) })
}

fn uri(kind: &str, name: &str) -> String {
    format!("/api/v1/{kind}/{}", id_of(name))
}

/// The names of all projects or tags, sorted.
fn names<'a>(documents: &'a [Document], kind: &str) -> BTreeSet<&'a str> {
    let names = documents.iter().flat_map(|document| {
        let (project, tags) = (document.project.as_slice(), document.tags.as_slice());
        if kind == "projects" { project } else { tags }
    });
    names.map(String::as_str).collect()
}

/// Answers `GET /api/v1/projects` and `GET /api/v1/tags`.
pub(super) fn list(state: &SandboxState, kind: &str, query: &[(String, String)]) -> Answer {
    let parsed = PageRequest::parse(query, "per_page");
    let parsed = parsed.and_then(|(page, others)| Some((page, name_filter(&others)?)));
    let Some((page, matches)) = parsed else {
        return json(400, &json!({"message": "Invalid page or parameter."}));
    };
    let names = names(state.documents.all(), kind).into_iter();
    let (rows, count) = page.of(names.filter(|name| matches(name)));
    let rows = rows.into_iter().map(|name| {
        let mut row = json!({ "$uri": uri(kind, name), "name": name });
        if kind == "projects" {
            row["project_name"] = Value::Null;
            row["description"] = Value::Null;
            row["public"] = false.into();
        }
        row
    });
    let mut answer = json(200, &rows.collect());
    answer.headers_mut().insert("x-total-count", count.into());
    answer
}

/// The condition of `where={"name": …}`; none for any other parameter.
fn name_filter(query: &[&(String, String)]) -> Option<impl Fn(&str) -> bool + use<>> {
    let mut conditions = Vec::new();
    for (name, value) in query {
        if name != "where" {
            return None;
        }
        let fields: Map<String, Value> = serde_json::from_str(value).ok()?;
        for (field, wanted) in &fields {
            let (operator, wanted) = match wanted {
                Value::Object(object) if object.len() == 1 => object.iter().next()?,
                wanted => (&"$eq".to_owned(), wanted),
            };
            (field == "name").then_some(())?;
            conditions.push((text_comparison(operator)?, wanted.as_str()?.to_owned()));
        }
    }
    Some(move |name: &str| conditions.iter().all(|(holds, wanted)| holds(name, wanted)))
}

/// A condition of a filter that compares references.
#[derive(Debug)]
pub(super) enum ReferenceCondition {
    /// The project is one of these URIs; none is a sample without a project.
    Project(Vec<Option<String>>),
    /// The tags are all of these URIs.
    AllTags(Vec<String>),
    /// One of the tags is one of these URIs.
    AnyTag(Vec<String>),
}

impl ReferenceCondition {
    /// Whether the field of a sample is a reference.
    pub(super) fn is_of(field: &str) -> bool {
        matches!(field, "project" | "tags")
    }

    /// Parses the condition of a field. `None` for what the service refuses.
    pub(super) fn parse(field: &str, wanted: &Value) -> Option<Self> {
        let (operator, value) = match wanted {
            Value::Object(object) if !object.contains_key("$ref") => {
                (object.len() == 1).then_some(())?;
                let (operator, value) = object.iter().next()?;
                (operator.as_str(), value)
            }
            value => ("$eq", value),
        };
        let project = |value: &Value| match value {
            Value::Null => Some(None),
            value => uri_of(value, "projects").map(Some),
        };
        let tags = || -> Option<Vec<String>> {
            let tags = value.as_array()?.iter();
            tags.map(|tag| uri_of(tag, "tags")).collect()
        };
        Some(match (field, operator) {
            ("project", "$eq") => Self::Project(vec![project(value)?]),
            ("project", "$in") => {
                let projects = value.as_array()?.iter();
                Self::Project(projects.map(project).collect::<Option<_>>()?)
            }
            ("tags", "$containsall") => Self::AllTags(tags()?),
            ("tags", "$containsany") => Self::AnyTag(tags()?),
            _ => return None,
        })
    }

    /// Whether some document has each project and tag.
    pub(super) fn is_known(&self, documents: &[Document]) -> bool {
        let is_known = |kind, wanted: &String| {
            let mut known = names(documents, kind).into_iter();
            known.any(|name| uri(kind, name) == *wanted)
        };
        match self {
            Self::Project(uris) => uris.iter().flatten().all(|uri| is_known("projects", uri)),
            Self::AllTags(uris) | Self::AnyTag(uris) => {
                uris.iter().all(|uri| is_known("tags", uri))
            }
        }
    }

    /// Whether a document matches.
    pub(super) fn matches(&self, document: &Document) -> bool {
        let project = document.project.as_ref().map(|name| uri("projects", name));
        let tags: Vec<String> = document.tags.iter().map(|name| uri("tags", name)).collect();
        match self {
            Self::Project(wanted) => wanted.contains(&project),
            Self::AllTags(wanted) => wanted.iter().all(|uri| tags.contains(uri)),
            Self::AnyTag(wanted) => wanted.iter().any(|uri| tags.contains(uri)),
        }
    }
}

/// The URI of a reference to one of this `kind`.
fn uri_of(value: &Value, kind: &str) -> Option<String> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let uri = object.get("$ref")?.as_str()?;
    let id = uri.strip_prefix(&format!("/api/v1/{kind}/"))?;
    (!id.is_empty() && !id.contains('/')).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(project: Option<&str>, tags: &[&str]) -> Document {
        let document = project
            .into_iter()
            .fold(Document::new("a", "x"), Document::with_project);
        tags.iter().copied().fold(document, Document::with_tag)
    }

    #[test]
    fn references_are_compared_by_their_uris() {
        let (soil, sea) = (reference("projects", "Soil"), reference("projects", "Sea"));
        let (one, two) = (reference("tags", "one"), reference("tags", "two"));
        let documents = [
            document(Some("Soil"), &["one", "two"]),
            document(Some("Sea"), &["one"]),
            document(None, &[]),
        ];
        for (field, wanted, expected) in [
            ("project", soil.clone(), &[0][..]),
            ("project", json!({ "$eq": soil }), &[0]),
            ("project", json!({ "$in": [soil, sea] }), &[0, 1]),
            ("project", Value::Null, &[2]),
            ("project", json!({ "$in": [soil, null] }), &[0, 2]),
            ("tags", json!({ "$containsall": [one] }), &[0, 1]),
            ("tags", json!({ "$containsall": [one, two] }), &[0]),
            ("tags", json!({ "$containsall": [] }), &[0, 1, 2]),
            ("tags", json!({ "$containsany": [one, two] }), &[0, 1]),
        ] {
            let condition = ReferenceCondition::parse(field, &wanted).unwrap();
            let matching: Vec<usize> = (0..3)
                .filter(|at| condition.matches(&documents[*at]))
                .collect();
            assert_eq!(matching, expected, "{wanted}");
            assert!(condition.is_known(&documents));
        }
        let unknown = json!({ "$containsall": [one, reference("tags", "three")] });
        let condition = ReferenceCondition::parse("tags", &unknown).unwrap();
        assert!(!condition.is_known(&documents));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let (soil, one) = (reference("projects", "Soil"), reference("tags", "one"));
        for (field, wanted) in [
            ("project", json!("Soil")),
            ("project", one.clone()),
            ("project", json!({ "$ref": "/api/v1/projects/" })),
            ("project", json!({ "$ref": "/api/v1/projects/a/b" })),
            ("project", json!({ "$ref": "/api/v1/projects/a", "x": 1 })),
            ("project", json!({ "$containsall": [soil] })),
            ("project", json!({ "$eq": soil, "$in": [] })),
            ("tags", one.clone()),
            ("tags", json!([one])),
            ("tags", json!({ "$containsall": one })),
            ("tags", json!({ "$containsall": [soil] })),
            ("tags", json!({ "$in": [one] })),
        ] {
            assert!(
                ReferenceCondition::parse(field, &wanted).is_none(),
                "{wanted}"
            );
        }
    }
}
