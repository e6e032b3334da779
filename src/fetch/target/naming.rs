//! File names: where they come from, and how they are made safe.
//!
//! A safe name is one component of a path that every common file system accepts. Each of
//! its characters is visible. A safe name is never a hidden file, nor an option or a home folder for a shell.
//! This holds for every name that a server can send.

use crate::model::DocumentId;
use crate::secret::{self, has_secret_path};
use crate::state::folder::{MAX_NAME_BYTES, NameLimits};
use crate::text::is_removed_from_names;
use percent_encoding::percent_decode_str;
use url::Url;

/// The longest text behind the last dot that counts as an extension, in bytes.
const MAX_EXTENSION_BYTES: usize = 32;

/// Makes `name` a safe name. `None` if no character is left, or the name holds a secret.
pub(crate) fn safe(name: &str) -> Option<String> {
    if secret::contains_secret(name) {
        return None;
    }
    // Removed characters may have split a secret.
    made_safe(name).filter(|safe| safe == name || !secret::contains_secret(safe))
}

/// Whether a component of a path is a safe name, apart from blanks and dots at its end, which do no harm.
pub(crate) fn is_safe(component: &str) -> bool {
    made_safe(component).is_some_and(|safe| safe == trim_end(component))
}

fn made_safe(name: &str) -> Option<String> {
    let component = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let component = match component.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => &component[2..],
        _ => component,
    };
    let visible: String = component
        .chars()
        .filter(|c| !is_removed_from_names(*c))
        .map(|c| if c == ':' { '_' } else { c }) // NTFS: a colon names a stream of a file
        .collect();
    let visible = trim_end(visible.trim_start_matches(|c: char| c == '.' || c.is_whitespace()));
    let mut name = match visible.chars().next()? {
        '~' => format!("_{}", &visible[1..]),
        '-' => format!("_{visible}"),
        _ => visible.to_owned(),
    };
    if is_device_name(&name) {
        name.insert(0, '_');
    }
    Some(shortened(&name, MAX_NAME_BYTES))
}

/// The safe `name` as a folder with these limits takes it: an underscore for each character that the folder
/// refuses, and cut before the extension when it is too long.
pub(super) fn within(name: &str, limits: &NameLimits) -> String {
    with_suffix(name, "", limits)
}

/// Puts `suffix` before the extension of `name`, within the limits of a folder. The result is a safe name.
pub(super) fn with_suffix(name: &str, suffix: &str, limits: &NameLimits) -> String {
    let allowed = |text: &str| -> String {
        let allowed = |c| if limits.allows(c) { c } else { '_' };
        text.chars().map(allowed).collect()
    };
    let (name, suffix) = (&allowed(name), &allowed(suffix));
    let (stem, extension) = split(name);
    let dotted = if extension.is_empty() {
        String::new()
    } else {
        format!(".{extension}")
    };
    let max_stem_bytes = limits.max_bytes.saturating_sub(suffix.len() + dotted.len());
    let name = format!("{}{suffix}{dotted}", truncated(stem, max_stem_bytes));
    // A suffix may end in a blank or a dot.
    safe(&name).unwrap_or(name)
}

/// The safe name in the last segment of a URL's path, percent-decoded once. `None` if the path is a secret
/// that opens the document.
pub(crate) fn from_url(url: &Url) -> Option<String> {
    if has_secret_path(url) {
        return None;
    }
    let segment = url.path_segments()?.next_back()?;
    let decoded = percent_decode_str(segment).decode_utf8();
    safe(decoded.as_deref().unwrap_or(segment))
}

/// A safe name that consists of the id, and the usual extension of the media type.
pub(crate) fn from_id(id: &DocumentId, media_type: Option<&str>) -> String {
    let stem = safe(&as_component(id.as_str())).unwrap_or_else(|| "document".to_owned());
    match media_type.and_then(mime2ext::mime2ext) {
        Some(extension) => within(&format!("{stem}.{extension}"), &NameLimits::default()),
        None => stem,
    }
}

/// Splits a name into stem and extension: at the last dot, unless no character precedes it, or too many
/// follow it.
pub(super) fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= MAX_EXTENSION_BYTES => {
            (stem, extension)
        }
        _ => (name, ""),
    }
}

/// `text` with an underscore for each path separator.
pub(super) fn as_component(text: &str) -> String {
    text.replace(['/', '\\'], "_")
}

fn trim_end(name: &str) -> &str {
    name.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Whether a name is that of a device on Windows, with or without an extension.
fn is_device_name(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        _ => ["COM", "LPT"].iter().any(|device| {
            stem.strip_prefix(device).is_some_and(|number| {
                let mut chars = number.chars();
                let digit =
                    |c: char| c.is_ascii_digit() || matches!(c, '\u{b9}' | '\u{b2}' | '\u{b3}');
                chars.next().is_some_and(digit) && chars.next().is_none()
            })
        }),
    }
}

/// At most `max_bytes` of a name, with its extension.
fn shortened(name: &str, max_bytes: usize) -> String {
    if name.len() <= max_bytes {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    if extension.is_empty() {
        return truncated(name, max_bytes).to_owned();
    }
    let max_stem_bytes = max_bytes - extension.len() - 1;
    format!("{}.{extension}", truncated(stem, max_stem_bytes))
}

/// At most `max_bytes` of a text, without blanks and dots at the cut.
fn truncated(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    trim_end(&text[..text.floor_char_boundary(max_bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::parse(text, None).unwrap()
    }

    #[test]
    fn a_cut_name_keeps_its_extension() {
        let name = safe(&format!("{}.pdf", "\u{e4}".repeat(300))).unwrap();
        assert!(
            name.len() <= MAX_NAME_BYTES && name.ends_with("\u{e4}.pdf"),
            "{name}"
        );
    }

    #[test]
    fn a_suffix_goes_before_the_extension_and_fits() {
        let usual = NameLimits::default();
        assert_eq!(with_suffix("a.pdf", " (2)", &usual), "a (2).pdf");
        assert_eq!(with_suffix("a", "--7f", &usual), "a--7f");
        assert_eq!(with_suffix("a", "--7 ", &usual), "a--7");
        assert_eq!(with_suffix("a", "--7. .", &usual), "a--7");
        let long = with_suffix(&format!("{}.pdf", "a".repeat(251)), " (10)", &usual);
        assert!(
            long.len() == MAX_NAME_BYTES && long.ends_with("a (10).pdf"),
            "{long}"
        );
    }

    #[test]
    fn a_name_within_limits_has_an_underscore_for_each_refused_character() {
        let limits = NameLimits {
            refused: "?|\u{e9}(".chars().collect(),
            max_bytes: 12,
            ..NameLimits::default()
        };
        assert_eq!(within("a?b|\u{e9}.pdf", &limits), "a_b__.pdf");
        assert_eq!(within("\u{e8}?", &limits), "\u{e8}_");
        assert_eq!(
            within(&format!("{}.pdf", "\u{e8}".repeat(9)), &limits),
            "\u{e8}\u{e8}\u{e8}\u{e8}.pdf"
        );
        assert_eq!(with_suffix("abcdefgh.pdf", " (2)", &limits), "abcd _2).pdf");
        assert_eq!(
            within("r\u{e9}sum\u{e9} (1).pdf", &NameLimits::strictest()),
            "r_sum_ _1_.pdf"
        );
        for name in ["plain.pdf", "a b.c"] {
            assert_eq!(within(name, &NameLimits::default()), name);
        }
    }

    #[test]
    fn a_url_names_a_file_by_its_last_segment_decoded_once() {
        let of = |url: &str| from_url(&Url::parse(url).unwrap());
        assert_eq!(
            of("https://h/a/Q3%20deck.pdf?x=1").as_deref(),
            Some("Q3 deck.pdf")
        );
        assert_eq!(
            of("https://h/a/%252e%252e%252fevil").as_deref(),
            Some("%2e%2e%2fevil")
        );
        assert_eq!(
            of("https://h/..%2f..%2fetc%2fpasswd").as_deref(),
            Some("passwd")
        );
        assert_eq!(of("https://h/%ff%fe.txt").as_deref(), Some("%ff%fe.txt"));
        assert_eq!(of("https://h/"), None);
        // Here the path opens the document.
        assert_eq!(of("https://h/5igned-and-secret/report.pdf"), None);
    }

    #[test]
    fn an_id_is_the_last_resort_with_an_extension_by_media_type() {
        assert_eq!(from_id(&id("00f2"), Some("application/pdf")), "00f2.pdf");
        assert_eq!(from_id(&id("a\\b"), None), "a_b");
        assert_eq!(from_id(&id("..."), None), "document");
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_safe_name_or_none(text in any::<String>(), extension in "[a-z.~ -]{0,40}") {
            for text in [format!("{text}{extension}"), format!("{extension}{text}"), text] {
                if let Some(name) = safe(&text) {
                    prop_assert!(is_safe(&name) && is_safe(&with_suffix(&name, &extension, &NameLimits::default())));
                    prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES);
                    prop_assert!(!name.contains(['/', '\\', ':', '\0']));
                    prop_assert!(!name.chars().any(is_removed_from_names));
                    prop_assert!(!name.starts_with(['.', '-', '~', ' ']));
                    prop_assert!(!name.ends_with(['.', ' ']));
                    prop_assert_eq!(safe(&name), Some(name.clone()));
                }
            }
        }
    }
}
