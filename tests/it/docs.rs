//! The first page is short, and every link of the documentation leads somewhere.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// README.md has at most this many lines.
const MAX_README_LINES: usize = 150;

/// The pages of users, and those of contributors.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    // A package of the source has no `docs`.
    for folder in ["docs", "docs/providers"] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The lines of a page outside of its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The targets of the links of a page.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for rest in line.split("](").skip(1) {
            links.extend(rest.split_once(')').map(|(link, _)| link.to_owned()));
        }
    }
    links
}

#[test]
fn the_first_page_is_short() {
    let readme = fs::read_to_string(&pages()[0]).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= MAX_README_LINES, "{lines} lines");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let texts: HashMap<PathBuf, String> = pages()
        .into_iter()
        .map(|page| (page.clone(), fs::read_to_string(page).unwrap()))
        .collect();
    let mut broken = Vec::new();
    for (page, text) in &texts {
        for link in links(text).iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_package = !target.exists() && !page.with_file_name("docs").exists();
            let found = target.canonicalize().ok().and_then(|path| texts.get(&path));
            let has_anchor = |text: &String| anchors(text).iter().any(|known| known == anchor);
            let leads = target.exists() && (anchor.is_empty() || found.is_some_and(has_anchor));
            if !leads && !is_package {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_is_in_the_index_and_on_the_first_page() {
    let pages = pages();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let Ok(index) = fs::read_to_string(docs.join("README.md")) else {
        return; // a package of the source
    };
    let first = fs::read_to_string(&pages[0]).unwrap();
    for page in pages.iter().filter(|page| page.starts_with(&docs)) {
        let name = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        let is_index = name == "README.md";
        assert!(is_index || index.contains(&format!("]({name})")), "{name}");
        // The index leads to the pages of services.
        let is_first = is_index || name.starts_with("providers/");
        assert!(
            is_first || first.contains(&format!("](docs/{name})")),
            "{name}"
        );
    }
}

/// The lines of the first code block that begins with `fence`, without their indentation.
fn code<'a>(text: &'a str, fence: &str) -> Vec<&'a str> {
    let block = text.split_once(fence).unwrap().1;
    let block = block.split("```").next().unwrap();
    let lines = block
        .lines()
        .map(|line| line.trim_start_matches("//!").trim());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_example_of_the_library_page_is_the_one_that_the_tests_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(page) = fs::read_to_string(root.join("docs/library.md")) else {
        return; // a package of the source
    };
    let library = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let example = code(&library, "//! ```\n");
    let shown = |line: &'_ &str| line.trim_start_matches("# ").to_owned();
    let example: Vec<String> = example.iter().map(shown).collect();
    assert_eq!(code(&page, "```rust\n"), example);
}
