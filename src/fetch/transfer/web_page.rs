//! Web pages and XML errors that a server sends instead of a document. A web page is a login page, a maintenance page or
//! the page of a filter between docfetch and the storage; an XML error is that of a storage. Both arrive with status
//! 200. docfetch tells them from the document by their first bytes, and by what docfetch knows about the document.

use super::html::FirstBytes;
use crate::error::{Code, Error};
use crate::text::counted;

/// The extensions of web pages.
const WEB_PAGE_EXTENSIONS: [&str; 3] = ["html", "htm", "xhtml"];
/// The extensions of file formats with fixed first bytes, which are not those of HTML.
const BINARY_EXTENSIONS: [&str; 14] = [
    "pdf", "png", "jpg", "jpeg", "gif", "webp", "docx", "xlsx", "pptx", "ods", "zip", "gz", "bam",
    "cram",
];

/// What docfetch knows about a document before its last byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpectedDocument<'a> {
    /// The document's name, from the provider or the storage, else from the user.
    pub name: Option<&'a str>,
    /// Its size in bytes, from the provider's metadata.
    pub size: Option<u64>,
    /// The size in bytes that the storage announced.
    pub announced: Option<u64>,
    /// Whether docfetch will compare a digest of the bytes.
    pub proven: bool,
    /// Whether a part of the document is here that does not start as HTML.
    pub has_other_part: bool,
}

/// What a body is that starts as HTML or as the error of a storage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PageVerdict {
    /// The document.
    Document,
    /// The document, if its digest or its size proves that; else a web page. Says why it may be one.
    Unproven(String),
    /// A web page. Says why.
    WebPage(String),
}

/// Judges a body that starts as HTML or as the error of a storage.
pub(crate) fn judge(expected: ExpectedDocument<'_>) -> PageVerdict {
    let ExpectedDocument {
        name,
        size,
        announced,
        proven,
        has_other_part,
    } = expected;
    let extension = name.map(extension);
    let has_extension = |extensions: &[&str]| {
        let extension = extension.as_deref();
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    if (size.is_some() && size == announced) || has_extension(&WEB_PAGE_EXTENSIONS) {
        return PageVerdict::Document;
    }
    if has_other_part {
        let why = "the part of the document that is here does not";
        return PageVerdict::WebPage(why.to_owned());
    }
    let why = match (size, announced, &extension) {
        (Some(size), Some(announced), _) => {
            let size = counted(size, "byte");
            format!("the document has {size} according to the provider, the answer has {announced}")
        }
        (_, _, Some(extension)) if has_extension(&BINARY_EXTENSIONS) => {
            format!("the document's name ends in .{extension}")
        }
        (_, _, None) => "no file name of the document is known".to_owned(),
        (None, _, Some(_)) => return PageVerdict::Document,
        // docfetch knows the size of the body only at its end.
        (Some(size), None, Some(_)) => {
            format!("the provider says {}", counted(size, "byte"))
        }
    };
    if proven || (size.is_some() && announced.is_none()) {
        PageVerdict::Unproven(why)
    } else {
        PageVerdict::WebPage(why)
    }
}

/// Whether documents of this name usually are web pages. Of a name in a URL, nothing else counts: it can be
/// any word.
pub(crate) fn is_usual_web_page_name(name: &str) -> bool {
    let extension = extension(name);
    extension == "xls" || WEB_PAGE_EXTENSIONS.contains(&extension.as_str())
}

/// A name's extension in lower case; empty where the name has none.
fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.to_ascii_lowercase()
}

/// The error of a web page, or of a storage's error, that `host` sent instead of a document. `why` says why the body
/// is not the document. Where neither the provider nor the storage names the document (`is_named`), the hint says
/// that the user can.
pub(crate) fn refusal(host: &str, kind: FirstBytes, why: &str, is_named: bool) -> Error {
    let (sent, start, document, extension) = match kind {
        FirstBytes::StorageError => (
            "an error",
            "as XML with an error",
            "XML that begins so",
            "xml",
        ),
        _ => ("a web page", "as HTML", "a web page", "html"),
    };
    let what = format!("{host} sent {sent} instead of the document");
    let name = if is_named {
        String::new()
    } else {
        format!(" or -o NAME.{extension}")
    };
    let hint = format!(
        "run again later; if the document is {document}, give the id alone with its --sha256{name}"
    );
    Error::new(Code::StorageError, what)
        .with_cause(format!("it starts {start}, and {why}"))
        .asking_for_sha256(hint)
        .with_http_status(200)
}

/// Whether a provider whose table has the key `refuse` has no documents of this media type.
pub(crate) fn is_refused_type(refuse: &[String], media_type: &str) -> bool {
    let mut refuse = refuse.iter();
    refuse.any(|refused| refused.eq_ignore_ascii_case(media_type))
}

/// Whether a provider whose table has the key `refuse` has no documents that start as HTML.
pub(crate) fn refuses_html(refuse: &[String]) -> bool {
    let mut types = ["text/html", "application/xhtml+xml"].into_iter();
    types.any(|html| is_refused_type(refuse, html))
}

/// The error of a body of a media type that the provider `title` has no documents of.
pub(crate) fn refused_type(host: &str, media_type: &str, title: &str) -> Error {
    let what = format!("{host} sent an error instead of the document");
    let why = format!("its media type is {media_type}, and {title} has no documents of that type");
    Error::new(Code::StorageError, what)
        .with_cause(why)
        .asking_for_sha256(
            "run again later; if that is the document, give the id alone with its --sha256",
        )
        .with_http_status(200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_refuses_its_media_types_and_html_where_one_of_them_is_html() {
        let refuse = |types: &[&str]| {
            types
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        for (types, media_type, is_refused, html) in [
            (&["text/html"][..], "text/html", true, true),
            (&["text/html"], "text/plain", false, true),
            (
                &["Application/XHTML+xml"],
                "application/xhtml+xml",
                true,
                true,
            ),
            (&["application/json"], "application/json", true, false),
            (&[], "text/html", false, false),
        ] {
            assert_eq!(
                is_refused_type(&refuse(types), media_type),
                is_refused,
                "{types:?}"
            );
            assert_eq!(refuses_html(&refuse(types)), html, "{types:?}");
        }
    }

    #[test]
    fn the_hint_says_what_the_document_would_be_and_asks_for_its_sha256() {
        for (kind, document, name) in [
            (FirstBytes::StorageError, "XML that begins so", "NAME.xml"),
            (FirstBytes::Html, "a web page", "NAME.html"),
        ] {
            let error = refusal("host", kind, "no name is known", false);
            assert!(error.asks_for_sha256());
            assert_eq!(
                error.hint(),
                format!(
                    "run again later; if the document is {document}, give the id alone with its --sha256 or -o {name}"
                )
            );
        }
    }

    #[test]
    fn a_page_is_the_document_where_size_or_name_allow_it() {
        let of = |name, size, announced| match judge(ExpectedDocument {
            name,
            size,
            announced,
            ..ExpectedDocument::default()
        }) {
            PageVerdict::Document => "document",
            PageVerdict::Unproven(_) => "unproven",
            PageVerdict::WebPage(_) => "page",
        };
        for (name, no_size, same, differs, later) in [
            (
                Some("a.html"),
                "document",
                "document",
                "document",
                "document",
            ),
            (
                Some("a.HTM"),
                "document",
                "document",
                "document",
                "document",
            ),
            (Some("a.xls"), "document", "document", "page", "unproven"),
            (Some("README"), "document", "document", "page", "unproven"),
            (Some("a.fastq"), "document", "document", "page", "unproven"),
            (Some("a.pdf"), "page", "document", "page", "unproven"),
            (Some("a.fastq.GZ"), "page", "document", "page", "unproven"),
            (None, "page", "document", "page", "unproven"),
        ] {
            assert_eq!(of(name, None, Some(9)), no_size, "{name:?}");
            assert_eq!(of(name, None, None), no_size, "{name:?}");
            assert_eq!(of(name, Some(9), Some(9)), same, "{name:?}");
            assert_eq!(of(name, Some(8), Some(9)), differs, "{name:?}");
            assert_eq!(of(name, Some(8), None), later, "{name:?}");
        }
        let proven = ExpectedDocument {
            name: Some("a.pdf"),
            proven: true,
            ..ExpectedDocument::default()
        };
        assert!(matches!(judge(proven), PageVerdict::Unproven(_)));
        for (name, is_page) in [("a.pdf", true), ("a.fastq", true), ("a.html", false)] {
            let resumed = ExpectedDocument {
                name: Some(name),
                has_other_part: true,
                ..proven
            };
            let verdict = judge(resumed);
            assert_eq!(
                matches!(verdict, PageVerdict::WebPage(_)),
                is_page,
                "{name}"
            );
        }
    }
}
