//! File names: where they come from, and how they are made safe.
//!
//! Whatever a server sends, what comes out is one component of a path that works on every common
//! file system, hides nothing from the eye, and is no option, dotfile or home folder to a shell.

use crate::model::DocumentId;
use crate::secret::{self, path_opens};
use crate::text::is_removed_from_names;
use percent_encoding::percent_decode_str;
use url::Url;

/// The longest name that common file systems take, in bytes.
const LONGEST: usize = 255;
/// What follows the last dot and is longer than this is no extension.
const LONGEST_EXTENSION: usize = 32;

/// `name` made safe; none when nothing is left of it, or when it holds a secret.
pub(crate) fn safe(name: &str) -> Option<String> {
    if secret::is_in(name) {
        return None;
    }
    // What was invisible may have hidden one.
    made_safe(name).filter(|safe| safe == name || !secret::is_in(safe))
}

/// Whether a part of a path is such a name, as far as it may do harm: blanks and dots at its end do none.
pub(crate) fn is_safe(part: &str) -> bool {
    made_safe(part).is_some_and(|safe| safe == trim_end(part))
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
        .map(|c| if c == ':' { '_' } else { c }) // else a stream of its own on NTFS
        .collect();
    let visible = trim_end(visible.trim_start_matches(|c: char| c == '.' || c.is_whitespace()));
    let mut name = match visible.chars().next()? {
        '~' => format!("_{}", &visible[1..]),
        '-' => format!("_{visible}"),
        _ => visible.to_owned(),
    };
    if reserved(&name) {
        name.insert(0, '_');
    }
    Some(cut(&name, LONGEST))
}

/// `suffix` before the extension, the whole still a safe name.
pub(crate) fn with_suffix(name: &str, suffix: &str) -> String {
    let (stem, extension) = split(name);
    let dotted = if extension.is_empty() {
        String::new()
    } else {
        format!(".{extension}")
    };
    let room = LONGEST.saturating_sub(suffix.len() + dotted.len());
    let name = format!("{}{suffix}{dotted}", cut_at(stem, room));
    // Whatever the suffix is made of: every name ends in the same last check.
    safe(&name).unwrap_or(name)
}

/// The last segment of a URL's path, decoded once; none where the path is what opens the document.
pub(crate) fn from_url(url: &Url) -> Option<String> {
    if path_opens(url) {
        return None;
    }
    let segment = url.path_segments()?.next_back()?;
    let decoded = percent_decode_str(segment).decode_utf8();
    safe(decoded.as_deref().unwrap_or(segment))
}

/// The id, with the extension that its media type usually has.
pub(crate) fn from_id(id: &DocumentId, media_type: Option<&str>) -> String {
    let stem = safe(&one_component(id.as_str())).unwrap_or_else(|| "document".to_owned());
    match media_type.and_then(mime2ext::mime2ext) {
        Some(extension) => with_suffix(&format!("{stem}.{extension}"), ""),
        None => stem,
    }
}

/// Stem and extension: what follows the last dot, unless nothing precedes it or it is too long to
/// be one.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= LONGEST_EXTENSION => {
            (stem, extension)
        }
        _ => (name, ""),
    }
}

fn one_component(text: &str) -> String {
    text.replace(['/', '\\'], "_")
}

fn trim_end(name: &str) -> &str {
    name.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// The device names of Windows, with or without an extension.
fn reserved(name: &str) -> bool {
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

/// At most `bytes` of UTF-8, the extension kept where it is one.
fn cut(name: &str, bytes: usize) -> String {
    if name.len() <= bytes {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    if extension.is_empty() {
        return cut_at(name, bytes).to_owned();
    }
    format!("{}.{extension}", cut_at(stem, bytes - extension.len() - 1))
}

fn cut_at(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    trim_end(&text[..text.floor_char_boundary(bytes)])
}

/// How a file is named: `{id}` `{name}` `{stem}` `{ext}` `{provider}` and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Id,
    Name,
    Stem,
    Ext,
    Provider,
    /// What the row of a listing says.
    Field(String),
}

impl Default for Template {
    /// The document's own name.
    fn default() -> Self {
        Self(vec![Piece::Name])
    }
}

/// What a template can hold, for messages.
const FIELDS: &str = "{id} {name} {stem} {ext} {provider}";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, &[])
    }

    /// The same with further `fields`, for [`Template::with`].
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_with(text: &str, fields: &[&str]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.contains(['/', '\\']) {
            return Err("it contains a path separator; folders are named with --output-dir".into());
        }
        let known = fields.iter().map(|field| format!(" {{{field}}}"));
        let known: String = std::iter::once(FIELDS.to_owned()).chain(known).collect();
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let Some(end) = rest[at..].find('}').filter(|end| *end > 0) else {
                return Err(format!("a brace has no partner; fields are {known}"));
            };
            pieces.push(match &rest[at + 1..at + end] {
                "id" => Piece::Id,
                "name" => Piece::Name,
                "stem" => Piece::Stem,
                "ext" => Piece::Ext,
                "provider" => Piece::Provider,
                other if fields.contains(&other) => Piece::Field(other.to_owned()),
                other => return Err(format!("{{{other}}} is no field; fields are {known}")),
            });
            rest = &rest[at + end + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Whether the name of the document changes what comes out.
    pub fn needs_name(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Name | Piece::Stem | Piece::Ext))
    }

    /// The same template with what a row says in place of its further fields.
    #[must_use]
    pub fn with(&self, values: &dyn Fn(&str) -> String) -> Self {
        let fill = |piece: &Piece| match piece {
            Piece::Field(field) => Piece::Text(one_component(&values(field))),
            piece => piece.clone(),
        };
        Self(self.0.iter().map(fill).collect())
    }

    /// The file name of a document whose own safe name is `name`.
    pub fn file_name(&self, id: &DocumentId, name: &str, provider: &str) -> String {
        let filled = self.fill(id, name, provider);
        filled.unwrap_or_else(|| from_id(id, None))
    }

    /// The same; none when nothing safe comes out.
    pub fn fill(&self, id: &DocumentId, name: &str, provider: &str) -> Option<String> {
        let (stem, extension) = split(name);
        let filled: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Id => one_component(id.as_str()),
                Piece::Name => name.to_owned(),
                Piece::Stem => stem.to_owned(),
                Piece::Ext => extension.to_owned(),
                Piece::Provider => provider.to_owned(),
                Piece::Field(_) => String::new(), // no row has filled it
            })
            .collect();
        safe(&filled)
    }
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
            name.len() <= LONGEST && name.ends_with("\u{e4}.pdf"),
            "{name}"
        );
    }

    #[test]
    fn a_suffix_goes_before_the_extension_and_fits() {
        assert_eq!(with_suffix("a.pdf", " (2)"), "a (2).pdf");
        assert_eq!(with_suffix("a", "--7f"), "a--7f");
        assert_eq!(with_suffix("a", "--7 "), "a--7");
        assert_eq!(with_suffix("a", "--7. ."), "a--7");
        let long = with_suffix(&format!("{}.pdf", "a".repeat(251)), " (10)");
        assert!(
            long.len() == LONGEST && long.ends_with("a (10).pdf"),
            "{long}"
        );
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

    proptest! {
        #[test]
        fn any_text_becomes_a_safe_name_or_none(text in any::<String>(), extension in "[a-z.~ -]{0,40}") {
            for text in [format!("{text}{extension}"), format!("{extension}{text}"), text] {
                if let Some(name) = safe(&text) {
                    prop_assert!(is_safe(&name) && is_safe(&with_suffix(&name, &extension)));
                    prop_assert!(!name.is_empty() && name.len() <= LONGEST);
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
