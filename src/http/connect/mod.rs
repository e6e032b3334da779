//! How a connection is made: trusted certificates, proxies, permitted addresses, the gate of paid requests,
//! and connections that are kept or opened early.

mod address_class;
mod address_policy;
mod connector;
mod gate;
mod given_certificates;
mod idle;
mod no_proxy;
mod preconnect;
mod proxy;
mod proxy_trial;
mod resolver;
pub(super) mod tls;
pub(super) mod tls_failure;

pub(super) use address_class::is_loopback;
pub(super) use address_policy::{AddressPolicy, Scheme};
pub(super) use connector::{ConnectHook, Direct, HookLayer};
pub(crate) use gate::BeforeSend;
pub(super) use gate::Gate;
pub(super) use idle::{IdleConnection, IdleConnections};
pub(super) use preconnect::SpareConnection;
pub(super) use proxy::{Proxies, ProxyServer};
pub(super) use resolver::DnsResolver;
