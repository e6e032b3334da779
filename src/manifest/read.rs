//! Manifests: which files runs left, and what must be in them.
//!
//! Two forms are read: the JSON lines of docfetch, and the lines of GNU sha256sum. Nothing here looks at
//! the files.

use crate::fetch::outcome::path_of_bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A record that is longer, in bytes, is passed over: it is not read into memory.
const LONGEST_LINE: usize = 1 << 20;

/// A file that a manifest tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    /// The provider's name.
    pub provider: Option<String>,
    /// The document.
    pub id: Option<String>,
    /// Where the file is: never empty, and without a NUL.
    pub path: PathBuf,
    /// Its file name.
    pub name: Option<String>,
    /// Its length in bytes.
    pub bytes: Option<u64>,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestForm {
    /// JSON lines, as docfetch writes them.
    Records,
    /// As GNU sha256sum writes it.
    Sha256sum,
}

/// What a manifest says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// How it is written; none when nothing is in it.
    pub form: Option<ManifestForm>,
    /// Its files. Of JSON lines, the last one of a path wins, but one without a SHA-256 does not hide an
    /// earlier one with it. Of sha256sum every line counts, as it does there.
    pub entries: Vec<ManifestEntry>,
    /// Numbers of the lines that cannot be read, from 1 on.
    pub unreadable: Vec<usize>,
    /// Numbers of the lines that a kill cut off: a last one that cannot be read, and a record that ends
    /// too early, wherever it stands, since later runs append behind it.
    pub torn: Vec<usize>,
    /// Numbers of the lines that are passed over because no line of docfetch's is that long.
    pub too_long: Vec<usize>,
}

/// Reads a manifest; none when its first line is of neither form.
///
/// # Errors
/// What `input` fails at.
pub(crate) fn read(mut input: impl BufRead) -> io::Result<Option<Manifest>> {
    let mut manifest = Manifest::default();
    let mut places = HashMap::new();
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let room = LONGEST_LINE as u64 + 1;
        if input.by_ref().take(room).read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        if buffer.len() > LONGEST_LINE {
            if !buffer.starts_with(b"{") {
                return Ok(None);
            }
            if !buffer.ends_with(b"\n") {
                input.skip_until(b'\n')?;
            }
            manifest.too_long.push(number);
            continue;
        }
        let ended = buffer.ends_with(b"\n");
        let line = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // sha256sum passes over comments.
        let comment = line.starts_with(b"#") && manifest.form != Some(ManifestForm::Records);
        if comment || line.trim_ascii().is_empty() {
            continue;
        }
        let Some(form) = manifest.form.or_else(|| form_of(line)) else {
            return Ok(None);
        };
        manifest.form = Some(form);
        let read = match form {
            ManifestForm::Records => record(line),
            ManifestForm::Sha256sum => sum(line).map(Some),
        };
        match read {
            Ok(None) => {}
            Ok(Some(entry)) if form == ManifestForm::Records => {
                keep(entry, &mut manifest.entries, &mut places);
            }
            Ok(Some(entry)) => manifest.entries.push(entry),
            Err(Unreadable) if ended && !(form == ManifestForm::Records && is_cut_off(line)) => {
                manifest.unreadable.push(number);
            }
            Err(Unreadable) => manifest.torn.push(number),
        }
    }
    let is_none = manifest.form.is_none() && !manifest.too_long.is_empty();
    Ok((!is_none).then_some(manifest))
}

/// A line of sha256sum, without its end: `sha256sum -c` finds the same file by it, whatever its name is.
pub(crate) fn sha256sum_line(sha256: &str, path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    let mut line = Vec::with_capacity(sha256.len() + name.len() + 4);
    if name
        .iter()
        .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
    {
        line.push(b'\\');
    }
    line.extend_from_slice(sha256.as_bytes());
    line.extend_from_slice(b"  ");
    if name == b"-" {
        line.extend_from_slice(b"./"); // alone it means standard input there
    }
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line
}

/// A line that is not of its manifest's form.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// The form whose first line this can be. A record that a kill cut off is one, too.
fn form_of(line: &[u8]) -> Option<ManifestForm> {
    if record(line).is_ok() || is_cut_off(line) {
        Some(ManifestForm::Records)
    } else {
        sum(line).ok().map(|_| ManifestForm::Sha256sum)
    }
}

/// Whether a line is the beginning of a record.
fn is_cut_off(line: &[u8]) -> bool {
    let read = serde_json::from_slice::<IgnoredAny>(line);
    line.starts_with(b"{") && read.is_err_and(|error| error.is_eof())
}

/// Takes in what a record says of a path.
fn keep(
    entry: ManifestEntry,
    entries: &mut Vec<ManifestEntry>,
    places: &mut HashMap<PathBuf, usize>,
) {
    // `./a` is `a`.
    let path = entry.path.strip_prefix(".").unwrap_or(&entry.path);
    let known = places.get(path).copied();
    match known.and_then(|place| entries.get_mut(place)) {
        Some(earlier) if entry.sha256.is_none() && earlier.sha256.is_some() => {}
        Some(earlier) => *earlier = entry,
        None => {
            places.insert(path.to_owned(), entries.len());
            entries.push(entry);
        }
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Document {
    provider: Option<String>,
    id: Option<String>,
    status: String,
    path: Option<PathBuf>,
    /// Of a path that is no text.
    path_bytes: Option<String>,
    name: Option<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// A line of JSON; none when it tells of no file that must be there.
fn record(line: &[u8]) -> Result<Option<ManifestEntry>, Unreadable> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(Unreadable); // an array would do for serde
    }
    let kind: Kind = serde_json::from_slice(line).map_err(|_| Unreadable)?;
    if kind.kind != "document" {
        return Ok(None);
    }
    let document: Document = serde_json::from_slice(line).map_err(|_| Unreadable)?;
    if !matches!(document.status.as_str(), "fetched" | "skipped") {
        return Ok(None);
    }
    let bytes = document.path_bytes.as_deref().map(path_of_bytes);
    let Some(path) = bytes.or(document.path) else {
        return Ok(None); // it went to standard output
    };
    let sha256 = match document.sha256 {
        Some(text) => Some(digest(text.as_bytes())?),
        None => None,
    };
    Ok(Some(ManifestEntry {
        provider: document.provider,
        id: document.id,
        path: checked(path)?,
        name: document.name,
        bytes: document.bytes,
        sha256,
    }))
}

/// A line of sha256sum: `<hex>  name` (text) or `<hex> *name` (binary), with a backslash before it where
/// characters of the name are escaped.
fn sum(line: &[u8]) -> Result<ManifestEntry, Unreadable> {
    let line = line.trim_ascii_start();
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (sha256, rest) = line.split_at_checked(64).ok_or(Unreadable)?;
    let name = rest
        .strip_prefix(b"  ")
        .or_else(|| rest.strip_prefix(b" *"))
        .ok_or(Unreadable)?;
    let name = if escaped {
        unescaped(name)?
    } else {
        name.to_vec()
    };
    Ok(ManifestEntry {
        path: checked(OsString::from_vec(name).into())?,
        sha256: Some(digest(sha256)?),
        ..ManifestEntry::default()
    })
}

fn unescaped(name: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'\\') => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                _ => return Err(Unreadable),
            },
            byte => *byte,
        });
    }
    Ok(plain)
}

/// A path that a file can have.
fn checked(path: PathBuf) -> Result<PathBuf, Unreadable> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Unreadable);
    }
    Ok(path)
}

fn digest(text: &[u8]) -> Result<String, Unreadable> {
    if text.len() != 64 || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(Unreadable);
    }
    let text = String::from_utf8_lossy(text);
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn manifest(text: &str) -> Manifest {
        read(text.as_bytes()).unwrap().unwrap()
    }

    fn line(path: &str, bytes: u64, sha256: Option<&str>) -> String {
        let line = serde_json::json!({"type": "document", "provider": "sm", "id": "1", "status": "fetched",
            "path": path, "name": "n", "bytes": bytes, "sha256": sha256, "new": [1, {"field": null}]});
        format!("{line}\n")
    }

    fn paths(manifest: &Manifest) -> Vec<&str> {
        let entries = manifest.entries.iter();
        entries.filter_map(|entry| entry.path.to_str()).collect()
    }

    #[test]
    fn records_of_files_count_and_others_are_passed_over() {
        let upper = A.to_uppercase();
        let text = [
            r#"{"type":"publishing","path":["odd"]}"#,
            r#"{"type":"document","id":"1","status":"skipped","path":"a"}"#,
            r#"{"type":"document","id":"2","status":"failed","path":"b","error":{}}"#,
            r#"{"type":"document","id":"3","status":"planned","path":"c"}"#,
            "",
            r#"{"type":"document","id":"4","status":"fetched","path":null,"bytes":7}"#,
            r#"{"type":"summary","fetched":1}"#,
        ]
        .join("\r\n")
            + "\n"
            + &line("d", 5, Some(&upper));
        let manifest = manifest(&text);
        assert_eq!(manifest.form, Some(ManifestForm::Records));
        assert_eq!((manifest.unreadable.len(), manifest.torn.len()), (0, 0));
        assert_eq!(paths(&manifest), ["a", "d"]);
        let known = ManifestEntry {
            provider: Some("sm".into()),
            id: Some("1".into()),
            path: "d".into(),
            name: Some("n".into()),
            bytes: Some(5),
            sha256: Some(A.into()),
        };
        assert_eq!(manifest.entries[1], known);
    }

    #[test]
    fn the_last_line_of_a_path_wins_unless_it_knows_less() {
        let text = [
            line("a", 1, None),
            line("b", 1, None),
            line("a", 2, Some(A)),
            line("./a", 3, None),
            line("./b", 4, Some(A)),
            line("b", 5, Some(B)),
        ];
        let manifest = manifest(&text.concat());
        let found = manifest.entries.iter();
        let found: Vec<_> = found
            .map(|entry| (entry.bytes.unwrap(), entry.sha256.as_deref().unwrap()))
            .collect();
        assert_eq!(found, [(2, A), (5, B)]);
    }

    #[test]
    fn every_line_of_sha256sum_counts() {
        let manifest = manifest(&format!(
            "# made by hand\n\n{A}  a\n {A} *b  c\r\n{B}  a\n\\{A}  d\\\\n\\n\n{A}  e\\n"
        ));
        assert_eq!(manifest.form, Some(ManifestForm::Sha256sum));
        assert_eq!(paths(&manifest), ["a", "b  c", "a", "d\\n\n", "e\\n"]);
        assert!(manifest.unreadable.is_empty() && manifest.torn.is_empty());
    }

    #[test]
    fn lines_that_cannot_be_read_are_numbered_and_a_torn_last_one_is_told_apart() {
        let good = line("a", 1, None);
        let found = manifest(&format!("{}\n{good}{}\n{good}", &good[..9], &good[..20]));
        assert_eq!((found.unreadable, found.torn), (vec![], vec![1, 3]));
        for wrong in [
            "null",
            "# comment",
            r#"["document"]"#,
            r#"{"path":"b"}"#,
            r#"{"type":"document","path":"b"}"#,
            r#"{"type":"document","status":"fetched","path":""}"#,
            r#"{"type":"document","status":"fetched","path":"a\u0000"}"#,
            r#"{"type":"document","status":"fetched","path":"b","bytes":-1}"#,
            r#"{"type":"document","status":"fetched","path":"b","sha256":"aa"}"#,
        ] {
            let found = manifest(&format!("\n{good}{wrong}\n{good}"));
            assert_eq!((found.unreadable, found.torn), (vec![3], vec![]), "{wrong}");
            let found = manifest(&format!("{good}{wrong}"));
            assert_eq!((found.unreadable, found.torn), (vec![], vec![2]), "{wrong}");
        }
        let good = format!("{A}  a\n");
        for wrong in [
            &A[1..],
            &format!("{A} a"),
            &format!("{A}  "),
            &format!("{A}0  a"),
            &format!("g{}  a", &A[1..]),
            &format!("{A}  a\0b"),
            &format!("\\{A}  a\\t"),
            &format!("\\{A}  a\\"),
            "\u{e4}",
        ] {
            let found = manifest(&format!("{good}{wrong}\n{good}"));
            assert_eq!((found.unreadable, found.torn), (vec![2], vec![]), "{wrong}");
            let found = manifest(&format!("{good}{wrong}"));
            assert_eq!((found.unreadable, found.torn), (vec![], vec![2]), "{wrong}");
        }
    }

    #[test]
    fn the_first_line_tells_the_form() {
        for (text, form) in [
            (String::new(), None),
            ("\n \r\n".to_owned(), None),
            (
                "\n{\"type\":\"summary\"}".to_owned(),
                Some(ManifestForm::Records),
            ),
            ("{\"type\":\"docu".to_owned(), Some(ManifestForm::Records)),
            ("{\"type\":\"docu\n".to_owned(), Some(ManifestForm::Records)),
            (format!("\n{A}  a"), Some(ManifestForm::Sha256sum)),
        ] {
            assert_eq!(manifest(&text).form, form, "{text}");
        }
        for text in [
            "{}".to_owned(),
            "{\"id\":\"1\",\"name\":\"a row of a listing\"}\n".to_owned(),
            "# title\nwords\n".to_owned(),
            "docu".to_owned(),
            format!("{A} a\n"),
            format!("{A}  {}\n", "a".repeat(LONGEST_LINE)),
            format!("{A}  a\n{}", "\0".repeat(LONGEST_LINE + 1)),
            format!("{{{}\n", " ".repeat(LONGEST_LINE + 1)),
        ] {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!(found, None, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = format!("{{{}\n", " ".repeat(LONGEST_LINE + 1));
        let good = line("a", 1, None);
        let found = manifest(&format!("{long}{good}{long}{}{long}", line("b", 1, None)));
        assert_eq!(paths(&found), ["a", "b"]);
        assert_eq!(found.too_long, [1, 3, 5]);
        assert!(found.unreadable.is_empty() && found.torn.is_empty());
    }

    #[test]
    fn a_file_called_dash_is_not_standard_input() {
        let line = sha256sum_line(A, Path::new("-"));
        assert_eq!(line, format!("{A}  ./-").into_bytes());
    }

    proptest! {
        #[test]
        fn any_name_survives_a_line_of_sha256sum(
            name in proptest::collection::vec(
                prop_oneof![1_u8.., Just(b'\\'), Just(b'\n'), Just(b'\r'), Just(b'n')], 1..40,
            ),
        ) {
            prop_assume!(name != b"-");
            let path = PathBuf::from(OsString::from_vec(name));
            let line = sha256sum_line(A, &path);
            prop_assert!(!line.contains(&b'\n'));
            for end in [&b""[..], b"\n", b"\r\n"] {
                let text = [&line[..], end].concat();
                let found = read(&text[..]).unwrap().unwrap();
                prop_assert_eq!(&found.entries[0].path, &path);
                prop_assert_eq!(found.entries.len(), 1);
            }
        }

        #[test]
        fn no_manifest_is_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text[..]);
            let _ = read(&[format!("{A}  a\n").as_bytes(), &text].concat()[..]);
            let _ = read(&[line("a", 1, None).as_bytes(), &text].concat()[..]);
        }
    }
}
