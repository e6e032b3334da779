//! What the doc comments of a source file say.

/// A definition with its doc comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its doc comment, on one line.
    pub doc: String,
    /// Its attributes, on one line.
    pub attributes: String,
    /// Its code without `pub`, such as `name: String,`.
    pub code: String,
}

/// The definitions inside the braces that follow `head`, such as `enum Code`; all of the file when `head` is
/// empty.
pub(super) fn items(text: &str, head: &str) -> Vec<Item> {
    let start = text.find(head).unwrap_or_else(|| panic!("no {head:?}"));
    let body = &text[start..];
    let (skipped, end) = match head {
        "" => (0, body.len()),
        _ => (1, body.find("\n}").unwrap_or(body.len())),
    };
    let mut items = Vec::new();
    let (mut doc, mut attributes) = (Vec::new(), String::new());
    for line in body[..end].lines().skip(skipped).map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            doc.push(comment.trim());
        } else if line.starts_with("#[") {
            attributes.push_str(line);
        } else if !line.is_empty() {
            items.push(Item {
                doc: without_links(&doc.join(" ")),
                attributes: std::mem::take(&mut attributes),
                code: without_visibility(line).to_owned(),
            });
            doc.clear();
        }
    }
    items
}

/// The text in quotes that follows `key` in the attributes right above `head`.
pub(super) fn quoted<'a>(text: &'a str, head: &str, key: &str) -> Option<&'a str> {
    let above = &text[..text.find(head)?];
    let attributes = above
        .lines()
        .rev()
        .skip(1)
        .take_while(|line| line.starts_with("#["));
    let mut values = attributes.filter_map(|line| line.split_once(key)?.1.split('"').nth(1));
    values.next()
}

/// A definition without `pub` and its scope.
fn without_visibility(line: &str) -> &str {
    let scopes = ["pub ", "pub(crate) ", "pub(super) "];
    let mut public = scopes.iter().filter_map(|scope| line.strip_prefix(scope));
    public.next().unwrap_or(line)
}

/// Markdown without the links of rustdoc: [`Code`] becomes `Code`.
fn without_links(doc: &str) -> String {
    doc.replace("[`", "`").replace("`]", "`")
}

#[test]
fn an_item_is_a_comment_attributes_and_code() {
    let text = "#[serde(rename = \"a\")]\npub struct A {\n    /// One [`B`],\n    /// two.\n    #[serde(skip)]\n    pub b: B,\n}\nx";
    let expected = Item {
        doc: "One `B`, two.".into(),
        attributes: "#[serde(skip)]".into(),
        code: "b: B,".into(),
    };
    assert_eq!(items(text, "struct A"), [expected]);
    assert_eq!(quoted(text, "struct A", "rename = "), Some("a"));
}
