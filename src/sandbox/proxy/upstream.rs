//! The proxy that the user's own programs go through, where there is one: then ours does too.
//!
//! Names that cannot be looked up here are looked up by it. It is found as programs find theirs: by
//! `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in small letters or capitals.
//!
//! Invariant: where one is named, nothing goes round it but what `no_proxy` names; one that cannot
//! be gone through is said, and nothing goes out.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::host::{Host, Place};

/// What is between this machine and the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    https: Option<Via>,
    http: Option<Via>,
    exempt: Vec<String>,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Via {
    /// It is asked in plain HTTP.
    Http {
        host: String,
        port: u16,
        /// What says who is asking, as a header has it.
        who: Option<String>,
    },
    /// It is asked in a way that is not known here: the variable that names it, and how.
    Unknown { variable: &'static str, scheme: String },
}

impl Upstream {
    /// What these variables say.
    pub fn of(env: &[(OsString, OsString)]) -> Self {
        let value = |name: &'static str| {
            let found = env.iter().find(|(key, value)| key == name && !value.is_empty());
            Some((name, found?.1.to_str()?))
        };
        let first = |names: [&'static str; 4]| {
            names.into_iter().find_map(value).map(|(name, text)| Via::parse(name, text))
        };
        let exempt = ["no_proxy", "NO_PROXY"].into_iter().find_map(value);
        let exempt = exempt.map(|(_, list)| list).unwrap_or_default().split([',', ' ']);
        Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            exempt: exempt.filter(|it| !it.is_empty()).map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Why nothing can go out; none where it can.
    pub fn obstacle(&self) -> Option<String> {
        [&self.https, &self.http].into_iter().flatten().find_map(|via| match via {
            Via::Unknown { .. } => Some(via.to_string()),
            Via::Http { .. } => None,
        })
    }

    /// What is gone through to this place; `tunnel` says how it is asked for.
    pub(super) fn way_to(&self, place: &Place, tunnel: bool) -> Option<&Via> {
        let via = if tunnel { &self.https } else { &self.http };
        via.as_ref().filter(|_| !self.exempt.iter().any(|entry| exempts(entry, place)))
    }
}

impl Via {
    fn parse(variable: &'static str, text: &str) -> Self {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let unknown = || Self::Unknown { variable, scheme: scheme.to_owned() };
        if !scheme.eq_ignore_ascii_case("http") {
            return unknown();
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (who, at) = match authority.rsplit_once('@') {
            Some((who, at)) => (Some(STANDARD.encode(decoded(who))), at),
            None => (None, authority),
        };
        match Place::parse(at, Some(80)) {
            Ok(Place { host, port }) => Self::Http {
                host: host.to_string().trim_matches(['[', ']']).to_owned(),
                port,
                who: who.map(|who| format!("Proxy-Authorization: Basic {who}\r\n")),
            },
            Err(_) => unknown(),
        }
    }
}

/// Whether an entry of `no_proxy` means this place: a name and all below it, an address or a range
/// of them, each maybe with a port.
fn exempts(entry: &str, place: &Place) -> bool {
    if entry == "*" {
        return true;
    }
    let is_range = |(net, bits): (&str, &str)| match (&place.host, net.parse(), bits.parse()) {
        (Host::Address(address), Ok(net), Ok(bits)) => is_within(*address, net, bits),
        _ => false,
    };
    if let Some(range) = entry.split_once('/') {
        return is_range(range);
    }
    let entry = entry.trim_start_matches("*").trim_start_matches('.');
    let (entry, port) = match Place::parse(entry, Some(place.port)) {
        Ok(named) => (named.host, named.port),
        Err(_) => return false,
    };
    let is_host = match (&entry, &place.host) {
        (Host::Name(entry), Host::Name(name)) => {
            name == entry || name.strip_suffix(entry).is_some_and(|it| it.ends_with('.'))
        }
        (entry, host) => entry == host,
    };
    is_host && port == place.port
}

fn is_within(address: IpAddr, net: IpAddr, bits: u32) -> bool {
    let shifted = |value: u128, width: u32| value.checked_shr(width.saturating_sub(bits));
    match (address, net) {
        (IpAddr::V4(address), IpAddr::V4(net)) => {
            let value = |it: std::net::Ipv4Addr| shifted(u128::from(it.to_bits()), 32);
            value(address) == value(net)
        }
        (IpAddr::V6(address), IpAddr::V6(net)) => {
            shifted(address.to_bits(), 128) == shifted(net.to_bits(), 128)
        }
        _ => false,
    }
}

/// `%40` is `@`.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    bytes
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, port, .. } => write!(f, "the proxy at {host}:{port}"),
            Self::Unknown { variable, scheme } => {
                let known = "only a proxy at http://host:port can be gone through";
                write!(f, "{variable} names a proxy of another kind ({scheme}); {known}")
            }
        }
    }
}

/// Without what says who is asking.
impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(env: &[(&str, &str)]) -> Upstream {
        Upstream::of(&env.iter().map(|(key, value)| (key.into(), value.into())).collect::<Vec<_>>())
    }

    fn way(upstream: &Upstream, place: &str) -> Option<String> {
        let place = Place::parse(place, None).unwrap();
        upstream.way_to(&place, place.port == 443).map(ToString::to_string)
    }

    #[test]
    fn it_is_found_as_programs_find_theirs() {
        let env = [("HTTPS_PROXY", "http://a:1"), ("all_proxy", "b:2/"), ("no_proxy", "")];
        let found = upstream(&env);
        assert_eq!(way(&found, "x.example:443").as_deref(), Some("the proxy at a:1"));
        assert_eq!(way(&found, "x.example:80").as_deref(), Some("the proxy at b:2"));
        assert_eq!(found.obstacle(), None);
        assert_eq!(upstream(&[("PATH", "/bin"), ("http_proxy", "")]), Upstream::default());
    }

    #[test]
    fn what_is_exempt_goes_round_it() {
        let list = "localhost, .corp.example,10.0.0.0/8,192.168.1.1,odd.example:8443,fd00::/8";
        let found = upstream(&[("all_proxy", "http://p:3128"), ("NO_PROXY", list)]);
        for place in [
            "localhost:80",
            "git.corp.example:443",
            "corp.example:443",
            "10.1.2.3:443",
            "192.168.1.1:80",
            "odd.example:8443",
            "[fd12::1]:443",
        ] {
            assert_eq!(way(&found, place), None, "{place}");
        }
        for place in
            ["notcorp.example:443", "11.1.2.3:443", "odd.example:443", "[fe80::1]:443", "a:80"]
        {
            assert!(way(&found, place).is_some(), "{place}");
        }
        assert_eq!(way(&upstream(&[("all_proxy", "p:1"), ("no_proxy", "*")]), "a:80"), None);
    }

    #[test]
    fn who_asks_is_told_to_it_alone_and_another_kind_is_an_obstacle() {
        let found = upstream(&[("https_proxy", "http://ada:p%40ss@proxy.example:8080")]);
        let Some(Via::Http { who, .. }) = &found.https else { panic!("{found:?}") };
        let basic = "Proxy-Authorization: Basic YWRhOnBAc3M=\r\n";
        assert_eq!(who.as_deref(), Some(basic));
        assert!(!format!("{found:?}").contains("YWRh"));
        let obstacle = upstream(&[("ALL_PROXY", "socks5h://proxy.example:1080")]).obstacle();
        let wanted = "ALL_PROXY names a proxy of another kind (socks5h); \
                      only a proxy at http://host:port can be gone through";
        assert_eq!(obstacle.as_deref(), Some(wanted));
    }
}
