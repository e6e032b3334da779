//! The operators of a filter of One Codex.

use std::cmp::Ordering;

/// How an operator compares a text with the wanted one.
pub(super) fn text_comparison(operator: &str) -> Option<fn(&str, &str) -> bool> {
    Some(match operator {
        "$eq" => |name, wanted| name == wanted,
        "$contains" => |name, wanted| name.contains(wanted),
        "$icontains" => |name, wanted| name.to_lowercase().contains(&wanted.to_lowercase()),
        "$startswith" => |name, wanted| name.starts_with(wanted),
        "$endswith" => |name, wanted| name.ends_with(wanted),
        _ => return None,
    })
}

/// How an operator compares the order of a value and the wanted one.
pub(super) fn comparison(operator: &str) -> Option<fn(Ordering) -> bool> {
    Some(match operator {
        "$eq" => Ordering::is_eq,
        "$gt" => Ordering::is_gt,
        "$gte" => Ordering::is_ge,
        "$lt" => Ordering::is_lt,
        "$lte" => Ordering::is_le,
        _ => return None,
    })
}
