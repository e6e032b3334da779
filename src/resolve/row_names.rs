//! The names of things that rows refer to by their ids.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The names of the things of one side list, by their ids.
pub(super) type NamesById = HashMap<String, String>;

/// A field of rows with the name of a thing.
#[derive(Clone, Debug)]
pub(super) struct RowNames {
    /// The name of the field.
    pub(super) name: String,
    /// The field with the id of the thing.
    pub(super) field: String,
    /// The names. None where docfetch could not read them.
    pub(super) names: Option<Arc<NamesById>>,
}

impl RowNames {
    /// The name of the thing whose id is `id`, a value of the row; null where the name is not known. Several ids have
    /// several names.
    pub(super) fn of(&self, id: Option<&Value>) -> Value {
        match id {
            Some(Value::String(id)) => self.named(id),
            Some(Value::Number(id)) => self.named(&id.to_string()),
            Some(Value::Array(ids)) => ids.iter().map(|id| self.of(Some(id))).collect(),
            _ => Value::Null,
        }
    }

    fn named(&self, id: &str) -> Value {
        let name = self.names.as_ref().and_then(|names| names.get(id));
        name.map_or(Value::Null, |name| name.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_has_the_name_of_its_thing() {
        let names = HashMap::from([("7", "Acme"), ("x", "Other")]);
        let names = names
            .into_iter()
            .map(|(id, name)| (id.to_owned(), name.to_owned()));
        let of = |names, id: Value| {
            let names = RowNames {
                name: "company".to_owned(),
                field: "company_id".to_owned(),
                names,
            };
            names.of(Some(&id))
        };
        let known = Some(Arc::new(names.collect()));
        for (id, expected) in [
            (json!("7"), json!("Acme")),
            (json!(7), json!("Acme")),
            (json!("none"), Value::Null),
            (
                json!(["x", 7, null, {}]),
                json!(["Other", "Acme", null, null]),
            ),
            (json!({"id": "7"}), Value::Null),
            (Value::Null, Value::Null),
        ] {
            assert_eq!(of(known.clone(), id.clone()), expected, "{id}");
            let unknown = of(None, id);
            assert!(!unknown.is_string(), "{unknown}");
        }
    }
}
