//! What a dry run learns about a target: nothing here creates or changes a file.

use crate::error::Result;
use crate::fetch::outcome::TargetPlan;
use crate::fetch::target::check::TargetState;
use crate::fetch::target::destination::Destination;
use crate::fetch::target::options::IfExists;
use crate::fetch::target::{folder_check, naming};
use crate::http::headers::content_disposition;
use std::path::Path;
use url::Url;

impl Destination<'_> {
    /// What a real run would do with the target, after [`Destination::choose_name`] returned `state`.
    pub(crate) fn plan(&self, state: &TargetState) -> TargetPlan {
        let is_compared = matches!(self.options.if_exists, IfExists::Same { .. });
        match state {
            TargetState::AlreadyThere if is_compared => TargetPlan::SkipSameLength,
            TargetState::AlreadyThere => TargetPlan::SkipExisting,
            TargetState::Writable if self.replaceable.is_some() => TargetPlan::Replace,
            TargetState::Writable => {
                let exists = |path: &Path| path.symlink_metadata().is_ok();
                match (&self.unnumbered, &self.target) {
                    (Some(taken), _) => TargetPlan::Number(taken.clone()),
                    (None, Some(target)) if exists(target) => TargetPlan::Compare,
                    _ => TargetPlan::New,
                }
            }
        }
    }

    /// Checks, as far as permissions tell, that a real run could make the folder and write into it.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) when it could not.
    pub(crate) fn check_folder(&self) -> Result<()> {
        folder_check::check_writable(self.folder())
    }
}

/// The safe name that a storage gives the document in its `Content-Disposition` header because a presigned URL
/// asks for that: `response-content-disposition` at S3 and Google Cloud Storage, `rscd` at Azure.
pub(crate) fn name_in_query(url: &Url) -> Option<String> {
    let mut parameters = url.query_pairs();
    let header = parameters.find(|(name, _)| {
        name.eq_ignore_ascii_case("response-content-disposition") || name == "rscd"
    });
    let name = content_disposition::file_name(header?.1.as_bytes())?;
    naming::safe(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_asks_for_a_name_tells_it() {
        let name =
            |query: &str| name_in_query(&Url::parse(&format!("https://h/k?{query}")).unwrap());
        let told = "response-content-disposition=attachment%3B%20filename%3D%22a%20b.pdf%22";
        assert_eq!(name(&format!("x=1&{told}")).as_deref(), Some("a b.pdf"));
        assert_eq!(
            name("rscd=inline%3B+filename%3Dx.csv").as_deref(),
            Some("x.csv")
        );
        for none in [
            "",
            "rscd=inline",
            "filename=a.pdf",
            "response-content-type=a/b",
        ] {
            assert_eq!(name(none), None, "{none}");
        }
    }
}
