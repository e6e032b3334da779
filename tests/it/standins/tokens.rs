//! Access tokens that a token route hands out.

use super::fields;
use crate::support::raw::Request;
use std::sync::Mutex;

/// The tokens of one service: each begins with the prefix and is valid until all are revoked.
pub struct Tokens {
    pub prefix: &'static str,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    count: usize,
    valid: Vec<String>,
}

impl Tokens {
    pub fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            issued: Mutex::default(),
        }
    }

    /// A new token.
    pub fn issue(&self) -> String {
        let mut issued = self.issued.lock().unwrap();
        issued.count += 1;
        let token = format!("{}{}", self.prefix, issued.count);
        issued.valid.push(token.clone());
        token
    }

    /// Whether a request carries a token that is valid.
    pub fn permit(&self, request: &Request) -> bool {
        let issued = self.issued.lock().unwrap();
        fields::bearer(request).is_some_and(|token| issued.valid.iter().any(|known| known == token))
    }

    /// Ends all tokens.
    pub fn revoke(&self) {
        self.issued.lock().unwrap().valid.clear();
    }
}
