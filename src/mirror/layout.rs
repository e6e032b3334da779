//! Where in a mirror a document goes: a template with folders, filled from the row that lists it.

use crate::fetch::target::{Template, naming};
use crate::model::DocumentId;
use std::path::PathBuf;

/// What a row says of a document, by field.
pub(crate) type Values<'a> = &'a dyn Fn(&str) -> String;

/// A path below the mirror's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    folders: Vec<Template>,
    file: Template,
}

impl Layout {
    /// Reads a template such as `{company_id}/{name}`; beside the fields of every template it may use
    /// `fields`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn parse(text: &str, fields: &[&str]) -> Result<Self, String> {
        let parts = text.split('/').map(|part| match part {
            "" => Err("a folder or the file has no name".to_owned()),
            "." | ".." => Err(format!("{part} is no name")),
            part => Template::parse_with(part, fields),
        });
        let mut folders: Vec<Template> = parts.collect::<Result<_, _>>()?;
        let file = folders.pop().ok_or("it is empty")?;
        Ok(Self { folders, file })
    }

    /// The folder of a document, and how its file is named there. Folders are named after the row's
    /// `name`; the file may get another one from the storage.
    pub(crate) fn place(
        &self,
        id: &DocumentId,
        name: Option<&str>,
        provider: &str,
        values: Values<'_>,
    ) -> (PathBuf, Template) {
        let name = name.and_then(naming::safe);
        let name = name.unwrap_or_else(|| naming::from_id(id, None));
        let folders = self.folders.iter().map(|folder| {
            let filled = folder.with(values).fill(id, &name, provider);
            // A field without a value must not move a document into another folder.
            filled.unwrap_or_else(|| "_".to_owned())
        });
        (folders.collect(), self.file.with(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(template: &str, company: &str) -> String {
        let layout = Layout::parse(template, &["company_id", "uploaded_at"]).unwrap();
        let id = DocumentId::parse("7", None).unwrap();
        let values = |field: &str| match field {
            "company_id" => company.to_owned(),
            _ => "2026-10-01T08:30:00Z".to_owned(),
        };
        let (folder, file) = layout.place(&id, Some("a.pdf"), "sm", &values);
        let file = file.file_name(&id, "a.pdf", "sm");
        folder.join(file).to_str().unwrap().to_owned()
    }

    #[test]
    fn folders_and_files_are_filled_from_the_row() {
        assert_eq!(
            place("{company_id}/{uploaded_at}-{name}", "c1"),
            "c1/2026-10-01T08_30_00Z-a.pdf"
        );
        assert_eq!(place("{provider}/{stem}/x.{ext}", ""), "sm/a/x.pdf");
    }

    #[test]
    fn no_value_leaves_its_folder() {
        assert_eq!(place("{company_id}/{name}", "../../etc"), "_.._etc/a.pdf");
        assert_eq!(place("{company_id}/{name}", ".."), "_/a.pdf");
        assert_eq!(place("{company_id}/{name}", ""), "_/a.pdf");
        assert_eq!(place("{company_id}/{name}", ".docfetch"), "docfetch/a.pdf");
    }

    #[test]
    fn templates_that_leave_the_folder_or_know_too_much_are_refused() {
        for wrong in [
            "",
            "/{name}",
            "a//{name}",
            "../{name}",
            "./{name}",
            "{name}/",
            "{nothing}",
            "a\\b",
        ] {
            assert!(Layout::parse(wrong, &["company_id"]).is_err(), "{wrong}");
        }
    }
}
