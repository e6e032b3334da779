//! Addresses that users give instead of ids: URLs of an API, presigned URLs, web pages.

use super::schema::Provider;
use super::template::SlotValues;
use crate::model::DocumentId;
use crate::secret::contains_secret;
use url::Url;

/// What to give instead of `text`, which is no id: an address of a document in an API of `known` names the id. `name`
/// is the provider that the user means, and `own` the kind of its documents that the user chose, as far as they are
/// known. The hint leaves a kind out only where it is `own`. None for any other text.
pub(crate) fn hint_for_address(
    text: &str,
    known: &[Provider],
    name: Option<&str>,
    own: Option<&str>,
) -> Option<String> {
    let path = match text.contains("://").then(|| Url::parse(text)) {
        Some(Ok(url)) if url.query().is_none() => url.path().to_owned(),
        Some(Ok(_)) => {
            let hint = "give the id of the document: docfetch requests the presigned URL itself";
            return Some(hint.to_owned());
        }
        Some(Err(_)) => return None,
        None => text.to_owned(),
    };
    let (provider, id) = document_at(&path, known)?;
    let option = match provider.table.kind.as_deref() {
        Some(kind) if own != Some(kind) => format!(" with --resource {kind}"),
        _ => String::new(),
    };
    Some(if name.is_none_or(|name| name == provider.table.name) {
        format!("give the id {id}{option}")
    } else {
        format!(
            "the address belongs to {}: name the provider {}, and give the id {id}{option}",
            provider.table.title, provider.table.name
        )
    })
}

/// The document that a path of an API names.
fn document_at<'a>(path: &str, known: &'a [Provider]) -> Option<(&'a Provider, DocumentId)> {
    let of = |provider: &'a Provider| {
        if !provider.table.id.is_single() {
            return None;
        }
        let mut values = SlotValues::default();
        values.add(
            "resource",
            provider.table.kind.as_deref().unwrap_or_default(),
        );
        let route = &provider.table.resolve.first()?.request.path;
        let before = route.fill_path_before(provider.table.id.parts.first()?, &values)?;
        let before = before.as_str();
        let (_, rest) = path.split_once(before)?;
        let id = rest.split('/').next()?;
        let is_plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let id = DocumentId::parse(id, None).ok()?;
        (is_plain && !contains_secret(id.as_str())).then_some((before.len(), provider, id))
    };
    // The route of one provider may be the end of the route of another one.
    let longest = known
        .iter()
        .filter_map(of)
        .max_by_key(|(length, ..)| *length);
    longest.map(|(_, provider, id)| (provider, id))
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    #[test]
    fn an_address_of_a_document_names_its_id() {
        let hint =
            |text: &str, name, own| hint_for_address(text, &all(), name, own).unwrap_or_default();
        let (onecodex, samples) = (Some("onecodex"), Some("samples"));
        for (text, own, expected) in [
            (
                "https://app.onecodex.com/api/v1/documents/00f2",
                None,
                "give the id 00f2 with --resource documents",
            ),
            (
                "http://proxy/x/api/v1/documents/00f2/download_uri",
                Some("documents"),
                "give the id 00f2",
            ),
            (
                "https://app.onecodex.com/api/v1/samples/00f2/",
                None,
                "give the id 00f2 with --resource samples",
            ),
            (
                "/api/v1/samples/00f2",
                Some("assets"),
                "give the id 00f2 with --resource samples",
            ),
            (
                "https://app.onecodex.com/api/v1/samples/00f2",
                samples,
                "give the id 00f2",
            ),
            (
                "https://app.onecodex.com/api/v1/documents/00f2",
                samples,
                "give the id 00f2 with --resource documents",
            ),
            (
                "https://api.standardmetrics.io/v1/documents/7-a/download/",
                None,
                "the address belongs to Standard Metrics: name the provider sm, and give the id 7-a",
            ),
        ] {
            assert_eq!(hint(text, onecodex, own), expected, "{text}");
        }
        let text = "/api/v1/samples/00f2";
        let other = "the address belongs to One Codex: name the provider onecodex, and give the id 00f2 with --resource samples";
        assert_eq!(hint(text, Some("sm"), None), other);
        assert_eq!(
            hint(text, None, None),
            "give the id 00f2 with --resource samples"
        );
    }

    #[test]
    fn a_part_of_another_address_is_never_shown() {
        let hint =
            |text: &str| hint_for_address(text, &all(), Some("sm"), None).unwrap_or_default();
        for text in [
            "https://s3.example/v1/documents/hidden7?X-Amz-Signature=hidden7",
            "https://app.example/page/hidden7",
            "s3://bucket/hidden7",
            "https://[hidden7",
            "https://api.example/v1/documents/hidden7%2f",
            "https://api.example/v1/documents/",
        ] {
            assert!(!hint(text).contains("hidden7"), "{text}");
        }
        assert!(
            hint("https://s3.example/k?X-Amz-Signature=x").contains("requests the presigned URL")
        );
        for text in ["https://app.example/page", "a/b", "/api/v1/jobs/7", ""] {
            assert_eq!(hint(text), "", "{text}");
        }
    }
}
