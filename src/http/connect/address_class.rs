//! What a network address reaches: the whole internet, a private network, this machine, or this link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressClass {
    /// The internet.
    Public,
    /// A private network: RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// This machine.
    Loopback,
    /// This link, where clouds have their metadata services; also multicast and broadcast.
    LinkLocal,
}

/// The class of an address. An IPv6 address that embeds an IPv4 address has the class of the latter.
pub(super) fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    let [a, b, ..] = v4.octets();
    if v4.is_loopback() || a == 0 {
        AddressClass::Loopback
    } else if v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() {
        AddressClass::LinkLocal
    } else if v4.is_private() || (a == 100 && (64..128).contains(&b)) {
        AddressClass::Private
    } else {
        AddressClass::Public
    }
}

fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    /// The IPv6 address of the EC2 metadata service. Its range is private, but no document is there.
    const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    if v6.is_loopback() || v6.is_unspecified() {
        AddressClass::Loopback
    } else if v6.is_multicast() || v6.is_unicast_link_local() || v6 == EC2_METADATA {
        AddressClass::LinkLocal
    } else if let Some(v4) = embedded_v4(v6) {
        classify_v4(v4)
    } else if is_private_v6(v6) {
        AddressClass::Private
    } else {
        AddressClass::Public
    }
}

/// The IPv4 address that an IPv6 address embeds, if any.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    // In order: IPv4-compatible and IPv4-mapped (RFC 4291 section 2.5.5), NAT64 (RFC 6052),
    // IPv4-translated (RFC 7915), 6to4 (RFC 3056).
    let ([0, 0, 0, 0, 0, 0 | 0xffff, high, low]
    | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
    | [0, 0, 0, 0, 0xffff, 0, high, low]
    | [0x2002, high, low, ..]) = v6.segments()
    else {
        return None;
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    v6.is_unique_local() // RFC 4193
        || segments[0] & 0xffc0 == 0xfec0 // site-local (deprecated by RFC 3879)
        || segments[..3] == [0x64, 0xff9b, 1] // NAT64 of a local network (RFC 8215)
        || segments[..2] == [0x2001, 0] // Teredo (RFC 4380)
}

/// The class of a host that is an address or `localhost`; `None` for other names.
pub(super) fn classify_host(host: &Host<&str>) -> Option<AddressClass> {
    match host {
        Host::Ipv4(v4) => Some(classify_v4(*v4)),
        Host::Ipv6(v6) => Some(classify_v6(*v6)),
        Host::Domain(name) => is_localhost(name).then_some(AddressClass::Loopback),
    }
}

/// Whether a name always means this machine (RFC 6761 section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a URL's host is a loopback address or `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host().and_then(|host| classify_host(&host)) == Some(AddressClass::Loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_has_the_class_of_what_it_reaches() {
        for (text, class) in [
            ("8.8.8.8", AddressClass::Public),
            ("10.1.2.3", AddressClass::Private),
            ("172.31.0.1", AddressClass::Private),
            ("172.32.0.1", AddressClass::Public),
            ("192.168.0.1", AddressClass::Private),
            ("100.64.0.1", AddressClass::Private),
            ("127.9.9.9", AddressClass::Loopback),
            ("0.0.0.0", AddressClass::Loopback),
            ("169.254.169.254", AddressClass::LinkLocal),
            ("224.0.0.1", AddressClass::LinkLocal),
            ("::1", AddressClass::Loopback),
            ("::", AddressClass::Loopback),
            ("::ffff:169.254.169.254", AddressClass::LinkLocal),
            ("::ffff:127.0.0.1", AddressClass::Loopback),
            ("64:ff9b::a00:1", AddressClass::Private),
            ("2002:7f00:1::", AddressClass::Loopback),
            ("64:ff9b:1::a00:1", AddressClass::Private),
            ("::ffff:0:127.0.0.1", AddressClass::Loopback),
            ("2001::1", AddressClass::Private),
            ("fe80::1", AddressClass::LinkLocal),
            ("fd00:ec2::254", AddressClass::LinkLocal),
            ("fd12::1", AddressClass::Private),
            ("2606:4700::1", AddressClass::Public),
        ] {
            assert_eq!(classify(text.parse().unwrap()), class, "{text}");
        }
    }
}
