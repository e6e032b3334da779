//! Parts of a TOML text as their author wrote them, comments included.

use std::ops::Range;
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

/// A line of a TOML text that names keys: a header, or a key with its value.
#[derive(Debug)]
struct NamedPart {
    is_header: bool,
    /// The decoded keys, in their order.
    keys: Vec<String>,
    /// The offset of the first key, in bytes.
    first_key: usize,
    /// From the comments right above the part to the end of its last line.
    place: Range<usize>,
}

/// The text of a file as a table with the keys `path`: a header comes first, and every header of the text begins with
/// `path`. The keys of `path` need no quotation marks.
pub(crate) fn below(text: &str, path: &[&str]) -> String {
    let path = path.join(".");
    let mut moved = format!("[{path}]\n");
    let mut copied = 0;
    for header in parts(text).iter().filter(|part| part.is_header) {
        moved += &text[copied..header.first_key];
        moved += &format!("{path}.");
        copied = header.first_key;
    }
    moved + &text[copied..]
}

/// What a file says below the keys `path`: whole sections, and keys of the sections above. A header of a section above
/// stands before its keys.
pub(crate) fn extract(text: &str, path: &[&str]) -> String {
    let parts = parts(text);
    let mut extracted = String::new();
    let mut header: Option<&NamedPart> = None;
    let mut is_header_copied = false;
    for (index, part) in parts.iter().enumerate() {
        if part.is_header {
            header = Some(part);
            is_header_copied = begins(&part.keys, path);
            if is_header_copied {
                let mut later = parts[index + 1..].iter();
                let next = later.find(|part| part.is_header);
                let end = next.map_or(text.len(), |next| next.place.start);
                extracted += &text[part.place.start..end];
            }
            continue;
        }
        let above = header.map_or(&[][..], |header| &header.keys);
        if begins(above, path) {
            continue; // copied with its header
        }
        let keys: Vec<String> = above.iter().chain(&part.keys).cloned().collect();
        if begins(&keys, path) {
            if let Some(header) = header.filter(|_| !is_header_copied) {
                extracted += &text[header.place.clone()];
                is_header_copied = true;
            }
            extracted += &text[part.place.clone()];
        }
    }
    extracted
}

/// Whether `keys` are `path`, or below it.
fn begins(keys: &[String], path: &[&str]) -> bool {
    keys.len() >= path.len() && keys.iter().zip(path).all(|(key, name)| key == name)
}

/// The headers, and the keys with their values, in the order of the text.
fn parts(text: &str) -> Vec<NamedPart> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    parse_document(&tokens, &mut events, &mut ());
    let mut comment_lines = Vec::new();
    let mut parts: Vec<NamedPart> = Vec::new();
    let mut current: Option<NamedPart> = None;
    let (mut depth, mut is_value) = (0_usize, false);
    for event in events {
        let span = event.span();
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                current = Some(part(true, span.start()));
            }
            EventKind::SimpleKey if depth == 0 && !is_value => {
                let part = current.get_or_insert_with(|| part(false, span.start()));
                if part.keys.is_empty() {
                    part.first_key = span.start();
                }
                let mut key = String::new();
                if let Some(raw) = source.get(event) {
                    raw.decode_key(&mut key, &mut ());
                }
                part.keys.push(key);
            }
            EventKind::KeyValSep if depth == 0 => is_value = true,
            EventKind::ArrayOpen | EventKind::InlineTableOpen => depth += 1,
            EventKind::ArrayClose | EventKind::InlineTableClose => depth = depth.saturating_sub(1),
            EventKind::Comment => comment_lines.push(line_start(text, span.start())),
            EventKind::Newline if depth == 0 => {
                finish(text, &mut current, span.end(), &comment_lines, &mut parts);
                is_value = false;
            }
            _ => {}
        }
    }
    finish(text, &mut current, text.len(), &comment_lines, &mut parts);
    parts
}

fn part(is_header: bool, start: usize) -> NamedPart {
    NamedPart {
        is_header,
        keys: Vec::new(),
        first_key: start,
        place: start..start,
    }
}

/// Adds the part that ends at `end`, with the comments right above the part.
fn finish(
    text: &str,
    current: &mut Option<NamedPart>,
    end: usize,
    comment_lines: &[usize],
    parts: &mut Vec<NamedPart>,
) {
    let Some(mut part) = current.take() else {
        return;
    };
    let mut start = line_start(text, part.place.start);
    while start > 0 {
        let above = line_start(text, start - 1);
        // A comment behind a value belongs to that value.
        let is_own_line = text[above..]
            .trim_start_matches([' ', '\t'])
            .starts_with('#');
        if !is_own_line || !comment_lines.contains(&above) {
            break;
        }
        start = above;
    }
    part.place = start..end;
    parts.push(part);
}

/// The offset of the begin of the line with the byte at `offset`.
fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_move_below_a_path_and_nothing_else_changes() {
        let text = "# first\na = '[b]'\n[list.filters] # [x]\ns = \"\"\"\n[no.header]\n\"\"\"\n[[ resources ]]\nlist.a = [\n[1],\n]\n";
        let expected = "[p.n]\n# first\na = '[b]'\n[p.n.list.filters] # [x]\ns = \"\"\"\n[no.header]\n\"\"\"\n[[ p.n.resources ]]\nlist.a = [\n[1],\n]\n";
        assert_eq!(below(text, &["p", "n"]), expected);
        assert_eq!(extract(expected, &["p", "n"]), expected);
    }

    #[test]
    fn a_table_is_found_however_the_user_wrote_it() {
        let path = ["providers", "acme"];
        for (text, expected) in [
            (
                "jobs = 8\n\n# mine\n[providers.acme]\nbase = 'x'\n\n# other\n[sm]\njobs = 1\n",
                "# mine\n[providers.acme]\nbase = 'x'\n\n",
            ),
            (
                "[providers]\nother = {}\nacme = { base = 'x',\n  b = 2 } # c\nlast = {}",
                "[providers]\nacme = { base = 'x',\n  b = 2 } # c\n",
            ),
            (
                "providers.acme.base = 'x'\njobs = 1\nproviders . \"acme\".b = 2",
                "providers.acme.base = 'x'\nproviders . \"acme\".b = 2",
            ),
            (
                "[providers.acmex]\na = 1\n[providers.\"acme\"]\nb = 2\n[x]\n[providers.acme.list]\nc = 3",
                "[providers.\"acme\"]\nb = 2\n[providers.acme.list]\nc = 3",
            ),
            ("s = '''\n[providers.acme]\n# x'''\n[sm]\n", ""),
            ("", ""),
        ] {
            assert_eq!(extract(text, &path), expected, "{text}");
        }
    }
}
