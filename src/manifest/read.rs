//! Reading a manifest: which files it names, and what it says of them.
//!
//! A manifest has one of two forms: the JSON lines of docfetch, or the lines of GNU sha256sum. Nothing
//! here opens the files that it names.

use crate::manifest::entry::{ManifestEntry, UnreadableLine};
use crate::manifest::{record, sha256sum};
use crate::text::without_byte_order_mark;
use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;

/// The length of the longest line of a manifest that docfetch reads into memory, in bytes, with the line end.
pub(crate) const MAX_MANIFEST_LINE_BYTES: usize = 1 << 20;

/// The form of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestForm {
    /// JSON lines, as docfetch writes them.
    Records,
    /// Lines as GNU sha256sum writes them.
    Sha256sum,
}

/// What a manifest says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The form. `None` if the manifest has no line.
    pub form: Option<ManifestForm>,
    /// The files. The last record of a path counts; but a record without a SHA-256 does not replace an
    /// earlier one with a SHA-256, unless a mirror has another document there since. In the manifest of a mirror,
    /// only the last record of a document counts: a mirror that was copied to another file system may need another
    /// path for it. Of sha256sum, every line counts.
    pub entries: Vec<ManifestEntry>,
    /// The numbers, from 1 on, of the lines that are not of the manifest's form.
    pub unreadable: Vec<usize>,
    /// The numbers of the lines that a killed process did not write to their ends: a last line that is not
    /// of the manifest's form, and incomplete records, since later runs append lines.
    pub torn: Vec<usize>,
    /// The numbers of the lines that are longer than any line of docfetch.
    pub too_long: Vec<usize>,
}

/// How many bytes at the start of a manifest may be of neither form.
const MAX_UNKNOWN_BYTES: usize = MAX_MANIFEST_LINE_BYTES;

/// Reads a manifest, whose form is that of the first line that has one. `None` if no line at the start has a form.
///
/// # Errors
/// The error of `input`; one that holds [`Utf16Text`](crate::text::Utf16Text) for a text in UTF-16.
pub(crate) fn read(mut input: impl BufRead) -> io::Result<Option<Manifest>> {
    let mut reading = Reading::default();
    let mut line = Vec::new();
    let mut unknown_bytes = 0;
    for number in 1.. {
        line.clear();
        let max = MAX_MANIFEST_LINE_BYTES as u64 + 1;
        if input.by_ref().take(max).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if number == 1 {
            let text = without_byte_order_mark(&line).map_err(io::Error::other)?;
            line.drain(..line.len() - text.len());
        }
        if line.len() <= MAX_MANIFEST_LINE_BYTES {
            reading.add(number, &line);
            if reading.manifest.form.is_none() {
                unknown_bytes += line.len();
            }
            if unknown_bytes > MAX_UNKNOWN_BYTES {
                return Ok(None);
            }
            continue;
        }
        if !line.starts_with(b"{") {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            input.skip_until(b'\n')?;
        }
        reading.manifest.too_long.push(number);
    }
    let manifest = reading.finish();
    let strange = [&manifest.unreadable, &manifest.torn, &manifest.too_long];
    let is_unknown = manifest.form.is_none() && strange.iter().any(|lines| !lines.is_empty());
    Ok((!is_unknown).then_some(manifest))
}

/// A manifest whose lines are being read.
#[derive(Default)]
struct Reading {
    manifest: Manifest,
    /// For the path of each record, its place among the entries.
    places: HashMap<PathBuf, usize>,
    /// For each document of a mirror, the place of its last record among the entries.
    mirrored: HashMap<MirroredDocument, usize>,
}

/// Provider, kind of resource and id of a document of a mirror.
type MirroredDocument = [Option<String>; 3];

fn mirrored_document(entry: &ManifestEntry) -> Option<MirroredDocument> {
    let resource = entry.mirror_resource.clone()?;
    Some([entry.provider.clone(), Some(resource), entry.id.clone()])
}

impl Reading {
    /// Adds the line with this number, with its end.
    fn add(&mut self, number: usize, line: &[u8]) {
        let manifest = &mut self.manifest;
        let has_end = line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // sha256sum ignores comments.
        let is_comment = line.starts_with(b"#") && manifest.form != Some(ManifestForm::Records);
        if is_comment || line.trim_ascii().is_empty() {
            return;
        }
        manifest.form = manifest.form.or_else(|| form_of(line));
        match manifest.form {
            Some(ManifestForm::Records) => match record::parse(line) {
                Ok(Some(entry)) => self.keep(entry),
                Ok(None) => {}
                Err(UnreadableLine) if has_end && !record::is_torn(line) => {
                    manifest.unreadable.push(number);
                }
                Err(UnreadableLine) => manifest.torn.push(number),
            },
            Some(ManifestForm::Sha256sum) => match sha256sum::parse(line) {
                Ok(entry) => manifest.entries.push(entry),
                Err(UnreadableLine) if has_end => manifest.unreadable.push(number),
                Err(UnreadableLine) => manifest.torn.push(number),
            },
            None => manifest.unreadable.push(number),
        }
    }

    /// Adds what a record says, or replaces what an earlier record says of the same path.
    fn keep(&mut self, entry: ManifestEntry) {
        let entries = &mut self.manifest.entries;
        // `./a` is the path `a`.
        let path = entry.path.strip_prefix(".").unwrap_or(&entry.path);
        let known = self.places.get(path).copied();
        let document = mirrored_document(&entry);
        if let Some(document) = document.clone() {
            let place = known.unwrap_or(entries.len());
            self.mirrored.insert(document, place);
        }
        let knows_less = |earlier: &ManifestEntry| {
            let is_another = document.is_some() && mirrored_document(earlier) != document;
            entry.sha256.is_none() && earlier.sha256.is_some() && !is_another
        };
        match known.and_then(|place| entries.get_mut(place)) {
            Some(earlier) if knows_less(earlier) => {}
            Some(earlier) => *earlier = entry,
            None => {
                self.places.insert(path.to_owned(), entries.len());
                entries.push(entry);
            }
        }
    }

    /// What the lines say together.
    fn finish(self) -> Manifest {
        let Self {
            mut manifest,
            mirrored,
            ..
        } = self;
        let mut place = 0;
        manifest.entries.retain(|entry| {
            let document = mirrored_document(entry);
            let last = document.and_then(|document| mirrored.get(&document));
            place += 1;
            last.is_none_or(|last| last + 1 == place)
        });
        manifest
    }
}

/// The form of a manifest that begins with `line`. An incomplete record is a record.
fn form_of(line: &[u8]) -> Option<ManifestForm> {
    if record::parse(line).is_ok() || record::is_torn(line) {
        Some(ManifestForm::Records)
    } else {
        sha256sum::parse(line).ok().map(|_| ManifestForm::Sha256sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt as _;

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
            mirror_resource: None,
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
    fn in_the_manifest_of_a_mirror_the_last_record_of_a_document_counts() {
        let line = |id: &str, path: &str, resource: &str| {
            let line = serde_json::json!({"type": "document", "provider": "sm", "id": id, "status": "fetched",
                "path": path, "bytes": 1, "sha256": A, "resource": resource});
            format!("{line}\n")
        };
        let text = [
            line("1", "a?", ""),
            line("2", "b", ""),
            line("1", "a_", ""),
            line("2", "c", "assets"),
            line("3", "d", ""),
            line("4", "d", ""), // document 3 lost its path to document 4
            line("3", "e", ""),
            line("4", "f", ""),
            line("4", "d", ""),
        ];
        let manifest = manifest(&text.concat());
        assert_eq!(paths(&manifest), ["b", "a_", "c", "d", "e"]);
        let ids = manifest
            .entries
            .iter()
            .filter_map(|entry| entry.id.as_deref());
        assert_eq!(ids.collect::<String>(), "21243");
    }

    #[test]
    fn in_the_manifest_of_a_mirror_a_path_is_of_its_last_document_even_if_its_digest_is_not_known()
    {
        let line = |id: &str, path: &str, bytes: u64, sha256: Option<&str>| {
            let line = serde_json::json!({"type": "document", "provider": "sm", "id": id, "status": "skipped",
                "path": path, "bytes": bytes, "sha256": sha256, "resource": ""});
            format!("{line}\n")
        };
        let (first, moved) = (line("1", "a", 1, Some(A)), line("1", "b", 1, Some(A)));
        let (known, second) = (line("1", "a", 1, None), line("2", "a", 2, None));
        for text in [
            [&first, &known, &moved, &second],
            [&first, &known, &second, &moved],
        ] {
            let manifest = manifest(&text.map(String::as_str).concat());
            let found = manifest.entries.iter();
            let found: Vec<_> = found
                .map(|entry| (entry.id.as_deref().unwrap(), entry.bytes.unwrap()))
                .collect();
            assert_eq!(found, [("2", 2), ("1", 1)]);
            assert_eq!(paths(&manifest), ["a", "b"]);
        }
        // A record of the same document knows less.
        let manifest = manifest(&[&*first, &*known].concat());
        assert_eq!(manifest.entries[0].sha256.as_deref(), Some(A));
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
    fn the_first_line_that_has_a_form_tells_the_form() {
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
        let record = line("a", 1, None);
        for (text, form) in [
            (format!("\0damaged\n{record}"), ManifestForm::Records),
            (format!("\n{A}x  a\n{A}  b\n"), ManifestForm::Sha256sum),
        ] {
            let found = manifest(&text);
            assert_eq!((found.form, found.entries.len()), (Some(form), 1), "{text}");
            assert_eq!((found.unreadable.len(), found.torn.len()), (1, 0), "{text}");
        }
        let marked = format!("\u{feff}{A}  a\n{A}  b\n");
        assert_eq!(paths(&manifest(&marked)), ["a", "b"]);
        for text in [
            "{}".to_owned(),
            "{\"id\":\"1\",\"name\":\"a row of a listing\"}\n".to_owned(),
            "# title\nwords\n".to_owned(),
            "docu".to_owned(),
            format!("{A} a\n"),
            format!("{}{A}  a\n", "words\n".repeat(MAX_UNKNOWN_BYTES / 6 + 1)),
            format!("{A}  {}\n", "a".repeat(MAX_MANIFEST_LINE_BYTES)),
            format!("{A}  a\n{}", "\0".repeat(MAX_MANIFEST_LINE_BYTES + 1)),
            format!("{{{}\n", " ".repeat(MAX_MANIFEST_LINE_BYTES + 1)),
        ] {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!(found, None, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = format!("{{{}\n", " ".repeat(MAX_MANIFEST_LINE_BYTES + 1));
        let good = line("a", 1, None);
        let found = manifest(&format!("{long}{good}{long}{}{long}", line("b", 1, None)));
        assert_eq!(paths(&found), ["a", "b"]);
        assert_eq!(found.too_long, [1, 3, 5]);
        assert!(found.unreadable.is_empty() && found.torn.is_empty());
    }

    proptest! {
        #[test]
        fn any_name_survives_a_line_of_sha256sum(
            name in proptest::collection::vec(
                prop_oneof![1_u8.., Just(b'\\'), Just(b'\n'), Just(b'\r'), Just(b'n')], 1..40,
            ),
        ) {
            prop_assume!(name != b"-");
            let path = PathBuf::from(std::ffi::OsString::from_vec(name));
            let line = sha256sum::line(A, &path);
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
