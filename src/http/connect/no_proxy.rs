//! Which hosts no proxy serves, as curl reads the list in `NO_PROXY` and `--noproxy`.
//!
//! - `*` alone exempts every host.
//! - Commas or blanks separate the entries. (curl removed blanks in version 8.9; earlier ones accept them.)
//! - A name exempts the host of that name and all hosts below it. One leading dot, one trailing dot and the
//!   case do not matter.
//! - An address exempts that address, an address with `/BITS` a network; `/0` is the address alone. IPv6
//!   addresses have no brackets.
//! - An entry with a port exempts no host, because curl compares the whole entry with the host.

use std::net::IpAddr;
use url::{Host, Url};

/// The hosts that no proxy serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy {
    is_for_all: bool,
    names: Vec<String>,
    networks: Vec<Network>,
}

/// The addresses whose first `bits` bits are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl NoProxy {
    /// Reads the list.
    pub(super) fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']);
        Self {
            is_for_all: list == "*",
            names: entries.clone().filter_map(name).collect(),
            networks: entries.filter_map(Network::parse).collect(),
        }
    }

    /// Whether the list exempts every host.
    pub(super) fn is_for_all(&self) -> bool {
        self.is_for_all
    }

    /// Whether no proxy serves the host of a URL.
    pub(super) fn contains(&self, url: &Url) -> bool {
        self.is_for_all
            || match url.host() {
                None => false,
                Some(Host::Domain(host)) => self.contains_name(host),
                Some(Host::Ipv4(address)) => self.contains_address(address.into()),
                Some(Host::Ipv6(address)) => self.contains_address(address.into()),
            }
    }

    fn contains_name(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.names.iter().any(|name| {
            let above = host.strip_suffix(name.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }

    fn contains_address(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// A name without its outer dots, in lower case.
fn name(entry: &str) -> Option<String> {
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    (!entry.is_empty()).then(|| entry.to_ascii_lowercase())
}

impl Network {
    /// An address, or an address and a count of bits. As in C's `atoi`, text after the digits does not count.
    fn parse(entry: &str) -> Option<Self> {
        let (address, bits) = entry.split_once('/').unwrap_or((entry, ""));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let digits = bits.strip_prefix('+').unwrap_or(bits);
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let bits = match &digits[..end.unwrap_or(digits.len())] {
            "" if digits.starts_with('-') => return None,
            "" => width,
            digits => digits.parse().ok()?,
        };
        let bits = if bits == 0 { width } else { bits };
        (bits <= width).then_some(Self { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        let (differing, width) = match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (u128::from(one.to_bits() ^ other.to_bits()), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
            _ => return false,
        };
        differing >> (width - self.bits) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_curl_reads_them() {
        for (list, host, direct) in [
            ("", "x.example.com", false),
            ("*", "x.example.com", true),
            ("*", "[fd00::1]", true),
            (" *", "x.example.com", false),
            ("foo,*", "x.example.com", false),
            ("*.example.com", "x.example.com", false),
            ("a.example.com b.example.com", "b.example.com", true),
            ("a.example.com\tb.example.com", "b.example.com", true),
            ("a , example.com", "x.example.com", true),
            (",,example.com", "x.example.com", true),
            ("a;example.com", "x.example.com", false),
            ("a,\nexample.com", "x.example.com", false),
            ("EXAMPLE.com", "x.Example.COM", true),
            ("example.com", "notexample.com", false),
            ("x.example.com", "example.com", false),
            ("com", "x.example.com", true),
            (".", "x.example.com", false),
            (".example.com", "example.com", true),
            (".example.com.", "x.example.com.", true),
            ("..example.com", "x.example.com", false),
            ("example.com..", "x.example.com", false),
            ("http://x.example.com", "x.example.com", false),
            ("x.example.com", "x.example.com:8443", true),
            ("x.example.com:8443", "x.example.com:8443", false),
            ("192.168.0.1:8443", "192.168.0.1:8443", false),
            ("192.168.0.1", "192.168.0.1", true),
            ("192.168.0.1", "192.168.1", true),
            ("192.168.0.1", "192.168.0.10", false),
            (".168.0.1", "192.168.0.1", false),
            ("0300.0250.0.1", "192.168.0.1", false),
            ("::ffff:192.168.0.1", "192.168.0.1", false),
            ("foo, 192.168.0.0/16", "192.168.1.1", true),
            ("192.168.0.0/24", "192.168.1.1", false),
            ("192.168.0.0/31", "192.168.0.1", true),
            ("192.168.0.0/32", "192.168.0.1", false),
            ("192.168.0.0/33", "192.168.0.1", false),
            ("192.168.0.1/0", "192.168.0.1", true),
            ("0.0.0.0/0", "192.168.0.1", false),
            ("192.168.0.0/16x", "192.168.0.1", true),
            ("192.168.0.0/+16", "192.168.0.1", true),
            ("192.168.0.0/-16", "192.168.0.1", false),
            ("192.168.0.0/99999999999", "192.168.0.1", false),
            ("192.168.0.1/abc", "192.168.0.1", true),
            ("FD00::1", "[fd00::1]", true),
            ("fd00:0:0::1", "[fd00::1]", true),
            ("[fd00::1]", "[fd00::1]", false),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/9", "[fd12::1]", true),
            ("fd00::/9", "[fd92::1]", false),
            ("fd00::/129", "[fd00::]", false),
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(
                NoProxy::parse(list).contains(&url),
                direct,
                "{list:?}, {host}"
            );
        }
    }
}
