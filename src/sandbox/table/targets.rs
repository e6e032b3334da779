//! What the paths of a service are for.

use super::received::normal_path;
use super::things::ServedKind;
use crate::provider::Paging;
use std::collections::HashMap;

/// What a path may be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) kind: usize,
    pub(super) route: TargetRoute,
    /// The number of the thing; 0 for lists.
    pub(super) thing: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TargetRoute {
    Step(usize),
    Metadata,
    List { continues: bool },
    Lookup { number: usize, continues: bool },
}

/// What each path may be for, by the path as [`normal_path`] writes it.
pub(super) fn targets(kinds: &[ServedKind]) -> HashMap<String, Vec<Target>> {
    let mut targets: HashMap<String, Vec<Target>> = HashMap::new();
    let mut add = |path: String, kind, route, thing| {
        let found = targets.entry(normal_path(&path)).or_default();
        found.push(Target { kind, route, thing });
    };
    for (number, kind) in kinds.iter().enumerate() {
        for (index, thing) in kind.things.iter().enumerate() {
            let values = kind.values(Some(thing));
            for (step, template) in kind.table.resolve.iter().enumerate() {
                let path = template.request.path.fill_path(&values);
                add(path, number, TargetRoute::Step(step), index);
            }
            if let Some(metadata) = &kind.table.metadata {
                let path = metadata.request.path.fill_path(&values);
                add(path, number, TargetRoute::Metadata, index);
            }
        }
        let values = kind.values(None);
        let lists = kind.table.list.iter().map(|list| (&list.rows, None));
        let lookups = kind.table.lookups.iter().enumerate();
        let lookups = lookups.map(|(number, lookup)| (&lookup.rows, Some(number)));
        for (rows, lookup) in lists.chain(lookups) {
            let route = |continues| match lookup {
                None => TargetRoute::List { continues },
                Some(number) => TargetRoute::Lookup { number, continues },
            };
            add(
                rows.request.path.fill_path(&values),
                number,
                route(false),
                0,
            );
            if let Paging::Cursor(cursor) = &rows.paging
                && let Some(path) = &cursor.path
            {
                add(path.fill_path(&values), number, route(true), 0);
            }
        }
    }
    targets
}
