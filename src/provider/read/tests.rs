use super::*;
use crate::config::toml_file::TomlFile;

fn read(name: &str, text: &str) -> Result<Vec<Table>> {
    let file = TomlFile::new(format!("{name}.toml"), text);
    let parsed = file.parse()?;
    provider(name, &file.root(&parsed))
}

#[test]
fn the_tables_in_the_source_tree_are_right() {
    for (name, text) in [
        ("sm", include_str!("../tables/sm.toml")),
        ("onecodex", include_str!("../tables/onecodex.toml")),
    ] {
        let kinds = read(name, text).unwrap();
        assert_eq!(kinds[0].identity, name);
    }
}
