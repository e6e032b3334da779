//! Templates for file names, such as `{stem}-{id}.{ext}`.

use crate::fetch::target::naming::{as_component, from_id, safe, split};
use crate::model::DocumentId;

/// A template for file names: text and fields.
///
/// | field | value |
/// | --- | --- |
/// | `{id}` | the document's id |
/// | `{name}` | the document's own name, made safe |
/// | `{stem}` | that name without its extension |
/// | `{ext}` | that name's extension, without the dot |
/// | `{provider}` | the provider's name |
///
/// The templates of a mirror have further fields, which the rows of the listing fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Id,
    Name,
    Stem,
    Extension,
    Provider,
    /// A field that the row of a listing fills.
    RowField(String),
}

impl Default for Template {
    /// `{name}`: the document's own name.
    fn default() -> Self {
        Self(vec![TemplatePart::Name])
    }
}

/// The fields of every template, for messages.
const FIELDS_OF_ALL: &str = "{id} {name} {stem} {ext} {provider}";

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, &[])
    }

    /// Parses a template that may have the fields `row_fields` as well. [`Template::with`] fills them.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub(crate) fn parse_with(text: &str, row_fields: &[&str]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.contains(['/', '\\']) {
            return Err("it contains a path separator; folders are named with --output-dir".into());
        }
        let fields = row_fields.iter().map(|field| format!(" {{{field}}}"));
        let fields: String = std::iter::once(FIELDS_OF_ALL.to_owned())
            .chain(fields)
            .collect();
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                parts.push(TemplatePart::Text(rest[..at].to_owned()));
            }
            let Some(end) = rest[at..].find('}').filter(|end| *end > 0) else {
                return Err(format!(
                    "a brace has no matching brace; fields are {fields}"
                ));
            };
            parts.push(match &rest[at + 1..at + end] {
                "id" => TemplatePart::Id,
                "name" => TemplatePart::Name,
                "stem" => TemplatePart::Stem,
                "ext" => TemplatePart::Extension,
                "provider" => TemplatePart::Provider,
                other if row_fields.contains(&other) => TemplatePart::RowField(other.to_owned()),
                other => {
                    return Err(format!(
                        "{{{other}}} is not a field; the fields are {fields}"
                    ));
                }
            });
            rest = &rest[at + end + 1..];
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether the file name depends on the document's own name.
    pub(crate) fn needs_name(&self) -> bool {
        self.0.iter().any(|part| {
            matches!(
                part,
                TemplatePart::Name | TemplatePart::Stem | TemplatePart::Extension
            )
        })
    }

    /// The fields that rows of a listing fill.
    pub(crate) fn row_fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::RowField(field) => Some(field.as_str()),
            _ => None,
        })
    }

    /// The template with the values of a row in place of its row fields.
    #[must_use]
    pub(crate) fn with(&self, value_of: &dyn Fn(&str) -> String) -> Self {
        let fill = |part: &TemplatePart| match part {
            TemplatePart::RowField(field) => TemplatePart::Text(as_component(&value_of(field))),
            part => part.clone(),
        };
        Self(self.0.iter().map(fill).collect())
    }

    /// The file name of the document `id`, whose own safe name is `name`. The id is the file name when the
    /// filled template is no safe name.
    pub(crate) fn file_name(&self, id: &DocumentId, name: &str, provider: &str) -> String {
        let filled = self.fill(id, name, provider);
        filled.unwrap_or_else(|| from_id(id, None))
    }

    /// The filled template as a safe name. `None` if no character of it is left.
    pub(crate) fn fill(&self, id: &DocumentId, name: &str, provider: &str) -> Option<String> {
        let (stem, extension) = split(name);
        let filled: String = self
            .0
            .iter()
            .map(|part| match part {
                TemplatePart::Text(text) => text.clone(),
                TemplatePart::Id => as_component(id.as_str()),
                TemplatePart::Name => name.to_owned(),
                TemplatePart::Stem => stem.to_owned(),
                TemplatePart::Extension => extension.to_owned(),
                TemplatePart::Provider => provider.to_owned(),
                TemplatePart::RowField(_) => String::new(), // without a row
            })
            .collect();
        safe(&filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::parse(text, None).unwrap()
    }

    #[test]
    fn templates_fill_fields_and_refuse_what_they_do_not_know() {
        let template = Template::parse("{provider}-{stem}-{id}.{ext}").unwrap();
        assert_eq!(
            template.file_name(&id("7"), "a.b.pdf", "sm"),
            "sm-a.b-7.pdf"
        );
        assert_eq!(template.file_name(&id("7"), "plain", "sm"), "sm-plain-7");
        for wrong in [
            "",
            "{company}",
            "a/{name}",
            "a\\{name}",
            "{name",
            "name}",
            "{}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
