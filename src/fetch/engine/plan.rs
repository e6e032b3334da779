//! A dry run: what a fetch would do, as far as docfetch learns that for free. A dry run sends no request that
//! may be charged and none to a storage, and changes no file. Where a file system may refuse the name of a document,
//! docfetch tries the name in a folder that it removes again.

use super::Stages;
use crate::error::{Code, Result};
use crate::fetch::outcome::{Outcome, Status};
use crate::fetch::partial::Partial;
use crate::fetch::target::TargetState;
use crate::interrupt::infallible;
use crate::resolve::{Cost, Metadata, MetadataFailure, ResolveRequest};

impl Stages<'_> {
    /// What a real run would do with the document.
    ///
    /// # Errors
    /// The error with which a real run would end, as far as docfetch can tell: those of
    /// [`Destination::choose_name`](crate::fetch::target::Destination::choose_name), of [`Stages::skip`] and of
    /// [`Stages::foresee`]; [`Code::LocalIo`](crate::error::Code::LocalIo) and
    /// [`Code::DiskFull`](crate::error::Code::DiskFull) for a folder that cannot take the document;
    /// [`Code::Interrupted`](crate::error::Code::Interrupted) after a signal.
    pub(super) async fn plan(&mut self) -> Result<Outcome> {
        let (interrupt, context) = (self.interrupt, self.context);
        let is_stdout = context.options.stdout;
        if !is_stdout && let Some(skipped) = self.plan_to_skip().await? {
            return Ok(skipped);
        }
        let known = interrupt.or_interrupted(infallible(self.learn())).await?;
        if is_stdout {
            return Ok(Outcome {
                cost: self.foresee(&known, ResolveRequest::default())?,
                bytes: known.size,
                ..self.outcome(Status::Planned)
            });
        }
        self.destination
            .name_after_metadata(known.name.as_deref())
            .await;
        if let Some(skipped) = self.plan_to_skip().await? {
            return Ok(skipped);
        }
        self.destination.check_folder()?;
        let partial = context.partial_name(self.job);
        let has_partial = Partial::exists(self.destination.folder(), &partial);
        if !has_partial {
            self.destination.check_free_space(known.size.unwrap_or(0))?;
        }
        let request = ResolveRequest {
            has_partial,
            needs_name: self.destination.target().is_none(),
            metadata_failure: known.failure.as_ref(),
            ..ResolveRequest::default()
        };
        Ok(Outcome {
            cost: self.foresee(&known, request)?,
            bytes: known.size,
            plan: Some(self.destination.plan(&TargetState::Writable)),
            ..self.outcome(Status::Planned)
        })
    }

    /// Chooses the name of the target, if docfetch knows one. The outcome of a document that a real run would
    /// skip; none of any other.
    async fn plan_to_skip(&mut self) -> Result<Option<Outcome>> {
        let state = self.destination.choose_name()?;
        if state != TargetState::AlreadyThere {
            return Ok(None);
        }
        Ok(Some(Outcome {
            plan: Some(self.destination.plan(&state)),
            ..self.skip().await?
        }))
    }

    /// Name and size of the document, from the listing or from its metadata; unknown where the provider has
    /// neither. No URL is resolved, since a dry run of many documents must not use the rate budget up.
    async fn learn(&self) -> Metadata {
        match &self.job.metadata {
            Some(listed) => listed.clone(),
            None => Box::pin(self.context.resolver.metadata(&self.job.id)).await,
        }
    }

    /// What a real run would pay for the document. A run that uses a recorded URL, or that the ledger refuses, does not
    /// need the API. Warns of what docfetch does not know of the document.
    ///
    /// # Errors
    /// The failure of the metadata route, when a real run needs a URL from the API, and would fail likewise;
    /// [`Code::ChargeRefused`](crate::error::Code::ChargeRefused) when the ledger's record cannot be trusted.
    fn foresee(&self, known: &Metadata, request: ResolveRequest<'_>) -> Result<Option<Cost>> {
        let (context, id) = (self.context, &self.job.id);
        let cost = context.resolver.foresee(id, request)?;
        let Some(failure) = &known.failure else {
            return Ok(cost);
        };
        let needs_api = !matches!(cost, Some(Cost::Reuse | Cost::Refuse));
        if needs_api && ends_real_run(failure) {
            return Err(failure.error.clone());
        }
        let has_target = context.options.stdout || self.destination.target().is_some();
        let unknown = match (has_target, known.size) {
            (false, _) => "name",
            (true, None) => "size",
            (true, Some(_)) => return Ok(cost),
        };
        failure.warn_of_unknown(unknown, id);
        Ok(cost)
    }
}

/// Whether a real run would fail, too, after this failure of the metadata route: the API refuses the document or
/// the credential, something else than the API answers, or docfetch cannot reach the API. A real run continues
/// after any other.
fn ends_real_run(failure: &MetadataFailure) -> bool {
    let (code, exit_code) = (failure.error.code(), failure.error.exit_code());
    failure.forbids_payment || matches!(exit_code, 3 | 4 | 9) || code == Code::Network
}
