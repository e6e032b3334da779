//! The paths of documents in a mirror: a template with folders, which the rows of the listing fill.

use crate::fetch::target::{Template, naming};
use crate::model::DocumentId;
use std::path::PathBuf;

/// Returns what a row says in a field.
type RowValues<'a> = &'a dyn Fn(&str) -> String;

/// A template for paths below the mirror's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    folders: Vec<Template>,
    file: Template,
}

impl Layout {
    /// Parses a template such as `{company_id}/{name}`. It may have the fields of every template, and those
    /// in `row_fields`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub(crate) fn parse(text: &str, row_fields: &[&str]) -> Result<Self, String> {
        let parts = text.split('/').map(|part| match part {
            "" => Err("a folder or the file has no name".to_owned()),
            "." | ".." => Err(format!("{part} is not a name")),
            part => Template::parse_with(part, row_fields),
        });
        let mut folders: Vec<Template> = parts.collect::<Result<_, _>>()?;
        let file = folders.pop().ok_or("it is empty")?;
        Ok(Self { folders, file })
    }

    /// The fields of rows that the layout has.
    pub(crate) fn row_fields(&self) -> Vec<String> {
        let templates = self.folders.iter().chain([&self.file]);
        templates
            .flat_map(Template::row_fields)
            .map(str::to_owned)
            .collect()
    }

    /// The folder of the document `id`, relative to the mirror's, and the template of its file name. Folders
    /// are named after the `name` in the row; the file may be named after a name from the storage.
    pub(crate) fn place(
        &self,
        id: &DocumentId,
        name: Option<&str>,
        provider: &str,
        values: RowValues<'_>,
    ) -> (PathBuf, Template) {
        let name = name.and_then(naming::safe);
        let name = name.unwrap_or_else(|| naming::from_id(id, None));
        let folders = self.folders.iter().map(|folder| {
            let filled = folder.with(values).fill(id, &name, provider);
            // An empty field must not move the document into the folder above.
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
