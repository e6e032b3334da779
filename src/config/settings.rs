//! Plain settings for everything that speaks to the network; flags and environment are already
//! merged when one is made.

use crate::model::Rate;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// How to connect, how long to try, how fast to ask.
#[derive(Clone, Debug)]
pub struct Connection {
    /// PEM file of certificates to trust on top of the system's.
    pub ca_cert: Option<PathBuf>,
    /// Proxy instead of the environment's: a URL, or host and port. It can hold a password.
    pub proxy: Option<Secret>,
    /// Longest time for name resolution, connection and TLS handshake together.
    pub connect_timeout: Duration,
    /// An attempt that moved less than 1 KiB/s for this long is ended.
    pub stall_timeout: Duration,
    /// Further attempts in a row without progress.
    pub retries: u32,
    /// Give up when there was no progress for this long.
    pub retry_max_time: Duration,
    /// The rate budget, instead of the provider's.
    pub rate_limit: Option<RateLimit>,
    /// Permits another paid retrieval where the ledger refuses it.
    pub allow_recharge: bool,
    /// The most paid requests of this process that are not refused.
    pub max_charges: Option<u64>,
    /// Lifts the rules about private and loopback addresses and about plain http to them.
    pub allow_private: bool,
}

/// A rate budget that the user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// No budget at all.
    None,
    /// All of these at once.
    Rates(Vec<Rate>),
}
