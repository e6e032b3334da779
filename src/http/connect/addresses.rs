//! Which addresses and schemes may be spoken to.
//!
//! An API answer names the next host, so a forged or careless answer could send this machine to its
//! own services, its network's, or a cloud's metadata service. The rule: link-local never; loopback
//! and private only where the API itself lives there; plain `http` only from loopback to loopback.
//! Literals are judged before anything is sent, names when they are resolved. A client
//! resolves names for one [`Scheme`] alone, so that the verdict on `https` never lets `http` pass.

use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use url::{Host, Url};

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anywhere.
    Public,
    /// A private network: RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// This machine.
    Loopback,
    /// This link (where clouds keep their metadata services), multicast, broadcast.
    LinkLocal,
}

/// How a request travels. The addresses that a name stands for are judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear.
    Http,
    /// Encrypted.
    Https,
}

impl Scheme {
    /// That of a URL.
    pub(crate) fn of(url: &Url) -> Self {
        match url.scheme() {
            "https" => Self::Https,
            _ => Self::Http,
        }
    }
}

/// The class of an address; an IPv6 form that carries an IPv4 address is judged by that.
pub(crate) fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(v4: Ipv4Addr) -> Class {
    let [a, b, ..] = v4.octets();
    if v4.is_loopback() || a == 0 {
        Class::Loopback
    } else if v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() {
        Class::LinkLocal
    } else if v4.is_private() || (a == 100 && (64..128).contains(&b)) {
        Class::Private
    } else {
        Class::Public
    }
}

fn classify_v6(v6: Ipv6Addr) -> Class {
    /// The IPv6 form of the EC2 metadata service, in a private range but never a document store.
    const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let s = v6.segments();
    let v4_in = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        classify_v4(Ipv4Addr::new(a, b, c, d))
    };
    if v6.is_loopback() || v6.is_unspecified() {
        Class::Loopback
    } else if v6.is_multicast() || v6.is_unicast_link_local() || v6 == EC2_METADATA {
        Class::LinkLocal
    } else if let [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] = s
    {
        v4_in(high, low) // IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052)
    } else if let [0, 0, 0, 0, 0xffff, 0, high, low] = s {
        v4_in(high, low) // IPv4-translated (RFC 7915)
    } else if s[0] == 0x2002 {
        v4_in(s[1], s[2]) // 6to4 (RFC 3056)
    } else if v6.is_unique_local()
        || s[0] & 0xffc0 == 0xfec0
        || s[..3] == [0x64, 0xff9b, 1]
        || s[..2] == [0x2001, 0]
    {
        // RFC 4193, old site-local, local NAT64 (RFC 8215), Teredo (RFC 4380)
        Class::Private
    } else {
        Class::Public
    }
}

/// The class of a host that is an address, or `localhost`; none for other names.
fn literal(host: &Host<&str>) -> Option<Class> {
    match host {
        Host::Ipv4(v4) => Some(classify_v4(*v4)),
        Host::Ipv6(v6) => Some(classify_v6(*v6)),
        Host::Domain(name) => is_localhost(name).then_some(Class::Loopback),
    }
}

/// Whether a name always means this machine (RFC 6761 section 6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a URL's host is this machine, by its look.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host().and_then(|host| literal(&host)) == Some(Class::Loopback)
}

/// The rule for one API base.
#[derive(Debug)]
pub(crate) struct Policy {
    base_host: String,
    base_is_plain_loopback: bool,
    allow_private: bool,
    /// What the base turned out to be: by its look, or once its name was resolved.
    base_class: Mutex<Option<Class>>,
    /// Hosts of proxies: the user chose them.
    proxies: Vec<String>,
}

impl Policy {
    /// The rule for an API at `base`.
    pub(crate) fn new(base: &Url, allow_private: bool, proxies: Vec<String>) -> Self {
        Self {
            base_host: base.host_str().unwrap_or_default().to_owned(),
            base_is_plain_loopback: base.scheme() == "http" && is_loopback(base),
            allow_private,
            base_class: Mutex::new(base.host().and_then(|host| literal(&host))),
            proxies,
        }
    }

    /// Judges what can be seen of a URL before connecting.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`] for plain http, another scheme or credentials in the URL,
    /// [`Code::PrivateAddress`] for an address of another class than the base's.
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default().to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                Error::new(Code::InsecureUrl, format!("refused a URL at {host}"))
                    .with_cause("it holds credentials"),
            );
        }
        let class = url.host().and_then(|host| literal(&host));
        self.check_class(&host, class)?;
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.base_is_plain_loopback && class == Some(Class::Loopback) => Ok(()),
            "http" if self.allow_private && class.is_some_and(|class| class != Class::Public) => {
                Ok(())
            }
            // Its addresses are judged when they are known.
            "http" if self.allow_private && class.is_none() => Ok(()),
            "http" => Err(
                Error::new(Code::InsecureUrl, format!("refused plain http to {host}"))
                    .with_cause("anybody on the way could read the document and its URL")
                    .with_hint("use https; plain http is for a loopback API only"),
            ),
            other => Err(Error::new(
                Code::InsecureUrl,
                format!("refused a URL of scheme {other:?}"),
            )),
        }
    }

    fn check_class(&self, host: &str, class: Option<Class>) -> Result<()> {
        let Some(class) = class else { return Ok(()) };
        let own = host == self.base_host || Some(class) == *locked(&self.base_class);
        match class {
            Class::Public => Ok(()),
            Class::LinkLocal => Err(refused(host, class).with_hint(
                "no document lives there; if the API itself answered so, tell the provider",
            )),
            Class::Private | Class::Loopback if own || self.allow_private => Ok(()),
            Class::Private | Class::Loopback => Err(refused(host, class)),
        }
    }

    /// Judges the addresses that a name was resolved to, for requests of `scheme`; returns those that may
    /// be connected to.
    ///
    /// # Errors
    /// [`Code::PrivateAddress`] when none is left.
    pub(crate) fn admit<A>(
        &self,
        (name, scheme): (&str, Scheme),
        addresses: Vec<A>,
        ip: impl Fn(&A) -> IpAddr,
    ) -> Result<Vec<A>> {
        if self.proxies.iter().any(|proxy| proxy == name) {
            return Ok(addresses);
        }
        let is_base = name == self.base_host;
        let mut first_refused = None;
        let mut admitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            let class = classify(ip(&address));
            let allowed = match class {
                Class::LinkLocal => false,
                Class::Public => scheme == Scheme::Https,
                Class::Private => true,
                Class::Loopback => {
                    is_base
                        || self.allow_private
                        || *locked(&self.base_class) == Some(Class::Loopback)
                }
            };
            if allowed {
                if is_base {
                    *locked(&self.base_class) = Some(class);
                }
                admitted.push(address);
            } else {
                first_refused.get_or_insert(class);
            }
        }
        match first_refused {
            Some(Class::Public) if admitted.is_empty() => Err(Error::new(
                Code::InsecureUrl,
                format!("refused plain http to {name}"),
            )
            .with_cause("it has a public address")),
            Some(class) if admitted.is_empty() => Err(refused(name, class)),
            _ => Ok(admitted),
        }
    }
}

fn refused(host: &str, class: Class) -> Error {
    let kind = match class {
        Class::Public => "a public",
        Class::Private => "a private",
        Class::Loopback => "a loopback",
        Class::LinkLocal => "a link-local",
    };
    Error::new(
        Code::PrivateAddress,
        format!("refused to connect to {host}"),
    )
    .with_cause(format!("it is {kind} address and the API is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(base: &str, allow_private: bool) -> Policy {
        Policy::new(
            &Url::parse(base).unwrap(),
            allow_private,
            vec!["proxy.lan".into()],
        )
    }

    fn check(policy: &Policy, url: &str) -> Option<Code> {
        policy
            .check(&Url::parse(url).unwrap())
            .err()
            .map(|e| e.code())
    }

    #[test]
    fn every_form_of_an_address_is_seen_through() {
        for (text, class) in [
            ("8.8.8.8", Class::Public),
            ("10.1.2.3", Class::Private),
            ("172.31.0.1", Class::Private),
            ("172.32.0.1", Class::Public),
            ("192.168.0.1", Class::Private),
            ("100.64.0.1", Class::Private),
            ("127.9.9.9", Class::Loopback),
            ("0.0.0.0", Class::Loopback),
            ("169.254.169.254", Class::LinkLocal),
            ("224.0.0.1", Class::LinkLocal),
            ("::1", Class::Loopback),
            ("::", Class::Loopback),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("64:ff9b::a00:1", Class::Private),
            ("2002:7f00:1::", Class::Loopback),
            ("64:ff9b:1::a00:1", Class::Private),
            ("::ffff:0:127.0.0.1", Class::Loopback),
            ("2001::1", Class::Private),
            ("fe80::1", Class::LinkLocal),
            ("fd00:ec2::254", Class::LinkLocal),
            ("fd12::1", Class::Private),
            ("2606:4700::1", Class::Public),
        ] {
            assert_eq!(classify(text.parse().unwrap()), class, "{text}");
        }
    }

    #[test]
    fn a_public_api_reaches_public_https_only() {
        let policy = policy("https://api.example.com", false);
        assert_eq!(check(&policy, "https://bucket.example.com/x"), None);
        assert_eq!(
            check(&policy, "http://bucket.example.com/x"),
            Some(Code::InsecureUrl)
        );
        assert_eq!(
            check(&policy, "https://u:p@bucket.example.com/"),
            Some(Code::InsecureUrl)
        );
        assert_eq!(
            check(&policy, "https://u@bucket.example.com/"),
            Some(Code::InsecureUrl)
        );
        assert_eq!(
            check(&policy, "ftp://bucket.example.com/"),
            Some(Code::InsecureUrl)
        );
        for private in [
            "10.0.0.1",
            "127.1",
            "[::1]",
            "localhost",
            "a.localhost.",
            "169.254.169.254",
        ] {
            let url = format!("https://{private}/x");
            assert_eq!(
                check(&policy, &url),
                Some(Code::PrivateAddress),
                "{private}"
            );
        }
    }

    #[test]
    fn a_plain_loopback_api_reaches_loopback_over_plain_http() {
        let policy = policy("http://127.0.0.1:1", false);
        assert_eq!(check(&policy, "http://localhost:2/x"), None);
        assert_eq!(
            check(&policy, "http://bucket.example.com/x"),
            Some(Code::InsecureUrl)
        );
        assert_eq!(
            check(&policy, "https://10.0.0.1/x"),
            Some(Code::PrivateAddress)
        );
        assert_eq!(
            check(&policy, "http://169.254.169.254/x"),
            Some(Code::PrivateAddress)
        );
    }

    #[test]
    fn allow_private_lifts_all_but_link_local_and_public_plain_http() {
        let policy = policy("https://api.example.com", true);
        assert_eq!(check(&policy, "http://10.0.0.1/x"), None);
        assert_eq!(check(&policy, "https://localhost/x"), None);
        assert_eq!(
            check(&policy, "https://169.254.0.1/x"),
            Some(Code::PrivateAddress)
        );
        assert_eq!(check(&policy, "http://8.8.8.8/x"), Some(Code::InsecureUrl));
        assert_eq!(check(&policy, "http://minio/x"), None);
        let ip = |ip: &IpAddr| *ip;
        assert!(
            policy
                .admit(
                    ("minio", Scheme::Http),
                    vec!["10.0.0.2".parse().unwrap()],
                    ip
                )
                .is_ok()
        );
        let public = |scheme| policy.admit(("minio", scheme), vec!["8.8.8.8".parse().unwrap()], ip);
        // Whatever else is asked of that name.
        assert_eq!(check(&policy, "https://minio/x"), None);
        assert_eq!(
            public(Scheme::Http).err().map(|e| e.code()),
            Some(Code::InsecureUrl)
        );
        assert_eq!(check(&policy, "http://minio/x"), None);
        assert!(public(Scheme::Https).is_ok());
    }

    #[test]
    fn names_are_judged_by_what_they_resolve_to() {
        let policy = policy("https://api.example.com", false);
        let ip = |ip: &IpAddr| *ip;
        let of = |name: &str, text: &str| {
            policy
                .admit((name, Scheme::Https), vec![text.parse().unwrap()], ip)
                .err()
                .map(|e| e.code())
        };
        assert_eq!(of("bucket.lan", "10.0.0.9"), None);
        assert_eq!(
            of("rebind.example", "127.0.0.1"),
            Some(Code::PrivateAddress)
        );
        assert_eq!(
            of("rebind.example", "169.254.169.254"),
            Some(Code::PrivateAddress)
        );
        assert_eq!(of("proxy.lan", "127.0.0.1"), None);
        // The API itself may live on this machine; then its documents may, too.
        assert_eq!(of("api.example.com", "127.0.0.1"), None);
        assert_eq!(of("rebind.example", "127.0.0.1"), None);
    }
}
