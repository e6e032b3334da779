//! The last record of a batch: counts, and the exit code.

use super::outcome::{Outcome, Status};
use crate::error::{Code, Error};
use crate::resolve::Cost;
use crate::text::short_duration;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// How many failures the summary on a terminal names again.
const MAX_NAMED_FAILURES: usize = 20;

/// The last record of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(crate) struct Summary {
    /// How many documents the run fetched.
    pub fetched: u64,
    /// How many documents the run skipped, because their files exist.
    pub skipped: u64,
    /// How many documents failed.
    pub failed: u64,
    /// How many documents the run read or knew, and did not start.
    pub not_started: u64,
    /// How many documents of a mirror the provider no longer lists; absent where docfetch did not read a complete
    /// list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// What a real run would do; none in a real run.
    #[serde(flatten)]
    pub plan: Option<PlanCounts>,
    /// How many paid requests the run sent that the provider did not refuse; null where the provider never charges.
    pub charges: Option<u64>,
    /// The length of all fetched documents in bytes; in a dry run, of all planned documents whose length is known.
    pub bytes: u64,
    /// The time from the start of the run to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The paid URLs of the documents that failed; none where docfetch knows of none that is still valid.
    #[serde(skip)]
    pub kept_urls: Option<KeptUrls>,
    /// The first failures once more, a line each: the document, and what failed.
    #[serde(skip)]
    pub failures: Vec<String>,
    /// The most paid requests that the run permits (dry run).
    #[serde(skip)]
    pub max_charges: Option<u64>,
    /// Whether the dry run ended before its last document, so that the counts are of the documents until then.
    #[serde(skip)]
    pub is_plan_incomplete: bool,
}

/// Paid URLs of documents that did not arrive: a later run uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptUrls {
    /// How many there are.
    pub count: usize,
    /// How long all of them stay valid.
    pub time_left: Duration,
}

impl KeptUrls {
    /// Those URLs that stay valid after `now`; `ends` are the times until when URLs are valid.
    pub(crate) fn at(now: Timestamp, ends: &[Timestamp]) -> Option<Self> {
        let left = ends.iter().map(|end| end.duration_since(now));
        let left = left.filter_map(|left| Duration::try_from(left).ok());
        let left: Vec<Duration> = left.filter(|left| left.as_secs() > 0).collect();
        Some(Self {
            count: left.len(),
            time_left: left.into_iter().min()?,
        })
    }
}

/// What a real run would do, in documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PlanCounts {
    /// How many documents the plan has, including those that docfetch would refuse to pay for. Only in a dry run.
    pub planned: u64,
    /// What a real run would pay.
    #[serde(flatten)]
    pub costs: CostCounts,
}

/// What a real run would pay, in documents; `None` where the provider never charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of fields in JSON records"
)]
pub(crate) struct CostCounts {
    /// How many documents a real run would pay for; null where the provider never charges, and where the dry run
    /// ended early. Only in a dry run.
    pub would_charge: Option<u64>,
    /// How many documents a real run would fetch from a recorded URL. Only in a dry run.
    pub would_reuse: Option<u64>,
    /// How many documents the ledger or `--max-charges` would refuse. Only in a dry run.
    pub would_refuse: Option<u64>,
}

impl CostCounts {
    /// Zero documents of a provider that charges.
    fn zero() -> Self {
        Self {
            would_charge: Some(0),
            would_reuse: Some(0),
            would_refuse: Some(0),
        }
    }

    /// Counts a document.
    fn add(&mut self, cost: Cost) {
        let count = match cost {
            Cost::Charge => &mut self.would_charge,
            Cost::Reuse => &mut self.would_reuse,
            Cost::Refuse | Cost::OverLimit => &mut self.would_refuse,
        };
        *count = Some(count.unwrap_or_default() + 1);
    }
}

impl Summary {
    /// Begins the summary of a dry run, of a provider that `charges` or not, at most `max_charges` times.
    pub(crate) fn begin_plan(&mut self, charges: bool, max_charges: Option<u64>) {
        self.max_charges = max_charges;
        self.plan = Some(PlanCounts {
            planned: 0,
            costs: if charges {
                CostCounts::zero()
            } else {
                CostCounts::default()
            },
        });
    }

    /// Makes unknown what a real run would pay, because the dry run ended before its last document.
    pub(crate) fn mark_plan_incomplete(&mut self) {
        if let Some(plan) = &mut self.plan {
            plan.costs = CostCounts::default();
            self.is_plan_incomplete = true;
        }
    }

    /// What a real run would pay for the next document of a dry run, whose cost alone is `cost`: nothing, when the
    /// documents before it use up the paid requests that the run permits.
    pub(crate) fn limited(&self, cost: Option<Cost>) -> Option<Cost> {
        let charges = self.plan.and_then(|plan| plan.costs.would_charge);
        let is_used_up = self.max_charges.is_some_and(|limit| charges >= Some(limit));
        match cost {
            Some(Cost::Charge) if is_used_up => Some(Cost::OverLimit),
            cost => cost,
        }
    }

    /// What the user can do after an interrupt. `needs_skip` says whether the files of this run would be in the way
    /// of the same command.
    pub(crate) fn hint_to_continue(&self, needs_skip: bool) -> String {
        let skip = if needs_skip {
            " with --if-exists skip"
        } else {
            ""
        };
        match self.kept_urls {
            None => format!("run again{skip} to continue"),
            Some(KeptUrls { count, time_left }) => {
                let urls = if count == 1 { "URL is" } else { "URLs are" };
                let left = short_duration(time_left);
                format!("run again{skip} within {left}: the paid {urls} kept until then")
            }
        }
    }

    /// Counts a document that did not fail.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let bytes = outcome.bytes.unwrap_or_default();
        match outcome.status {
            Status::Fetched => {
                self.fetched += 1;
                self.bytes = self.bytes.saturating_add(bytes);
            }
            Status::Skipped => self.skipped += 1,
            Status::Gone => *self.gone.get_or_insert_default() += 1,
            Status::Planned => {
                self.plan.get_or_insert_default().planned += 1;
                self.bytes = self.bytes.saturating_add(bytes);
            }
        }
        if let Some(cost) = outcome.cost {
            let plan = self.plan.get_or_insert_default();
            plan.costs.add(cost);
        }
    }

    /// Counts a document that failed.
    pub(crate) fn add_failure(&mut self, id: &str, error: &Error) {
        self.failed += 1;
        if self.failures.len() < MAX_NAMED_FAILURES {
            let what = error.what();
            self.failures.push(if error.names_document() {
                what.to_owned()
            } else {
                format!("{id}: {what}")
            });
        }
        self.add_exit_code(error);
    }

    /// Takes the exit code of an error into account: errors with the same exit code keep that code, errors
    /// with different ones make it 1. An interrupt decides over all of them.
    pub(crate) fn add_exit_code(&mut self, error: &Error) {
        let code = error.exit_code();
        self.exit_code = match self.exit_code {
            _ if error.code() == Code::Interrupted => code,
            0 => code,
            same if same == code => same,
            interrupted @ 129.. => interrupted,
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn failures_of_one_kind_keep_their_exit_code_and_others_make_it_1() {
        let mut summary = Summary::default();
        for (code, exit) in [
            (Code::NotFound, 4),
            (Code::Forbidden, 4),
            (Code::Network, 1),
            (Code::NotFound, 1),
        ] {
            summary.add_failure("1", &Error::new(code, "x"));
            assert_eq!(summary.exit_code, exit);
        }
        assert_eq!(summary.failed, 4);
    }

    #[test]
    fn an_interrupt_decides_over_all_exit_codes() {
        let mut summary = Summary::default();
        summary.add_failure("1", &Error::new(Code::NotFound, "x"));
        summary.add_failure("2", &Error::interrupted(2));
        summary.add_failure("3", &Error::new(Code::Network, "x"));
        assert_eq!(summary.exit_code, 130);
    }

    #[test]
    fn an_interrupt_names_the_first_end_of_the_paid_urls_that_are_valid() {
        let now = Timestamp::UNIX_EPOCH;
        let hint = |ends: &[i64], needs_skip| {
            let end = |seconds: &i64| now + SignedDuration::from_secs(*seconds);
            let ends: Vec<Timestamp> = ends.iter().map(end).collect();
            let summary = Summary {
                kept_urls: KeptUrls::at(now, &ends),
                ..Summary::default()
            };
            summary.hint_to_continue(needs_skip)
        };
        assert_eq!(hint(&[-1, 0], false), "run again to continue");
        assert_eq!(
            hint(&[3600, -5], false),
            "run again within 60 min: the paid URL is kept until then"
        );
        assert_eq!(
            hint(&[3600, 300, 700], true),
            "run again with --if-exists skip within 5 min: the paid URLs are kept until then"
        );
    }

    #[test]
    fn the_record_has_its_fixed_fields() {
        assert_eq!(
            serde_json::to_string(&Summary::default()).unwrap(),
            r#"{"type":"summary","fetched":0,"skipped":0,"failed":0,"not_started":0,"charges":null,"bytes":0,"elapsed_ms":0,"exit_code":0}"#
        );
    }

    #[test]
    fn documents_beyond_max_charges_would_be_refused() {
        let mut summary = Summary::default();
        summary.begin_plan(true, Some(1));
        let costs = [Cost::Charge, Cost::Reuse, Cost::Charge, Cost::Refuse];
        let limited = costs.map(|cost| {
            let cost = summary.limited(Some(cost)).unwrap();
            summary.plan.as_mut().unwrap().costs.add(cost);
            cost
        });
        let expected = [Cost::Charge, Cost::Reuse, Cost::OverLimit, Cost::Refuse];
        assert_eq!(limited, expected);
        let expected = CostCounts {
            would_charge: Some(1),
            would_reuse: Some(1),
            would_refuse: Some(2),
        };
        assert_eq!(summary.plan.unwrap().costs, expected);
    }
}
