//! Partials and their sidecars, as files.

use super::World;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The partial and its sidecar.
pub fn partial(world: &World) -> (PathBuf, PathBuf) {
    let path = world.file_ending(".part").unwrap();
    (path.clone(), path.with_extension("json"))
}

/// Seals a sidecar as the product does.
pub fn write_sidecar(path: &Path, sidecar: &Value) {
    let text = sidecar.to_string();
    let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    crc.update(&0u64.to_be_bytes());
    crc.update(text.as_bytes());
    let seal = format!("{:016x}", crc.finalize());
    fs::write(
        path,
        format!(r#"{{"turn":0,"sidecar":{text},"seal":"{seal}"}}"#),
    )
    .unwrap();
}

/// What the newer of a sidecar's two places says.
pub fn read_sidecar(path: &Path) -> Value {
    let text = fs::read(path).unwrap();
    let places = [
        &text[..text.len().min(32 << 10)],
        text.get(32 << 10..).unwrap_or_default(),
    ];
    let sealed = places.iter().filter_map(|place| {
        let line = place.split(|byte| matches!(byte, b'\n' | 0)).next()?;
        serde_json::from_slice::<Value>(line).ok()
    });
    let newest = sealed.max_by_key(|sealed| sealed["turn"].as_u64());
    newest.unwrap()["sidecar"].clone()
}
