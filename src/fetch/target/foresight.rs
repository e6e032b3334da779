//! What a dry run learns about a target: nothing here creates or changes a file.

use crate::error::Result;
use crate::fetch::outcome::TargetPlan;
use crate::fetch::target::check::TargetState;
use crate::fetch::target::destination::Destination;
use crate::fetch::target::folder_check;
use crate::fetch::target::options::IfExists;
use std::path::Path;

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
