//! What a dry run says about a document besides its path.

use crate::fetch::outcome::{Outcome, Status, TargetPlan};
use crate::resolve::Cost;
use crate::text::printable;

/// What a real run would do with the document beyond making a new file; none if there is nothing to say.
pub(super) fn note(outcome: &Outcome) -> Option<String> {
    let target = outcome
        .plan
        .as_ref()
        .and_then(|plan| of_target(outcome, plan));
    let refused = match outcome.cost {
        Some(Cost::Refuse) => "would be refused: see `docfetch ledger list`",
        Some(Cost::OverLimit) => "would be refused: --max-charges permits no further charge",
        _ => return target,
    };
    Some(match target {
        Some(target) => format!("{target}; {refused}"),
        None => refused.to_owned(),
    })
}

fn of_target(outcome: &Outcome, plan: &TargetPlan) -> Option<String> {
    let note = match plan {
        TargetPlan::New if outcome.path.is_none() && outcome.status == Status::Planned => {
            "would get its name from the storage"
        }
        TargetPlan::New => return None,
        TargetPlan::Replace => "would replace the existing file",
        TargetPlan::Number(taken) => {
            let taken = taken.display().to_string();
            return Some(format!("would get a number: {} exists", printable(&taken)));
        }
        TargetPlan::Compare => "would be compared with the existing file",
        TargetPlan::SkipExisting => "would be skipped: it exists",
        TargetPlan::SkipUpToDate => "would be skipped: it is up to date",
        TargetPlan::SkipSameLength => {
            "would be skipped: the existing file has the document's name and length"
        }
    };
    Some(note.to_owned())
}
