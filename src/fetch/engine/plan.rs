//! A dry run: what a fetch would do, as far as docfetch learns that for free.

use super::Stages;
use crate::error::Result;
use crate::fetch::outcome::{Outcome, Status};
use crate::fetch::partial::Partial;
use crate::fetch::target::TargetState;
use crate::resolve::Metadata;

impl Stages<'_> {
    /// What a real run would do with the document.
    ///
    /// # Errors
    /// Those of [`Destination::choose_name`](crate::fetch::target::Destination::choose_name);
    /// [`Code::ChargeRefused`](crate::error::Code::ChargeRefused) when the ledger's record cannot be
    /// trusted; [`Code::Interrupted`](crate::error::Code::Interrupted).
    pub(super) async fn plan(&mut self) -> Result<Outcome> {
        let (context, id) = (self.context, &self.job.id);
        if context.options.stdout {
            return Ok(Outcome {
                cost: context.resolver.foresee(id, false)?,
                ..self.outcome(Status::Planned) // standard output has no target that exists
            });
        }
        let interrupt = self.interrupt;
        let metadata = interrupt.or_interrupted(self.name_by_metadata()).await?;
        if self.destination.choose_name()? == TargetState::AlreadyThere {
            return Ok(self.outcome(Status::Skipped));
        }
        let partial = context.partial_name(self.job);
        let has_partial = Partial::exists(self.destination.folder(), &partial);
        Ok(Outcome {
            cost: context.resolver.foresee(id, has_partial)?,
            bytes: metadata.size,
            ..self.outcome(Status::Planned)
        })
    }

    /// Names the target where a real run would take the name from the metadata.
    async fn name_by_metadata(&mut self) -> Result<Metadata> {
        let resolver = &self.context.resolver;
        let metadata = match &self.job.metadata {
            Some(metadata) => metadata.clone(),
            None => resolver.metadata(&self.job.id).await,
        };
        if resolver.charges() || self.job.metadata.is_some() {
            let name = metadata.name.as_deref();
            self.destination.name_after_metadata(name).await;
        }
        Ok(metadata)
    }
}
