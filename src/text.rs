//! Text for people and shells: characters that must not be shown as they are, quoting, durations, sizes.

use std::borrow::Cow;
use std::time::Duration;

/// Why a character does not appear as it is in a name, a header or on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// A control character (general category Cc), such as the start of an escape sequence.
    Control,
    /// A control of the bidirectional algorithm (Unicode Standard Annex #9): it reorders its neighbours.
    Reordering,
    /// It takes no room or breaks the line, and means nothing within a name.
    Invisible,
    /// It takes no room, and yet belongs to words of some scripts, to emoji or to annotated text.
    Joining,
}

/// The one table of characters that cannot be seen; none for all others.
fn unseen(c: char) -> Option<Unseen> {
    Some(match c {
        c if c.is_control() => Unseen::Control,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Unseen::Reordering
        }
        '\u{ad}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => Unseen::Invisible,
        '\u{200c}'
        | '\u{200d}'
        | '\u{2061}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}' => Unseen::Joining,
        _ => return None,
    })
}

/// Whether `c` is a control or reordering character: a file name in a header is refused because of it, and a
/// message of a server is shown without it.
pub(crate) fn is_control_or_reordering(c: char) -> bool {
    matches!(unseen(c), Some(Unseen::Control | Unseen::Reordering))
}

/// Whether `c` is removed from file names. Joining characters stay, since words of some scripts and emoji
/// consist of them.
pub(crate) fn is_removed_from_names(c: char) -> bool {
    unseen(c).is_some_and(|kind| kind != Unseen::Joining)
}

/// Whether `c` is escaped where a terminal may show it.
pub(crate) fn is_escaped_on_terminals(c: char) -> bool {
    unseen(c).is_some()
}

/// `text` with every character that a terminal must not show written as `\u{…}`, so that text of a server
/// can neither move the cursor nor hide anything.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |clean, c| clean.extend(c.escape_default()))
}

/// `json` with every character that a terminal must not show written as a JSON escape (RFC 8259 section 7).
/// Parsers read the same text.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |clean, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            clean.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// `text`, in which `escape` writes every character that a terminal must not show.
fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(is_escaped_on_terminals) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped_on_terminals(c) {
            escape(&mut clean, c);
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// A word that a POSIX shell reads as it is (POSIX.1-2024, Shell Command Language, section 2.2).
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// The last argument of a command for a shell. After `--`, a text that begins with `-` is not an option.
pub(crate) fn shell_argument(text: &str) -> String {
    let separator = if text.starts_with('-') { "-- " } else { "" };
    format!("{separator}{}", shell_word(text))
}

/// The longest time that any number from outside stands for: some thirty years. No clock overflows when
/// it is added.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(1_000_000_000);

/// The most bytes or rows that any number from outside stands for: a million TiB. Sums of a few of them
/// do not overflow.
pub(crate) const LARGEST_SIZE: u64 = 1 << 60;

/// A number of things, whose plural is regular: `1 request`, `2 requests`.
pub(crate) fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {thing}"),
        number => format!("{number} {}", plural(thing)),
    }
}

/// The plural of an English word by the usual rules.
pub(crate) fn plural(thing: &str) -> String {
    let is_vowel = |c: char| matches!(c, 'a' | 'e' | 'i' | 'o' | 'u');
    match thing.strip_suffix('y') {
        Some(stem) if !stem.is_empty() && !stem.ends_with(is_vowel) => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"]
            .iter()
            .any(|end| thing.ends_with(end)) =>
        {
            format!("{thing}es")
        }
        _ => format!("{thing}s"),
    }
}

/// A duration for people, never longer than it is.
pub(crate) fn short_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes for people, in binary units, with one decimal place from 1 KiB on.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// A duration for people, never shorter than it is.
pub(crate) fn rounded_up(duration: Duration) -> String {
    let duration = duration.min(LONGEST_TIME);
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let minutes = seconds.div_ceil(60);
    match (seconds, minutes % 60) {
        (..120, _) => format!("{seconds} s"),
        (..7200, _) if minutes < 120 => format!("{minutes} min"),
        (..172_800, 0) => format!("{} h", minutes / 60),
        (..172_800, rest) => format!("{} h {rest} min", minutes / 60),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// Reads a duration: `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    };
    duration.filter(|duration| *duration <= LONGEST_TIME)
}

/// Reads a size in bytes: `1000`, `512K`, `2M`, `1G`, in powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A text file that is not UTF-8. Windows programs write such files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is UTF-16, and docfetch reads UTF-8")]
pub(crate) struct Utf16Text;

impl Utf16Text {
    /// What the user should do next.
    pub(crate) const HINT: &str = "save the file as UTF-8";
}

/// The text of a file, given its first bytes or all of them, without the byte order mark of UTF-8.
///
/// # Errors
/// [`Utf16Text`] for the byte order mark of UTF-16, and for two characters of ASCII in UTF-16, which NUL bytes
/// give away.
pub(crate) fn without_byte_order_mark(text: &[u8]) -> Result<&[u8], Utf16Text> {
    match *text {
        [0xef, 0xbb, 0xbf, ref text @ ..] => Ok(text),
        [0xff, 0xfe, ..]
        | [0xfe, 0xff, ..]
        | [0, 1..=255, 0, 1..=255, ..]
        | [1..=255, 0, 1..=255, 0, ..] => Err(Utf16Text),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text_and_utf_16_is_recognised() {
        for (bytes, text) in [
            (&b""[..], Ok(&b""[..])),
            (b"a", Ok(b"a")),
            (b"key\n", Ok(b"key\n")),
            (b"\xef\xbb\xbf", Ok(b"")),
            (b"\xef\xbb\xbfkey", Ok(b"key")),
            ("\u{e9}\u{e9}".as_bytes(), Ok("\u{e9}\u{e9}".as_bytes())),
            (b"\xff\xfe", Err(Utf16Text)),
            (b"\xff\xfek\0", Err(Utf16Text)),
            (b"\xfe\xff\0k", Err(Utf16Text)),
            (b"k\0e\0y\0", Err(Utf16Text)),
            (b"\0k\0e\0y", Err(Utf16Text)),
        ] {
            assert_eq!(without_byte_order_mark(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        for (number, said) in [(0, "0 rows"), (1, "1 row"), (2, "2 rows")] {
            assert_eq!(counted(number, "row"), said);
        }
    }

    #[test]
    fn escapes_stay_text() {
        assert_eq!(
            printable("a\u{1b}[2J\u{9b}b\u{202e}\n"),
            "a\\u{1b}[2J\\u{9b}b\\u{202e}\\n"
        );
        assert_eq!(
            printable_json("\"\u{202e}\u{9b}\u{e4}\u{e0041}\""),
            "\"\\u202e\\u009b\u{e4}\\udb40\\udc41\""
        );
        assert!(matches!(printable("Ums\u{e4}tze"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_json_text_is_read_as_it_was() {
        let value = serde_json::json!("a\u{e0041}\u{2063}\u{ad}b");
        let shown = printable_json(&value.to_string()).into_owned();
        assert!(shown.is_ascii());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    #[test]
    fn one_table_serves_names_headers_and_the_terminal() {
        let of = |c| {
            (
                is_control_or_reordering(c),
                is_removed_from_names(c),
                is_escaped_on_terminals(c),
            )
        };
        let is = |ranges: &[(u32, u32)], expected| {
            for c in ranges.iter().flat_map(|(from, to)| *from..=*to) {
                let c = char::from_u32(c).unwrap();
                assert_eq!(of(c), expected, "{c:?}");
            }
        };
        let reordering = [
            (0x61c, 0x61c),
            (0x200e, 0x200f),
            (0x202a, 0x202e),
            (0x2066, 0x2069),
        ];
        is(&[(0, 0x1f), (0x7f, 0x9f)], (true, true, true));
        is(&reordering, (true, true, true));
        let invisible = [
            (0xad, 0xad),
            (0x180e, 0x180e),
            (0x200b, 0x200b),
            (0x2028, 0x2029),
        ];
        is(&invisible, (false, true, true));
        is(
            &[(0x2060, 0x2060), (0xfeff, 0xfeff), (0xe0000, 0xe007f)],
            (false, true, true),
        );
        let joining = [
            (0x200c, 0x200d),
            (0x2061, 0x2065),
            (0x206a, 0x206f),
            (0xfff9, 0xfffb),
        ];
        is(&joining, (false, false, true));
        is(
            &[(0x20, 0x7e), (0xa0, 0xac), (0xe4, 0xff), (0xe0080, 0xe0080)],
            (false, false, false),
        );
    }

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("30s"), Some(30_000));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("7"), Some(7_000));
        for wrong in [
            "",
            "s",
            "5 m",
            "-5s",
            "1.5s",
            "5d",
            "99999999999999999999s",
            "9999999999999999999s",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_size("512K"), Some(512 << 10));
        assert_eq!(parse_size("2m"), Some(2 << 20));
        assert_eq!(parse_size("1000"), Some(1000));
        for wrong in ["", "K", "1T", "+1", "99999999999G"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_shell_reads_a_word_as_it_is() {
        assert_eq!(shell_word("a-b.pdf"), "a-b.pdf");
        assert_eq!(shell_word("a b;$(x)'y"), r"'a b;$(x)'\''y'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_argument("-x 1"), "-- '-x 1'");
    }

    #[test]
    fn durations_for_people_are_never_longer_than_they_are() {
        let short = |seconds| short_duration(Duration::from_secs(seconds));
        let expected = [
            "0 s", "119 s", "2 min", "59 min", "119 min", "2 h", "47 h", "2 days",
        ];
        let seconds = [0, 119, 120, 3599, 7199, 7200, 172_799, 172_800];
        assert_eq!(seconds.map(short), expected);
    }

    #[test]
    fn sizes_have_binary_units() {
        let of = [0, 1023, 1024, 1536, 5 << 30].map(size);
        assert_eq!(of, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn waits_for_people_are_never_shorter_than_they_are() {
        let up = |milliseconds| rounded_up(Duration::from_millis(milliseconds));
        let expected = [
            "0 s",
            "1 s",
            "2 min",
            "3 min",
            "60 min",
            "2 h",
            "2 h",
            "2 h 1 min",
            "48 h",
        ];
        let milliseconds = [
            0,
            1,
            119_001,
            121_000,
            3_600_000,
            7_199_001,
            7_200_000,
            7_200_001,
            172_799_000,
        ];
        assert_eq!(milliseconds.map(up), expected);
    }
}
