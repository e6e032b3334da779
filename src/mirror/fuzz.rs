//! What the fuzz targets run of the mirror.

use super::index::MirrorIndex;
use super::layout::Layout;
use crate::fetch::target::naming;
use crate::model::DocumentId;
use std::path::Component;

/// The field of a row that layouts may have here.
const FIELD: &str = "field";

/// Reads any bytes as a mirror's manifest.
///
/// # Panics
/// When an entry's path leaves the mirror's folder, or has a part that is no safe name.
pub(crate) fn manifest(input: &[u8]) {
    let mut index = MirrorIndex::default();
    for line in input.split(|byte| *byte == b'\n') {
        let _ = index.add(line);
    }
    for (_, entry) in index.iter() {
        let mut parts = entry.path.components();
        assert!(
            parts.all(|part| matches!(part, Component::Normal(name)
                if name.to_str().is_some_and(naming::is_safe))),
            "{}",
            entry.path.display()
        );
    }
}

/// Places a document by the layout `text`, whose row has `name` in its only field.
///
/// # Panics
/// When a folder's or the file's name is unsafe.
pub(crate) fn layout(text: &str, id: &DocumentId, name: &str) {
    let Ok(layout) = Layout::parse(text, &[FIELD]) else {
        return;
    };
    let (folder, file) = layout.place(id, Some(name), "sm", &|_| name.to_owned());
    let mut parts = folder.components();
    assert!(
        parts.all(|part| matches!(part, Component::Normal(name)
            if name.to_str().is_some_and(naming::is_safe))),
        "{}",
        folder.display()
    );
    let file = file.file_name(id, name, "sm");
    assert!(naming::is_safe(&file), "{file:?}");
}
