//! Changes and removes each key of a shipped table in turn. In a short scenario, docfetch must show the difference: in
//! what it prints, in the files that it leaves, or in its requests.
//!
//! The changed table is in the configuration file, where a table of a shipped name replaces the shipped one.

use crate::standins::{Side, StandIn};
use crate::support::{Run, World, sha256};
use regex_lite::Regex;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use toml::de::{DeTable, DeValue};

/// How many tables are tried at the same time.
const THREADS: usize = 4;

/// One run of docfetch against a service of its own.
pub(super) struct Step {
    start: Box<dyn Fn() -> StandIn + Sync>,
    prepare: fn(&mut World, &StandIn),
    arguments: Vec<String>,
}

impl Step {
    pub(super) fn new(start: impl Fn() -> StandIn + Sync + 'static, arguments: &[&str]) -> Self {
        Self {
            start: Box::new(start),
            prepare: |_, _| {},
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// The step in a world that is prepared so.
    pub(super) fn with(mut self, prepare: fn(&mut World, &StandIn)) -> Self {
        self.prepare = prepare;
        self
    }

    /// What docfetch shows with `table` as the table of the provider `name`.
    fn observe(&self, name: &str, table: &Value) -> String {
        let stand_in = (self.start)();
        let mut world = stand_in.world();
        let file = world.home().join("tables.toml");
        std::fs::write(&file, configuration(name, table)).unwrap();
        world.set("DOCFETCH_CONFIG", file.to_str().unwrap());
        (self.prepare)(&mut world, &stand_in);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let run = match arguments[0] {
            "url" => world.run_showing(&arguments),
            _ => world.run(&arguments),
        };
        observation(&run, &world, &stand_in)
    }
}

/// Sends requests for https through the stand-in, and takes the variable of the base away.
pub(super) fn without_base(world: &mut World, stand_in: &StandIn, variable: &str) {
    world.set(variable, "");
    world.set("HTTPS_PROXY", &stand_in.base);
}

/// Fails unless each change of the table shows, except those of the keys in `unseen`, none of which may show.
#[track_caller]
pub(super) fn every_key_shows(name: &str, text: &str, steps: &[Step], unseen: &[&str]) {
    let table = DeTable::parse(text).unwrap();
    let table = table_value(table.get_ref());
    let expected: Vec<Mutex<Option<Arc<str>>>> = steps.iter().map(|_| Mutex::default()).collect();
    let unchanged = |index: usize| -> Arc<str> {
        let mut known = expected[index].lock().unwrap();
        let seen = known.get_or_insert_with(|| steps[index].observe(name, &table).into());
        Arc::clone(seen)
    };
    let changes = changes(&table);
    let (next, silent) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let shows =
                |index: usize| steps[index].observe(name, &change.table) != *unchanged(index);
            if !(0..steps.len()).any(shows) {
                silent.lock().unwrap().push(change.what.clone());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut silent = silent.into_inner().unwrap();
    silent.sort();
    // A difference that comes by chance would hide a key.
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step.observe(name, &table), *unchanged(index));
    }
    assert_eq!(silent, unseen, "changes of {name} that do not show");
}

/// A table with one key changed or removed.
struct Change {
    what: String,
    table: Value,
}

fn changes(table: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut found = Vec::new();
    leaves(table, &mut String::new(), &mut found);
    for pointer in found {
        let removed = without(table, &pointer);
        let what = format!("{pointer} removed");
        changes.push(Change {
            what,
            table: removed,
        });
        let mut changed = table.clone();
        let leaf = changed.pointer_mut(&pointer).unwrap();
        if let Some(other) = another(leaf) {
            *leaf = other;
            let what = format!("{pointer} changed");
            changes.push(Change {
                what,
                table: changed,
            });
        }
    }
    changes
}

/// The JSON pointers of every value that has no values.
fn leaves(value: &Value, at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    let mut inside = |key: &str, value: &Value| {
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        leaves(value, at, found);
        at.truncate(length);
    };
    match value {
        Value::Object(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| inside(key, value));
        }
        Value::Array(array) if !array.is_empty() => {
            let elements = array.iter().enumerate();
            elements.for_each(|(index, value)| inside(&index.to_string(), value));
        }
        _ => found.push(at.clone()),
    }
}

fn without(table: &Value, pointer: &str) -> Value {
    let mut table = table.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match table.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.shift_remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Value::Array(array) => {
            array.remove(key.parse().unwrap());
        }
        _ => unreachable!("a leaf is in a table or in an array"),
    }
    table
}

/// A value of the same type: where the words of a key are few, another of them.
fn another(value: &Value) -> Option<Value> {
    Some(match value {
        Value::String(text) => match text.as_str() {
            "" => "/other".into(),
            "GET" => "POST".into(),
            "POST" => "GET".into(),
            "unix" => "unix-ms".into(),
            "unix-ms" => "unix".into(),
            "hours" => "seconds".into(),
            "seconds" => "hours".into(),
            text => format!("{text}x").into(),
        },
        Value::Number(number) => (number.as_i64()? + 1).into(),
        Value::Bool(is_true) => (!is_true).into(),
        _ => return None,
    })
}

/// A configuration file with this table.
fn configuration(name: &str, table: &Value) -> String {
    let keys = table.as_object().unwrap().iter();
    let keys =
        keys.map(|(key, value)| format!("{} = {}\n", Value::from(key.as_str()), toml(value)));
    format!("[providers.{name}]\n{}", keys.collect::<String>())
}

/// A value in TOML. Texts of tables have no character that JSON and TOML write in other ways.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs = table.iter();
            let pairs = pairs
                .map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(array) => {
            let elements: Vec<String> = array.iter().map(toml).collect();
            format!("[{}]", elements.join(", "))
        }
        other => other.to_string(),
    }
}

fn table_value(table: &DeTable<'_>) -> Value {
    let pairs = table.iter();
    let pairs = pairs.map(|(key, value)| (key.get_ref().to_string(), owned(value.get_ref())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn owned(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => number.as_str().parse::<i64>().unwrap().into(),
        DeValue::Boolean(is_true) => (*is_true).into(),
        DeValue::Array(array) => array.iter().map(|value| owned(value.get_ref())).collect(),
        DeValue::Table(table) => table_value(table),
        DeValue::Float(_) | DeValue::Datetime(_) => panic!("no shipped table has such a value"),
    }
}

/// What a run shows: exit code, output, files, the kinds of its records, and requests.
fn observation(run: &Run, world: &World, stand_in: &StandIn) -> String {
    let mut requests: Vec<String> = Vec::new();
    for seen in stand_in.log.all() {
        let request = &seen.request;
        let target = match seen.side {
            Side::Api => request.target.as_str(),
            Side::Storage => request.path(), // the query is a signature
        };
        let headers = request.headers.iter();
        let headers = headers.filter(|(name, _)| !["host", "user-agent"].contains(&name.as_str()));
        let headers: Vec<String> = headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let body = String::from_utf8_lossy(&request.body);
        requests.push(format!(
            "{:?} {} {target} {headers:?} {body} {}",
            seen.side, request.method, seen.status
        ));
    }
    // Those for the name and for the URL are under way at the same time.
    requests.sort();
    // The name of a partial is another one for each address of the API.
    let mut files = world.files();
    files.retain(|name| !name.starts_with('.'));
    let files: Vec<String> = files
        .iter()
        .map(|name| format!("{name} {}", sha256(&world.read(name))))
        .collect();
    let mut records: Vec<String> = std::fs::read_dir(world.state())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .split(['-', '.'])
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    records.sort();
    let text = format!(
        "exit code {}\n{}\n{}\n{files:?}\n{records:?}\n{requests:#?}",
        run.code,
        normal(&run.stdout),
        DURATION.replace_all(&normal(&run.stderr), "# s"),
    );
    // Addresses are others in each run.
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let text = text.replace(&host(&stand_in.base), "API");
    let text = text.replace(&host(&stand_in.storage), "STORAGE");
    text.replace(world.home().to_str().unwrap(), "HOME")
}

static DURATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9.]+ (ms|s)\b").unwrap());
static ELAPSED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""[a-z_]*_ms":[0-9]+"#).unwrap());
static QUERY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\?[A-Za-z0-9_-]+=[^"\s\\]*"#).unwrap());
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z").unwrap());

/// A text without what is another one in each run: times that passed, signatures, and how far a time is from now, to
/// 10 minutes.
fn normal(text: &str) -> String {
    let text = QUERY.replace_all(text, "?QUERY");
    let text = ELAPSED.replace_all(&text, "ELAPSED");
    let now = jiff::Timestamp::now().as_second();
    let text = TIME.replace_all(&text, |found: &regex_lite::Captures<'_>| {
        let time: Option<jiff::Timestamp> = found[0].parse().ok();
        match time.map(|time| time.as_second() - now) {
            Some(seconds) if seconds.abs() < 3 * 86_400 => {
                format!("now + {}", (seconds + 300).div_euclid(600))
            }
            _ => found[0].to_owned(),
        }
    });
    text.into_owned()
}
