//! Which addresses and schemes docfetch may connect to.
//!
//! An API's answer names the next host. A forged or careless answer could therefore point docfetch at
//! services of this machine, of its network, or at a cloud's metadata service. The rules:
//!
//! - Link-local addresses are refused.
//! - Loopback and private addresses are refused, unless the API itself has one, or the user passes
//!   `--allow-private`.
//! - Plain `http` is refused, unless the API and the host are both loopback. With `--allow-private`, plain
//!   `http` to private and loopback addresses is allowed.
//!
//! Addresses in URLs are checked before anything is sent, addresses of names when the name is resolved.
//! Each client resolves names for one [`Scheme`] only, so that a permission for `https` never lets `http`
//! pass.

use super::address_class::{AddressClass, classify, classify_host, is_loopback};
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use std::net::SocketAddr;
use std::sync::Mutex;
use url::Url;

/// What the user can do about refused plain http to a name.
const ALLOW_PRIVATE_HINT: &str =
    "use https; --allow-private permits plain http to private and loopback addresses only";

/// The scheme of a request. It decides which addresses a name may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Plain http, without encryption.
    Http,
    /// Encrypted.
    Https,
}

impl Scheme {
    /// The scheme of a URL. All schemes but `https` count as plain http.
    pub(crate) fn of(url: &Url) -> Self {
        match url.scheme() {
            "https" => Self::Https,
            _ => Self::Http,
        }
    }
}

/// The address rules for the API at one base URL, and for the storages that it names.
#[derive(Debug)]
pub(crate) struct AddressPolicy {
    base_host: String,
    base_is_plain: bool,
    base_is_plain_loopback: bool,
    allow_private: bool,
    /// The class of the base's host: known from the URL, or once its name was resolved.
    base_class: Mutex<Option<AddressClass>>,
    /// Hosts of proxies. The user chose them, so that every address is permitted.
    proxy_hosts: Vec<String>,
}

impl AddressPolicy {
    /// The rules for an API at `base`.
    pub(crate) fn new(base: &Url, allow_private: bool, proxy_hosts: Vec<String>) -> Self {
        Self {
            base_host: base.host_str().unwrap_or_default().to_owned(),
            base_is_plain: base.scheme() == "http",
            base_is_plain_loopback: base.scheme() == "http" && is_loopback(base),
            allow_private,
            base_class: Mutex::new(base.host().and_then(|host| classify_host(&host))),
            proxy_hosts,
        }
    }

    /// Checks what a URL itself shows, before any connection.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`] for plain http, another scheme, or credentials in the URL;
    /// [`Code::PrivateAddress`] for an address of a refused class.
    pub(crate) fn check_url(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                Error::new(Code::InsecureUrl, format!("refused a URL at {host}"))
                    .with_cause("the URL holds credentials")
                    .with_hint("tell the provider: its service named this URL"),
            );
        }
        let class = url.host().and_then(|host| classify_host(&host));
        if let Some(class) = class {
            self.check_class(host, class)?;
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.permits_plain_http(class) => Ok(()),
            "http" => Err(
                Error::new(Code::InsecureUrl, format!("refused plain http to {host}"))
                    .with_cause("others on the network could read the document and its URL")
                    .with_hint(self.plain_http_hint(host, class)),
            ),
            other => Err(Error::new(
                Code::InsecureUrl,
                format!("refused a URL of scheme {other:?}"),
            )),
        }
    }

    /// What the user can do where plain http to a host of this class is refused.
    fn plain_http_hint(&self, host: &str, class: Option<AddressClass>) -> &'static str {
        let is_base = self.base_is_plain && host == self.base_host;
        match class {
            _ if !is_base => {
                "tell the provider, or log in to this network: one of them named this URL"
            }
            Some(AddressClass::Private) => {
                "use https, or pass --allow-private if you trust this network"
            }
            None if !self.allow_private => ALLOW_PRIVATE_HINT,
            _ => "use https; docfetch sends plain http only to loopback and private addresses",
        }
    }

    /// Whether plain http may go to a host of this class. With `--allow-private`, the class of a name is
    /// judged when the name is resolved.
    fn permits_plain_http(&self, class: Option<AddressClass>) -> bool {
        if self.base_is_plain_loopback && class == Some(AddressClass::Loopback) {
            return true;
        }
        self.allow_private && class != Some(AddressClass::Public)
    }

    fn check_class(&self, host: &str, class: AddressClass) -> Result<()> {
        let like_base = host == self.base_host || Some(class) == *locked(&self.base_class);
        match class {
            AddressClass::Public => Ok(()),
            AddressClass::LinkLocal => Err(refused(host, class)
                .with_hint("if the API itself named this address, tell the provider")),
            AddressClass::Private | AddressClass::Loopback if like_base || self.allow_private => {
                Ok(())
            }
            AddressClass::Private | AddressClass::Loopback => Err(refused(host, class)),
        }
    }

    /// Returns the addresses of a resolved name that a request of `scheme` may connect to.
    ///
    /// # Errors
    /// When no address is permitted: [`Code::InsecureUrl`] for plain http to a public address, else
    /// [`Code::PrivateAddress`].
    pub(super) fn permitted(
        &self,
        name: &str,
        scheme: Scheme,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>> {
        if self.proxy_hosts.iter().any(|proxy| proxy == name) {
            return Ok(addresses);
        }
        let is_base = name == self.base_host;
        let mut first_refused = None;
        let mut permitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            let class = classify(address.ip());
            if self.permits_resolved(class, scheme, is_base) {
                if is_base {
                    *locked(&self.base_class) = Some(class);
                }
                permitted.push(address);
            } else {
                first_refused.get_or_insert(class);
            }
        }
        match first_refused {
            Some(AddressClass::Public) if permitted.is_empty() => Err(Error::new(
                Code::InsecureUrl,
                format!("refused plain http to {name}"),
            )
            .with_cause("its address is public")
            .with_hint(ALLOW_PRIVATE_HINT)),
            Some(class) if permitted.is_empty() => Err(refused(name, class)),
            _ => Ok(permitted),
        }
    }

    fn permits_resolved(&self, class: AddressClass, scheme: Scheme, is_base: bool) -> bool {
        match class {
            AddressClass::LinkLocal => false,
            AddressClass::Public => scheme == Scheme::Https,
            AddressClass::Private => true,
            AddressClass::Loopback => {
                is_base
                    || self.allow_private
                    || *locked(&self.base_class) == Some(AddressClass::Loopback)
            }
        }
    }
}

fn refused(host: &str, class: AddressClass) -> Error {
    let what = format!("refused to connect to {host}");
    let cause = match class {
        AddressClass::LinkLocal => "its address is link-local",
        AddressClass::Loopback => "its address is loopback, and the API's is not",
        AddressClass::Private => "its address is private, and the API's is not",
        AddressClass::Public => "its address is public",
    };
    Error::new(Code::PrivateAddress, what).with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(base: &str, allow_private: bool) -> AddressPolicy {
        AddressPolicy::new(
            &Url::parse(base).unwrap(),
            allow_private,
            vec!["proxy.lan".into()],
        )
    }

    fn socket(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
    }

    fn check(policy: &AddressPolicy, url: &str) -> Option<Code> {
        policy
            .check_url(&Url::parse(url).unwrap())
            .err()
            .map(|e| e.code())
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
    fn a_url_that_the_service_named_is_the_providers_to_correct() {
        let hint = |base: &str, url: &str| {
            let checked = policy(base, false).check_url(&Url::parse(url).unwrap());
            checked.unwrap_err().hint().to_owned()
        };
        for url in [
            "http://b.example.com/x",
            "http://api.example.com/x",
            "https://u:p@b.example.com/x",
        ] {
            let hint = hint("https://api.example.com", url);
            assert!(hint.contains("tell the provider"), "{url}: {hint}");
        }
        let own = hint("http://api.example.com", "http://api.example.com/x");
        assert!(own.contains("use https"), "{own}");
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
        let resolved = |scheme, ip| policy.permitted("minio", scheme, vec![socket(ip)]);
        assert!(resolved(Scheme::Http, "10.0.0.2").is_ok());
        let public = |scheme| resolved(scheme, "8.8.8.8");
        // A permission for https does not let plain http pass.
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
        let of = |name: &str, ip: &str| {
            let permitted = policy.permitted(name, Scheme::Https, vec![socket(ip)]);
            permitted.err().map(|error| error.code())
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
        // When the API has a loopback address, its storages may have one, too.
        assert_eq!(of("api.example.com", "127.0.0.1"), None);
        assert_eq!(of("rebind.example", "127.0.0.1"), None);
    }
}
