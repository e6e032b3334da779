//! Imports go down only.

use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each top-level module.
fn layer(module: &str) -> u32 {
    match module {
        "main" | "lib" | "cli" => 8,
        "commands" | "ui" => 7,
        "mirror" => 6,
        "manifest" => 5,
        "fetch" => 4,
        "resolve" => 3,
        "provider" | "http" => 2,
        "state" | "config" | "interrupt" => 1,
        "model" | "text" | "fingerprint" | "mutex" | "secret" | "error" | "active_time" => 0,
        // It imports layer 0 only, and only a command and the terminal import it.
        "sandbox" => 1,
        other => panic!("the module {other:?} has no layer; see src/lib.rs"),
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Modules that a file names with `crate::`, wherever it stands but in comments.
fn imports(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn imports_go_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "only {} files were found", files.len());
    let mut upward = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().with_extension("");
        let module = path.iter().next().unwrap().to_str().unwrap().to_owned();
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let down = import == module
                || layer(&import) < layer(&module)
                    && (module != "sandbox" || layer(&import) == 0)
                    && (import != "sandbox"
                        || matches!(module.as_str(), "commands" | "ui" | "cli"));
            if !down {
                upward.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn clap_and_indicatif_live_in_one_place_each() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for (library, home) in [
        ("clap::", "cli"),
        ("indicatif::", "ui"),
        ("reqwest::Error", "http/failure"),
    ] {
        for file in &files {
            let path = file
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let used = fs::read_to_string(file).unwrap().contains(library);
            assert!(!used || path.starts_with(home), "{path} uses {library}");
        }
    }
}

/// The runtime's own pool panics where the system allows no thread.
#[test]
fn blocking_work_goes_through_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for call in [
            "spawn_blocking",
            "tokio::fs",
            "tokio::io::std",
            "lookup_host",
            "thread::spawn(",
        ] {
            let product = text.split("#[cfg(test)]").next().unwrap();
            assert!(!product.contains(call), "{} uses {call}", file.display());
        }
    }
}
