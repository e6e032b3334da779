//! The refresh token of one client (RFC 6749 section 6), which a service may replace at each use.
//!
//! A service that replaces refresh tokens takes each of them once, and may revoke them all when one comes twice. So one
//! process refreshes at a time, and every process uses what the last one got. Each refresh is a *generation* with a
//! number. A process creates the file of a generation exclusively before its request leaves, and writes into the file
//! what the request brought before anything uses that. Where locks exclude every other process, a generation without
//! an end is of a process that died. Elsewhere docfetch waits for that end for 60 s, unless the process has certainly
//! ended, and then passes the generation over.

use super::token_client::{Token, TokenClient};
use crate::active_time;
use crate::error::{Error, Result};
use crate::http::Http;
use crate::secret::{Secret, stored};
use crate::state::process::ProcessIdentity;
use crate::state::records::Records;
use crate::state::shared_files::{StagedFile, attempt_file};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long docfetch waits for a generation of another process, where locks exclude no process.
const MAX_WAIT_FOR_GENERATION: Duration = Duration::from_mins(1);
/// How often docfetch reads such a generation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How many generations stay on disk. A machine that sees changes late still finds the number of a late one.
const KEPT_GENERATIONS: u32 = 16;
/// How much room on the disk docfetch makes sure of before a request, for what the request brings.
const RESERVED_BYTES: usize = 16 << 10;

/// The refresh token of one client, as all processes of the user know it.
#[derive(Debug)]
pub(super) struct RefreshToken {
    records: Records,
    name: String,
    /// The token that the user got from the service.
    given: Secret,
}

/// What the file of a generation says.
#[derive(Debug, Serialize, Deserialize)]
struct Generation {
    /// The process that created the file.
    process: String,
    /// How the refresh ended. None while it is under way.
    end: Option<GenerationEnd>,
}

/// How a refresh ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct GenerationEnd {
    /// The refresh token that counts from then on. None for the one of the user.
    refresh_token: Option<StoredSecret>,
    /// The access token. None when the service gave none.
    token: Option<Token>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredSecret(#[serde(with = "stored")] Secret);

/// The last generations.
#[derive(Debug, Default)]
struct Latest {
    /// The number of the last one; 0 when there is none.
    number: u32,
    /// The last one, when it has no end: its process, as far as its file says so.
    pending: Option<Option<ProcessIdentity>>,
    /// The last end.
    end: GenerationEnd,
}

/// A generation that this process created.
struct OwnGeneration<'a> {
    records: &'a Records,
    file: String,
    /// The room for the end. None after the end was written.
    reserved: Option<StagedFile>,
    end: GenerationEnd,
}

impl RefreshToken {
    /// The token that the user got, and what replaced it. `records` keeps that under `name`.
    pub(super) fn new(records: Records, name: String, given: Secret) -> Self {
        Self {
            records,
            name,
            given,
        }
    }

    /// An access token that lives and is not the `refused` one: the recorded one, else a new one.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) and [`Code::DiskFull`](crate::Code::DiskFull) when docfetch could not
    /// store a new refresh token, before any request; [`Code::Busy`](crate::Code::Busy) when another process refreshes
    /// for longer than `max_hold_wait`; and the errors of [`TokenClient::request`].
    pub(super) async fn access_token(
        &self,
        client: &TokenClient,
        http: &Http,
        refused: Option<&Secret>,
        max_hold_wait: Duration,
    ) -> Result<Token> {
        let is_usable =
            |token: &Token| token.lives() && token.is_sendable() && refused != Some(&token.value);
        let title = &client.provider.table.title;
        let unstorable = |error: Error| unstorable(title, &error);
        let mut latest = self.latest(0).map_err(unstorable)?;
        if let Some(token) = latest.end.token.take_if(|token| is_usable(token)) {
            return Ok(token);
        }
        self.records.check_secrecy().map_err(unstorable)?;
        let _lock = self
            .records
            .lock(&self.name, max_hold_wait, "refreshing a token")
            .await?;
        let has_true_locks = self.records.has_true_locks();
        let (mut awaited, mut began) = (0, active_time::now());
        let mut known = latest.number;
        loop {
            let mut latest = self.latest(known).map_err(unstorable)?;
            if let Some(token) = latest.end.token.take_if(|token| is_usable(token)) {
                return Ok(token);
            }
            if awaited != latest.number {
                (awaited, began) = (latest.number, active_time::now());
            }
            let may_end = !has_true_locks && latest.may_end();
            if may_end && active_time::since(began) < MAX_WAIT_FOR_GENERATION {
                tokio::time::sleep(POLL_INTERVAL).await;
                continue;
            }
            known = latest.number + 1;
            let own = self.begin(known, &latest.end).map_err(unstorable)?;
            if let Some(own) = own {
                return self.refresh(own, client, http, max_hold_wait).await;
            }
        }
    }

    /// Refreshes once; once more with the user's own token, when the service does not take the stored one.
    async fn refresh(
        &self,
        mut own: OwnGeneration<'_>,
        client: &TokenClient,
        http: &Http,
        max_hold_wait: Duration,
    ) -> Result<Token> {
        let title = &client.provider.table.title;
        let stored = own.end.refresh_token.clone().map(|stored| stored.0);
        let mut used = stored.as_ref().unwrap_or(&self.given);
        let mut answer = client.request(http, Some(used), max_hold_wait).await;
        if stored.is_some()
            && answer
                .as_ref()
                .is_err_and(|failure| failure.is_invalid_grant)
        {
            log::info!("{title} refused the stored refresh token; trying the user's own");
            own.end.refresh_token = None;
            used = &self.given;
            answer = client.request(http, Some(used), max_hold_wait).await;
        }
        let answer = answer?;
        let next = answer.refresh_token.as_ref().unwrap_or(used);
        let is_replaced = next != used;
        own.end = GenerationEnd {
            refresh_token: Some(StoredSecret(next.clone())).filter(|next| next.0 != self.given),
            token: Some(answer.token.clone()),
        };
        match own.finish() {
            Ok(()) => self.remove_before(&own.file),
            Err(error) if is_replaced => {
                let what = format!("docfetch could not store the new refresh token of {title}");
                let hint = format!(
                    "authorize the client again, and set {} to the new refresh token",
                    client.provider.table.variables.refresh_token
                );
                let cause = error.message();
                return Err(Error::new(error.code(), what)
                    .with_cause(cause)
                    .with_hint(hint));
            }
            Err(error) => self.records.warn_unwritable(&error),
        }
        Ok(answer.token)
    }

    /// Reads the last generations. At least the one of the number `known` exists, or existed.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) for a file that cannot be trusted: without what it says, docfetch could
    /// send a refresh token twice.
    fn latest(&self, known: u32) -> Result<Latest> {
        let listed = self.records.attempt_numbers(&self.name)?;
        let mut number = listed.iter().copied().max().unwrap_or_default().max(known);
        while number > 0 && self.read(number + 1)?.is_some() {
            number += 1;
        }
        let mut latest = Latest {
            number,
            ..Latest::default()
        };
        let first = number.saturating_sub(KEPT_GENERATIONS) + 1;
        for number in (first..=number).rev() {
            let Some(generation) = self.read(number)? else {
                continue;
            };
            let (process, end) = match generation {
                Some(generation) => (ProcessIdentity::parse(&generation.process), generation.end),
                None => (None, None),
            };
            if let Some(end) = end {
                latest.end = end;
                break;
            }
            if number == latest.number {
                latest.pending = Some(process);
            }
        }
        if let Some(StoredSecret(token)) = &latest.end.refresh_token {
            token.register();
        }
        if let Some(token) = &latest.end.token {
            token.value.register();
        }
        Ok(latest)
    }

    /// Reads a generation; the inner option is none where nothing that its creator wrote is visible yet.
    fn read(&self, number: u32) -> Result<Option<Option<Generation>>> {
        let file = attempt_file(&self.name, number);
        let content = self.records.read_file(&file).map_err(|untrusted| {
            let why = std::io::Error::other(untrusted.why);
            Error::io("read", &untrusted.path, &why).with_hint("remove that file")
        })?;
        let Some(content) = content else {
            return Ok(None);
        };
        if content.trim_ascii().is_empty() {
            return Ok(Some(None));
        }
        let parsed = serde_json::from_slice(&content);
        parsed.map(|parsed| Some(Some(parsed))).map_err(|_| {
            let error = std::io::Error::other("the file is not what docfetch writes");
            match self.records.file_path(&file) {
                Ok(path) => Error::io("read", &path, &error).with_hint("remove that file"),
                Err(error) => error,
            }
        })
    }

    /// Creates the generation `number`, which continues from `end`. None when another process has created it.
    fn begin(&self, number: u32, end: &GenerationEnd) -> Result<Option<OwnGeneration<'_>>> {
        let file = attempt_file(&self.name, number);
        // A disk that is full shows before the request.
        let reserved = self.records.stage(&file, &[b' '; RESERVED_BYTES])?;
        let pending = self.records.stage(&file, &line(None)?)?;
        if !self.records.create_exclusively(&file)? {
            return Ok(None);
        }
        let own = OwnGeneration {
            records: &self.records,
            file,
            reserved: Some(reserved),
            end: GenerationEnd {
                token: None,
                ..end.clone()
            },
        };
        pending.publish()?;
        self.records.sync_files()?;
        let listed = self.records.attempt_numbers(&self.name)?;
        // A process that saw the folder as it was long ago has created a generation that others removed.
        Ok(Some(own).filter(|_| listed.iter().all(|known| *known <= number)))
    }

    /// Removes the generations long before the one of `file`.
    fn remove_before(&self, file: &str) {
        let numbers = self.records.attempt_numbers(&self.name).unwrap_or_default();
        let own = numbers
            .iter()
            .find(|number| attempt_file(&self.name, **number) == file);
        let Some(own) = own else { return };
        for number in &numbers {
            if number.saturating_add(KEPT_GENERATIONS) <= *own {
                let _ = self.records.remove_file(&attempt_file(&self.name, *number));
            }
        }
    }
}

impl Latest {
    /// Whether the last generation has no end and its process may run.
    fn may_end(&self) -> bool {
        match &self.pending {
            Some(Some(process)) => !process.is_gone(),
            Some(None) => true,
            None => false,
        }
    }
}

impl OwnGeneration<'_> {
    /// Writes the end, durably.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo), [`Code::DiskFull`](crate::Code::DiskFull).
    fn finish(&mut self) -> Result<()> {
        let Some(reserved) = self.reserved.take() else {
            return Ok(());
        };
        reserved.replace(&line(Some(self.end.clone()))?)?;
        reserved.publish()?;
        self.records.sync_files()
    }
}

/// A refresh that brought nothing, or that its task did not wait for, has an end too: no other process waits for it.
impl Drop for OwnGeneration<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            log::debug!("{}", error.message());
        }
    }
}

/// The line in the file of a generation of this process.
fn line(end: Option<GenerationEnd>) -> Result<Vec<u8>> {
    let generation = Generation {
        process: ProcessIdentity::own().to_string(),
        end,
    };
    let line = serde_json::to_vec(&generation);
    let mut line = line.map_err(|error| {
        Error::new(crate::Code::Unexpected, "cannot write a token").with_cause(error.to_string())
    })?;
    line.push(b'\n');
    Ok(line)
}

/// The error when docfetch could not store what a refresh brings, because of `error`.
fn unstorable(title: &str, error: &Error) -> Error {
    let what =
        format!("docfetch requests no token of {title}: it could not store a new refresh token");
    let hint = if error.has_own_hint() {
        error.hint()
    } else {
        "set DOCFETCH_STATE_DIR to a folder of yours that docfetch can write"
    };
    Error::new(error.code(), what)
        .with_cause(error.message())
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refresh_whose_process_may_run_is_waited_for() {
        let latest = |pending| Latest {
            pending,
            ..Latest::default()
        };
        assert!(!latest(None).may_end());
        assert!(latest(Some(None)).may_end());
        let own = ProcessIdentity::own().clone();
        assert!(latest(Some(Some(own))).may_end());
        let gone = ProcessIdentity::of_no_process();
        assert!(!latest(Some(Some(gone))).may_end());
    }
}
