use super::*;

const TEXT: &str = "jobs = 8\n[a.b]\nword = \"left\"\nlist = [1, 2]\n";

fn with_root<T>(use_root: impl FnOnce(&TomlTable<'_>) -> T) -> T {
    let file = TomlFile::new("c.toml", TEXT);
    let parsed = file.parse().unwrap();
    use_root(&file.root(&parsed))
}

#[test]
fn an_error_names_the_line_the_key_and_the_nearest_key() {
    with_root(|root| {
        let error = root.check_keys("the file", &["job", "a"]).unwrap_err();
        assert_eq!(error.what(), "c.toml, line 1: the key \"jobs\" is unknown");
        assert_eq!(error.hint(), "the nearest key is \"job\"");
        let b = root.need("a").unwrap().table().unwrap();
        let b = b.need("b").unwrap().table().unwrap();
        let error = b.check_keys("b", &["word"]).unwrap_err();
        assert_eq!(
            error.what(),
            "c.toml, line 4: the key \"a.b.list\" is unknown"
        );
        let error = b.need("word").unwrap().integer().unwrap_err();
        assert_eq!(
            error.what(),
            "c.toml, line 3: the value of \"a.b.word\" cannot be used"
        );
        assert_eq!(
            error.cause(),
            Some("a whole number is expected, and it is text")
        );
        let error = b.need("none").unwrap_err();
        assert_eq!(
            error.what(),
            "c.toml, line 2: the key \"a.b.none\" is missing"
        );
        let word = b.need("word").unwrap();
        let error = word.word(&[("right", 1), ("lefty", 2)]).unwrap_err();
        assert_eq!(error.hint(), "the nearest value is \"lefty\"");
    });
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let error = TomlFile::new("c.toml", "a = 1\nb = \n")
        .parse()
        .unwrap_err();
    assert_eq!(error.what(), "c.toml, line 2: this is not TOML");
}

#[test]
fn a_table_over_another_hides_its_keys() {
    let file = TomlFile::new("c.toml", "[x]\na = 1\nb = 2\n[y]\nb = 3\n");
    let parsed = file.parse().unwrap();
    let root = file.root(&parsed);
    let of = |name| root.need(name).unwrap().table().unwrap();
    let both = of("y").over(&of("x"));
    let values: Vec<_> = both
        .entries()
        .map(|(name, value)| (name, value.integer().unwrap()))
        .collect();
    assert_eq!(values, [("b", 3), ("a", 1)]);
    assert_eq!(both.get("b").unwrap().integer().unwrap(), 3);
}
