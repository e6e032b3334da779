//! Imports go down only, and no two files import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each top-level module.
fn layer(module: &str) -> u32 {
    match module {
        "main" | "lib" | "cli" | "internals" => 8,
        "commands" | "ui" => 7,
        "mirror" => 6,
        "manifest" => 5,
        "fetch" => 4,
        "resolve" => 3,
        "provider" | "http" => 2,
        "state" | "config" | "interrupt" => 1,
        "current_document" | "model" | "text" | "fingerprint" | "mutex" | "secret" | "similar"
        | "error" | "active_time" => 0,
        // It imports layer 0 and the schema of tables only, and only a command and the terminal import it.
        "sandbox" => 3,
        other => panic!("the module {other:?} has no layer; see src/lib.rs"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
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

/// A file of the product, without its comments and unit tests.
struct Source {
    /// Its module, such as `fetch::target`.
    module: Vec<String>,
    text: String,
}

fn product() -> Vec<Source> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 30, "only {} files were found", files.len());
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root()).unwrap().with_extension("");
        let mut module: Vec<String> = path
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        let text = fs::read_to_string(&file).unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<&str> = text.lines().filter(is_code).collect();
        let code = code.join("\n");
        let product = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let product = product.replace("#[cfg(test)]\nmod ", "#[cfg(test)]\n#[mod] ");
        Source {
            module,
            text: product,
        }
    };
    let sources: Vec<Source> = files.into_iter().map(read).collect();
    let is_declared = |source: &Source| {
        let Some((name, parent)) = source.module.split_last() else {
            return true;
        };
        let declared = format!("mod {name};");
        let parent = sources.iter().find(|source| source.module == parent);
        parent.is_none_or(|parent| parent.text.contains(&declared))
    };
    let kept: Vec<bool> = sources.iter().map(is_declared).collect();
    let kept = sources.into_iter().zip(kept);
    kept.filter_map(|(source, kept)| kept.then_some(source))
        .collect()
}

/// Every path that a `use` tree names, such as `a::{b, c::d}`.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let (prefix, group) = match tree.split_once('{') {
        Some((prefix, rest)) => (prefix, rest.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let prefix: Vec<String> = prefix
        .split(" as ")
        .next()
        .unwrap()
        .split("::")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    let Some(group) = group else {
        return vec![prefix];
    };
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(paths)
        .map(|path| [prefix.clone(), path].concat())
        .collect()
}

/// What a file imports or re-exports, as paths from the root of the crate.
struct Imports {
    used: Vec<Vec<String>>,
    /// By the name that the module offers.
    reexported: BTreeMap<String, Vec<String>>,
}

fn imports(source: &Source) -> Imports {
    let mut imports = Imports {
        used: Vec::new(),
        reexported: BTreeMap::new(),
    };
    let absolute = |path: &[String]| -> Option<Vec<String>> {
        let mut base = source.module.clone();
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => return Some([&base[..], &path[1..]].concat()),
            "super" => {}
            child => {
                let file = root().join(base.join("/")).join(child);
                let is_module = file.with_extension("rs").exists() || file.is_dir();
                return is_module.then(|| [&base[..], path].concat());
            }
        }
        let ups = path.iter().take_while(|part| *part == "super").count();
        base.truncate(base.len().saturating_sub(ups));
        Some([&base[..], &path[ups..]].concat())
    };
    for statement in source.text.split(';') {
        let Some((before, tree)) = statement.rsplit_once("use ") else {
            continue;
        };
        let visibility = before.rsplit('\n').next().unwrap().trim();
        if !visibility.is_empty() && !visibility.starts_with("pub") {
            continue;
        }
        for path in paths(tree).iter().filter_map(|path| absolute(path)) {
            let name = path.last().unwrap().clone();
            if visibility.is_empty() {
                imports.used.push(path);
            } else {
                imports.reexported.insert(name, path);
            }
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in source.text.match_indices(start) {
            let path = source.text[at..]
                .split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'))
                .next()
                .unwrap();
            let path: Vec<String> = path
                .split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            imports.used.extend(absolute(&path));
        }
    }
    imports
}

/// For each module, the modules whose items it uses, wherever they are re-exported.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let sources = product();
    let all: BTreeMap<String, Imports> = sources
        .iter()
        .map(|source| (source.module.join("::"), imports(source)))
        .collect();
    let home = |path: &[String]| {
        let mut path = path.to_vec();
        // A re-export leads to another module at most as often as modules are deep.
        for _ in 0..8 {
            let length = (0..=path.len())
                .rev()
                .find(|length| all.contains_key(&path[..*length].join("::")))?;
            let (module, rest) = path.split_at(length);
            let module = module.join("::");
            match rest
                .first()
                .and_then(|name| all[&module].reexported.get(name))
            {
                Some(target) => path = [&target[..], &rest[1..]].concat(),
                None => return Some(module),
            }
        }
        None
    };
    all.iter()
        .map(|(module, imports)| {
            let mut used: BTreeSet<String> =
                imports.used.iter().filter_map(|path| home(path)).collect();
            used.remove(module);
            (module.clone(), used)
        })
        .collect()
}

/// The module that is `depth` levels below the root, where a module is that deep.
fn ancestor(module: &str, depth: usize) -> Option<String> {
    let parts: Vec<&str> = module.split("::").collect();
    (parts.len() >= depth).then(|| parts[..depth].join("::"))
}

/// Whether a module has the types of a provider's table.
fn is_schema(module: &str) -> bool {
    let schema = ["provider::table", "provider::template", "provider::pointer"];
    // A group of imports also counts as an import of the module that re-exports them.
    module == "provider" || schema.iter().any(|path| module.starts_with(path))
}

#[test]
fn imports_go_down_only() {
    let mut upward = Vec::new();
    for (module, used) in graph() {
        let own = module.split("::").next().unwrap().to_owned();
        for import in &used {
            let other = import.split("::").next().unwrap();
            let down = other == own
                || layer(other) < layer(&own)
                    && (own != "sandbox" || layer(other) == 0 || is_schema(import))
                    && (other != "sandbox" || matches!(own.as_str(), "commands" | "ui" | "cli"));
            if !down && own != "lib" {
                upward.push(format!("{module} imports {import}"));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn no_two_files_import_each_other() {
    let graph = graph();
    let mutual: Vec<String> = graph
        .iter()
        .flat_map(|(module, used)| used.iter().map(move |other| (module, other)))
        .filter(|(module, other)| module < other)
        .filter(|(module, other)| graph.get(*other).is_some_and(|used| used.contains(*module)))
        .map(|(module, other)| format!("{module} and {other}"))
        .collect();
    assert!(mutual.is_empty(), "{mutual:#?}");
}

/// The files and folders within a module form no circle, whichever files in the folders import which.
#[test]
fn modules_within_a_module_form_no_circle() {
    let graph = graph();
    let mut circles = Vec::new();
    for depth in 2..=4 {
        let mut inner: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, used) in &graph {
            for other in used {
                let (Some(from), Some(to)) = (ancestor(module, depth), ancestor(other, depth))
                else {
                    continue;
                };
                if from != to && ancestor(&from, depth - 1) == ancestor(&to, depth - 1) {
                    inner.entry(from).or_default().insert(to);
                }
            }
        }
        // What imports nothing that is left cannot be in a circle.
        loop {
            let left: BTreeSet<String> = inner.keys().cloned().collect();
            inner
                .values_mut()
                .for_each(|used| used.retain(|other| left.contains(other)));
            let before = inner.len();
            inner.retain(|_, used| !used.is_empty());
            if inner.len() == before {
                break;
            }
        }
        circles.extend(
            inner
                .into_iter()
                .map(|(module, used)| format!("{module} imports {used:?}")),
        );
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_reader_of_imports_understands_groups_and_reexports() {
    let names = |tree| {
        let mut names: Vec<String> = paths(tree).iter().map(|path| path.join("::")).collect();
        names.sort();
        names
    };
    assert_eq!(names("crate::a::b"), ["crate::a::b"]);
    assert_eq!(
        names("crate::{a, b::{self, c as d}}"),
        ["crate::a", "crate::b::c", "crate::b::self"]
    );
    let graph = graph();
    assert!(
        graph["fetch::fetcher"].contains("fetch::target::claimed_paths"),
        "through a re-export"
    );
}

#[test]
fn clap_and_indicatif_live_in_one_place_each() {
    for (library, home) in [
        ("clap", "cli"),
        ("indicatif", "ui"),
        ("reqwest::Error", "http::failure"),
    ] {
        for source in product() {
            let module = source.module.join("::");
            let used = source.text.contains(&format!("{library}::"))
                || source.text.contains(&format!("use {library}"));
            assert!(!used || module.starts_with(home), "{module} uses {library}");
        }
    }
}

/// The runtime's own pool panics where the system allows no thread.
#[test]
fn blocking_work_goes_through_one_place() {
    for source in product() {
        for call in [
            "spawn_blocking",
            "tokio::fs",
            "tokio::io::std",
            "lookup_host",
            "thread::spawn(",
        ] {
            assert!(
                !source.text.contains(call),
                "{:?} uses {call}",
                source.module
            );
        }
    }
}

/// Files and functions that a reader can take in: what clap reads is a list, and may be longer.
#[test]
fn no_file_is_longer_than_450_lines() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let long: Vec<String> = files
        .iter()
        .filter(|file| !file.ends_with("cli/args.rs"))
        .map(|file| (file, fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 450)
        .map(|(file, lines)| format!("{}: {lines}", file.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
