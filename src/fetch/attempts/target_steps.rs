//! The target of a document during its attempts: its name, and whether it may be written.

use crate::error::Result;
use crate::fetch::target::{Destination, TargetState};
use crate::fetch::transfer::Sink;
use crate::resolve::Metadata;

/// Checks that the target may be written, and that the disk has room for the rest of the document.
///
/// # Errors
/// [`Code::TargetExists`](crate::Code::TargetExists), [`Code::DiskFull`](crate::Code::DiskFull),
/// [`Code::LocalIo`](crate::Code::LocalIo).
pub(super) fn check_target(
    metadata: &Metadata,
    destination: &mut Destination<'_>,
    sink: &Sink,
) -> Result<TargetState> {
    let Sink::Partial(partial) = sink else {
        return Ok(TargetState::Writable);
    };
    if destination.choose_name()? == TargetState::AlreadyThere {
        return Ok(TargetState::AlreadyThere);
    }
    let missing = metadata.size.unwrap_or(0).saturating_sub(partial.held());
    destination.check_free_space(missing)?;
    Ok(TargetState::Writable)
}

/// Gives the target this safe `name`, unless the target has a name, and checks that the target may be
/// written.
///
/// # Errors
/// [`Code::TargetExists`](crate::Code::TargetExists), [`Code::LocalIo`](crate::Code::LocalIo).
pub(super) async fn name_target(
    destination: &mut Destination<'_>,
    name: &str,
    sink: &Sink,
) -> Result<TargetState> {
    let is_new = destination.name_after(name).await;
    let Sink::Partial(partial) = sink else {
        return Ok(TargetState::Writable);
    };
    if !is_new {
        return Ok(TargetState::Writable);
    }
    let state = destination.choose_name()?;
    if state == TargetState::Writable {
        destination.check_replaceable(partial)?;
    }
    Ok(state)
}
