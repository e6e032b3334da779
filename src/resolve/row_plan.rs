//! How rows of one list are read: what the table says, made ready once for all rows.

use super::api::Api;
use super::place::{Place, RowFields};
use super::scope::Scope;
use crate::model::{DocumentId, IdForm, InvalidDocumentId};
use crate::provider::{Listing, Pointers, TimeForm};
use serde_json::Value;
use std::sync::Arc;

/// How rows are read.
#[derive(Debug)]
pub(super) struct RowPlan {
    /// The provider's name.
    pub(super) provider: Arc<str>,
    /// The kind of the things.
    pub(super) kind: Option<String>,
    /// The fields that the places lead into.
    pub(super) places: RowFields,
    /// The parts of the id.
    pub(super) id: Vec<IdPart>,
    /// The name.
    pub(super) name: Option<Place>,
    /// The size in bytes.
    pub(super) size: Option<Place>,
    /// The time of the last change, and how it is written.
    pub(super) modified: Option<(Place, TimeForm)>,
    /// The service's own fields.
    pub(super) fields: Vec<(String, Place)>,
    /// The value that a row must have to count.
    pub(super) only: Option<(Place, Value)>,
    form: IdForm,
    uri_prefix: Option<String>,
}

/// A part of an id.
#[derive(Debug)]
pub(super) enum IdPart {
    /// The same in all rows.
    Scope(String),
    /// At a place in the row.
    Row {
        /// The place.
        place: Place,
        /// Whether the part is the rest of the id, whose slashes stay.
        is_rest: bool,
    },
}

impl RowPlan {
    /// How the rows of a listing of `api` are read, all of which are in `scope`.
    pub(super) fn new(api: &Api, listing: &Listing, scope: &Scope) -> Self {
        let table = &api.provider.table;
        let mut places = RowFields::default();
        let mut own = listing.id.iter();
        let parts = 0..table.id.parts.len();
        let id = parts.filter_map(|index| match scope.part(index) {
            Some(value) => Some(IdPart::Scope(value)),
            None => own.next().map(|place| IdPart::Row {
                place: places.field_place(place),
                is_rest: table.id.has_rest && index + 1 == table.id.parts.len(),
            }),
        });
        let id = id.collect();
        let mut optional = |pointers: &Option<Pointers>| {
            let pointers = pointers.as_ref();
            pointers.map(|pointers| places.place(pointers, false))
        };
        let (name, size) = (optional(&listing.name), optional(&listing.size));
        let modified = listing.modified.as_ref();
        let modified = modified.map(|time| (places.place(&time.at, false), time.form));
        let fields = listing.fields.iter();
        let fields = fields.map(|field| (field.name.clone(), places.field_place(&field.place)));
        let fields = fields.collect();
        let only = listing.rows.only.as_ref().map(|only| {
            let at = Pointers(vec![only.at.clone()]);
            (places.place(&at, false), only.equals.clone())
        });
        Self {
            provider: table.name.as_str().into(),
            kind: table.kind.clone(),
            places,
            id,
            name,
            size,
            modified,
            fields,
            only,
            form: table.id.clone(),
            uri_prefix: api.provider.uri_prefix(),
        }
    }

    /// The id with this text.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub(super) fn document_id(&self, text: &str) -> Result<DocumentId, InvalidDocumentId> {
        DocumentId::parse_form(text, self.uri_prefix.as_deref(), &self.form)
    }

    /// What messages call the id.
    pub(super) fn shown_id(&self) -> &str {
        let mut places = self.id.iter().filter_map(|part| match part {
            IdPart::Row { place, .. } => Some(place.shown.as_str()),
            IdPart::Scope(_) => None,
        });
        places.next_back().unwrap_or("id")
    }
}
