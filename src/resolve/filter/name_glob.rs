//! Patterns of names, as `--include` and `--exclude` take them.
//!
//! A pattern matches a whole name, and upper and lower case differ. `*` is any text and `?` any one character,
//! also `/`; `[a-z]` is one of these characters and `[!a-z]` any other; `{pdf,csv}` is one of these patterns;
//! a backslash takes the next character as it is.

use regex_lite::Regex;
use std::iter::Peekable;
use std::str::CharIndices;

/// A pattern of names.
#[derive(Clone, Debug)]
pub(crate) struct NameGlob {
    text: String,
    regex: Regex,
}

impl PartialEq for NameGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NameGlob {}

impl NameGlob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern such as *.pdf is expected".to_owned());
        }
        let regex = Translation::of(text).map_err(|(at, what)| {
            let position = text[..at].chars().count() + 1;
            format!("{what} at character {position}")
        })?;
        let regex = Regex::new(&regex)
            .map_err(|_| "the pattern is too long, or its braces are nested too deep".to_owned())?;
        let text = text.to_owned();
        Ok(Self { text, regex })
    }

    /// The pattern as the user writes it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches a name.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// What is wrong with a pattern, and the offset of that place in bytes.
type Wrong = (usize, &'static str);

/// A pattern as a regular expression.
struct Translation<'a> {
    rest: Peekable<CharIndices<'a>>,
    regex: String,
}

impl<'a> Translation<'a> {
    fn of(text: &'a str) -> Result<String, Wrong> {
        let mut translation = Self {
            rest: text.char_indices().peekable(),
            regex: "(?s)^(?:".to_owned(),
        };
        let mut open_braces = Vec::new();
        while let Some((at, character)) = translation.rest.next() {
            let regex = &mut translation.regex;
            match character {
                '*' if regex.ends_with(".*") => {}
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '[' => translation.class(at)?,
                '{' => {
                    open_braces.push(at);
                    regex.push_str("(?:");
                }
                '}' if open_braces.pop().is_some() => regex.push(')'),
                '}' => return Err((at, "there is no '{' for the '}'")),
                ',' if !open_braces.is_empty() => regex.push('|'),
                '\\' => {
                    let escaped = translation.rest.next();
                    let (_, escaped) = escaped.ok_or((at, "nothing follows the backslash"))?;
                    translation.literal(escaped);
                }
                other => translation.literal(other),
            }
        }
        match open_braces.pop() {
            Some(at) => Err((at, "there is no '}' for the '{'")),
            None => Ok(translation.regex + ")$"),
        }
    }

    fn literal(&mut self, character: char) {
        self.regex.push_str(&code_point(character));
    }

    /// Translates a class whose bracket is at this offset and was read.
    fn class(&mut self, bracket: usize) -> Result<(), Wrong> {
        let unclosed = (bracket, "there is no ']' for the '['");
        self.regex.push('[');
        if self.rest.next_if(|(_, c)| matches!(c, '!' | '^')).is_some() {
            self.regex.push('^');
        }
        let mut is_first = true;
        loop {
            let (at, character) = self.rest.next().ok_or(unclosed)?;
            if character == ']' && !is_first {
                self.regex.push(']');
                return Ok(());
            }
            is_first = false;
            let follows = |wanted| move |(_, c): &(usize, char)| *c == wanted;
            if character == '[' && self.rest.next_if(follows(':')).is_some() {
                return Err((at, "write a range such as 0-9 instead of '[:'"));
            }
            let first = self.member(character).ok_or(unclosed)?;
            self.regex.push_str(&code_point(first));
            let mut ahead = self.rest.clone();
            let is_range = ahead.next_if(follows('-')).is_some()
                && ahead.peek().is_some_and(|(_, next)| *next != ']');
            if is_range {
                self.rest = ahead;
                let (_, character) = self.rest.next().ok_or(unclosed)?;
                let last = self.member(character).ok_or(unclosed)?;
                if last < first {
                    return Err((at, "the range ends before its begin"));
                }
                self.regex.push('-');
                self.regex.push_str(&code_point(last));
            }
        }
    }

    /// The character of a class that `character` begins; none where a backslash is the end.
    fn member(&mut self, character: char) -> Option<char> {
        match character {
            '\\' => self.rest.next().map(|(_, escaped)| escaped),
            other => Some(other),
        }
    }
}

/// A character in a regular expression, also inside a class, without any meaning of its own.
fn code_point(character: char) -> String {
    if character.is_alphanumeric() {
        return character.to_string();
    }
    format!("\\x{{{:x}}}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, matching, others) in [
            (
                "*.pdf",
                &["a.pdf", ".pdf", "a/b.pdf", "a\nb.pdf"][..],
                &["a.PDF", "a.pdf2", "apdf"][..],
            ),
            (
                "Ums?tze*",
                &["Ums\u{e4}tze & Ausblick.csv", "Umsatze"],
                &["Umstze", "My Umsatze"],
            ),
            ("[a-c1].t", &["a.t", "c.t", "1.t"], &["d.t", "-.t", "A.t"]),
            ("[!a-c]", &["d", "\u{e4}", "-"], &["a", "", "dd"]),
            ("[^a]", &["b", "^"], &["a"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[!]a]", &["b"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[\u{e4}-\u{fc}]", &["\u{e4}", "\u{f6}"], &["a"]),
            (r"[\]\\]", &["]", "\\"], &["a"]),
            ("[*?]", &["*", "?"], &["a"]),
            ("[[]", &["["], &["]"]),
            (
                "*.{pdf,csv}",
                &["a.pdf", "a.csv"],
                &["a.{pdf,csv}", "a.txt"],
            ),
            ("{a,b{1,2}}c", &["ac", "b1c", "b2c"], &["bc", "a"]),
            ("a{,.b}", &["a", "a.b"], &["b"]),
            ("{a*,[,]}", &["abc", ","], &["b"]),
            ("a,b", &["a,b"], &["a"]),
            (r"\*\?\{\}\[", &["*?{}["], &["x"]),
            ("**", &["", "x"], &[]),
            ("a.b+(c)|^$ #", &["a.b+(c)|^$ #"], &["axb+(c)|^$ #"]),
            (".*", &[".a", "."], &["a"]),
            ("a.***b", &["a.b", "a.xb"], &["ab"]),
        ] {
            let glob = NameGlob::parse(pattern).unwrap();
            for name in matching {
                assert!(glob.matches(name), "{pattern} {name:?}");
            }
            for name in others {
                assert!(!glob.matches(name), "{pattern} {name:?}");
            }
        }
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_the_place() {
        for (pattern, what) in [
            ("a[b", "there is no ']' for the '[' at character 2"),
            ("[]", "there is no ']' for the '[' at character 1"),
            (r"[\", "there is no ']' for the '[' at character 1"),
            ("[a-", "there is no ']' for the '[' at character 1"),
            (
                "\u{e4}[z-a]",
                "the range ends before its begin at character 3",
            ),
            ("a{b,{c}", "there is no '}' for the '{' at character 2"),
            ("a}", "there is no '{' for the '}' at character 2"),
            ("ab\\", "nothing follows the backslash at character 3"),
            (
                "[[:digit:]]",
                "write a range such as 0-9 instead of '[:' at character 2",
            ),
        ] {
            assert_eq!(NameGlob::parse(pattern).unwrap_err(), what, "{pattern}");
        }
        assert!(NameGlob::parse("").unwrap_err().contains("*.pdf"));
        let deep = "{".repeat(1000) + &"}".repeat(1000);
        assert!(NameGlob::parse(&deep).unwrap_err().contains("nested"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let glob = NameGlob::parse(&("*a".repeat(50) + "b")).unwrap();
        let started = std::time::Instant::now();
        assert!(!glob.matches(&"a".repeat(1000)));
        assert!(started.elapsed().as_secs() < 5);
    }
}
