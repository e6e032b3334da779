//! Fields of queries and forms, and what headers declare, read strictly.

use crate::support::raw::Request;

/// Fields of a query or a form, in their order.
pub type Fields = Vec<(String, String)>;

/// The fields of a form, if the body is one.
pub fn form(request: &Request) -> Option<Fields> {
    is_of(request, "application/x-www-form-urlencoded").then(|| {
        let fields = url::form_urlencoded::parse(&request.body);
        fields.into_owned().collect()
    })
}

/// A form of these fields, in which each change replaces a field, or takes the field out where the change has no value.
pub fn changed_form<'a>(
    mut fields: Vec<(&'a str, &'a str)>,
    changes: &[(&'a str, Option<&'a str>)],
) -> String {
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Whether the body is declared to be of this media type.
pub fn is_of(request: &Request, media_type: &str) -> bool {
    let declared = request.header("content-type").unwrap_or_default();
    let declared = declared.split(';').next().unwrap_or_default();
    declared.trim().eq_ignore_ascii_case(media_type)
}

/// The only value of a field.
pub fn only<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(known, _)| known == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

/// The first field that is none of these.
pub fn unknown<'a>(fields: &'a Fields, known: &[&str]) -> Option<&'a str> {
    let mut fields = fields.iter().map(|(name, _)| name.as_str());
    fields.find(|name| !known.contains(name))
}

/// The token of the header `Authorization: Bearer TOKEN`.
pub fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The digest of bytes in hexadecimal digits of lower case.
pub fn hex(algorithm: &'static ring::digest::Algorithm, bytes: &[u8]) -> String {
    let digest = ring::digest::digest(algorithm, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
