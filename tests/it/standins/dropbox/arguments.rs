//! The arguments of an RPC route, checked as strictly as the specification declares them.

use super::bad_input;
use crate::standins::Answer;
use serde_json::{Map, Value};

/// The arguments of a route, of which none may be unknown.
pub struct Arguments<'a> {
    route: &'a str,
    arguments: Map<String, Value>,
}

impl<'a> Arguments<'a> {
    pub fn new(route: &'a str, arguments: Map<String, Value>) -> Self {
        Self { route, arguments }
    }

    pub fn known(&self, names: &[&str]) -> Result<(), Answer> {
        let mut arguments = self.arguments.keys();
        match arguments.find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(self.refuse(&format!("unknown field '{name}'"))),
            None => Ok(()),
        }
    }

    pub fn refuse(&self, why: &str) -> Answer {
        bad_input(self.route, &format!("request body: {why}"))
    }

    pub fn mismatch(&self, name: &str, value: &str) -> Answer {
        self.refuse(&format!("{name}: '{value}' did not match pattern"))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Answer> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(&format!("{name}: expected string, got {other}"))),
        }
    }

    pub fn required(&self, name: &str) -> Result<&str, Answer> {
        let missing = || self.refuse(&format!("missing required field '{name}'"));
        self.text(name)?.ok_or_else(missing)
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Answer> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.refuse(&format!("{name}: expected boolean, got {other}"))),
        }
    }

    pub fn limit(&self) -> Result<usize, Answer> {
        match self.arguments.get("limit") {
            None => Ok(2000),
            Some(limit) => limit
                .as_u64()
                .filter(|limit| (1..=2000).contains(limit))
                .and_then(|limit| usize::try_from(limit).ok())
                .ok_or_else(|| self.refuse("limit: expected an integer of 1 to 2000")),
        }
    }
}

/// The specification's `ReadPath`.
pub fn is_path(path: &str) -> bool {
    let is_revision =
        |rest: &str| rest.len() >= 9 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.starts_with('/')
        || path.starts_with("id:")
        || path.strip_prefix("rev:").is_some_and(is_revision)
        || path
            .strip_prefix("ns:")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}
