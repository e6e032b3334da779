//! The tables of real headers and hostile names; unit tests read them, too.

use serde::Deserialize;
use std::path::Path;

/// A hostile file name.
#[derive(Deserialize)]
pub struct Attack {
    pub name: String,
    pub bytes_hex: Option<String>,
}

/// The rows of a table in `tests/data`.
pub fn load<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Bytes from hexadecimal digits.
pub fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Asserts that `name` is safe as a file name on every system (SPEC.md section 3, Names).
pub fn assert_safe(name: &str, what: &str) {
    assert!(!name.is_empty() && name.len() <= 255, "{what}: {name:?}");
    assert!(!name.contains(['/', '\\']), "{what}: {name:?}");
    assert!(!name.starts_with(['.', '-', '~']), "{what}: {name:?}");
    assert!(!name.ends_with(['.', ' ']), "{what}: {name:?}");
    let overrides = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(
        !name.chars().any(|c| c.is_control() || overrides(c)),
        "{what}: {name:?}"
    );
    let stem = name.split('.').next().unwrap().to_uppercase();
    let devices = [
        "CON",
        "PRN",
        "AUX",
        "NUL",
        "COM1",
        "COM9",
        "LPT1",
        "COM\u{b9}",
        "CONIN$",
        "CLOCK$",
    ];
    assert!(!devices.contains(&stem.as_str()), "{what}: {name:?}");
}
