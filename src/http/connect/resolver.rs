//! Name resolution whose addresses pass the address rules.

use super::address_class::is_localhost;
use super::address_policy::{AddressPolicy, Scheme};
use crate::state::blocking;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

/// Resolves names with the system's resolver, for requests of one scheme, and returns only the addresses
/// that the policy permits.
pub(crate) struct DnsResolver {
    policy: Arc<AddressPolicy>,
    scheme: Scheme,
    ipv4_first: bool,
}

impl DnsResolver {
    /// A resolver for requests of `scheme`. With `ipv4_first`, the first address is one of IPv4 where the name
    /// has one.
    pub(crate) fn new(policy: Arc<AddressPolicy>, scheme: Scheme, ipv4_first: bool) -> Self {
        Self {
            policy,
            scheme,
            ipv4_first,
        }
    }
}

impl Resolve for DnsResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, scheme) = (Arc::clone(&self.policy), self.scheme);
        let ipv4_first = self.ipv4_first;
        Box::pin(async move {
            // A SOCKS proxy that gets addresses makes reqwest resolve an address, too, in brackets for IPv6.
            let name = name.as_str().trim_matches(['[', ']']).to_owned();
            let addresses = if is_localhost(&name) {
                loopback_addresses()
            } else {
                let host = name.clone();
                let resolve = move || (host.as_str(), 0).to_socket_addrs();
                blocking::run(resolve).await?.collect()
            };
            let mut permitted = policy.permitted(&name, scheme, addresses)?;
            if ipv4_first {
                permitted.sort_by_key(SocketAddr::is_ipv6);
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// The addresses of `localhost`, without a question to the system's resolver (RFC 6761 section 6.3).
fn loopback_addresses() -> Vec<SocketAddr> {
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    addresses.map(|ip| SocketAddr::new(ip, 0)).to_vec()
}
