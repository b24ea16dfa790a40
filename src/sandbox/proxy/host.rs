//! Hosts as a client names them, and patterns of those that may be reached.
//!
//! Invariant: one host has one spelling here: lower case, no dot at the end, an address as an
//! address; what has no clear spelling is no host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A host and a port, as a client asks for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host by its name or its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name, in lower case, without a dot at the end.
    Name(String),
    /// An address; what maps IPv4 into IPv6 is the IPv4 address.
    Address(IpAddr),
}

/// Hosts that may be reached: `example.com`, `*.example.com` for all below it, `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    host: HostPattern,
    /// None is [`PORTS`].
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HostPattern {
    Is(Host),
    Below(String),
}

/// The ports of a pattern that names none.
pub(super) const PORTS: [u16; 2] = [80, 443];

/// No host, or no pattern of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no host: {why}")]
pub struct BadHost {
    /// As it was given.
    pub text: String,
    /// What is wrong.
    pub why: &'static str,
}

impl Host {
    /// Reads a host by itself; an IPv6 address may have brackets.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("its ] is missing")?;
            let address: IpAddr = inner.parse().map_err(|_| "what is in [] is no IPv6 address")?;
            return if address.is_ipv6() {
                Ok(Self::Address(address.to_canonical()))
            } else {
                Err("what is in [] is no IPv6 address")
            };
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.len() > 253 {
            return Err("it is too long");
        }
        for label in name.split('.') {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(is_plain) {
                return Err("it is neither a name nor an address");
            }
        }
        // `2130706433`, `0x7f.1`, `127.1`: the system's resolver takes these for addresses.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            return Err("an address is written as four numbers with dots, or in []");
        }
        Ok(Self::Name(name))
    }
}

impl Place {
    /// Reads `host:port`, or `host` where there is a default. What stands before an `@` would be
    /// for somebody else than who is dialled, so there may be none.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, BadHost> {
        let bad = |why| BadHost { text: text.chars().take(300).collect(), why };
        let (host, port) = split(text).map_err(bad)?;
        let port = port.or(default).ok_or_else(|| bad("it has no port"))?;
        Ok(Self { host: Host::parse(host).map_err(bad)?, port })
    }
}

/// The host, and the port if there is one.
fn split(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without brackets.
        Some((host, _)) if host.contains(':') && !text.starts_with('[') => (text, None),
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        None => Ok((host, None)),
        Some(port) => match port.parse().ok().filter(|_| is_number(&port)) {
            Some(0) | None => Err("its port is no number from 1 to 65535"),
            port => Ok((host, port)),
        },
    }
}

impl Pattern {
    /// Whether this may be reached.
    pub fn matches(&self, place: &Place) -> bool {
        let fits_port = match self.port {
            Some(port) => port == place.port,
            None => PORTS.contains(&place.port),
        };
        fits_port
            && match (&self.host, &place.host) {
                (HostPattern::Is(host), asked) => host == asked,
                (HostPattern::Below(above), Host::Name(name)) => {
                    name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
                }
                (HostPattern::Below(_), Host::Address(_)) => false,
            }
    }

    /// The host alone, as a policy knows it.
    pub fn host(&self) -> String {
        Self { port: None, ..self.clone() }.to_string()
    }

    /// The pattern of just this.
    pub fn of(place: &Place) -> Self {
        let port = Some(place.port).filter(|port| !PORTS.contains(port));
        Self { host: HostPattern::Is(place.host.clone()), port }
    }
}

impl FromStr for Pattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = |why| BadHost { text: text.to_owned(), why };
        let trimmed = text.trim();
        if trimmed.contains("://") || trimmed.contains('/') {
            return Err(bad("give the host alone, without http:// and path"));
        }
        let (below, rest) = match trimmed.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        if rest.contains('*') {
            return Err(bad("a * stands only in front, as in *.example.com"));
        }
        let (host, port) = split(rest).map_err(bad)?;
        let host = match (below, Host::parse(host).map_err(bad)?) {
            (false, host) => HostPattern::Is(host),
            (true, Host::Name(name)) => HostPattern::Below(name),
            (true, Host::Address(_)) => return Err(bad("nothing is below an address")),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Is(host) => write!(f, "{host}")?,
            HostPattern::Below(above) => write!(f, "*.{above}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text, Some(443)).unwrap()
    }

    #[test]
    fn x10_one_host_has_one_spelling() {
        for (text, same) in [
            ("Example.COM", "example.com:443"),
            ("example.com.", "example.com:443"),
            ("example.com:8443", "example.com:8443"),
            ("127.0.0.1", "127.0.0.1:443"),
            ("[::1]", "[::1]:443"),
            ("[::1]:80", "[::1]:80"),
            ("::1", "[::1]:443"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("[::ffff:7f00:1]:80", "127.0.0.1:80"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example:443"),
        ] {
            assert_eq!(place(text).to_string(), same, "{text}");
        }
    }

    #[test]
    fn x10_what_has_no_clear_spelling_is_no_host() {
        for text in [
            "",
            ".",
            ":80",
            "a..b",
            "user@example.com",
            "good.example@evil.example",
            "a b",
            "a\tb",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "017700000001",
            "127.0.0.1.",
            "1.2.3.4.5",
            "example.com:0",
            "example.com:99999",
            "example.com:+80",
            "example.com:",
            "a:80:90",
            "[::1",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "[::1]x",
            "[::1]:x",
            "bücher.example",
            "exam\u{200b}ple.com",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "\u{ff0e}",
            "０x7f",
        ] {
            assert!(
                Place::parse(text, Some(443)).is_err(),
                "{text}: {:?}",
                Place::parse(text, Some(443))
            );
        }
    }

    #[test]
    fn patterns_are_for_hosts_and_ports() {
        let matches =
            |pattern: &str, text: &str| pattern.parse::<Pattern>().unwrap().matches(&place(text));
        assert!(matches("example.com", "EXAMPLE.com.:80"));
        assert!(!matches("example.com", "example.com:22"));
        assert!(matches("example.com:22", "example.com:22"));
        assert!(!matches("example.com:22", "example.com:443"));
        assert!(!matches("example.com", "www.example.com"));
        assert!(matches("*.example.com", "www.example.com"));
        assert!(matches("*.Example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "evilexample.com"));
        assert!(!matches("example.com", "example.com.evil.example"));
        assert!(matches("127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"));
        for text in ["*", "*.", "a.*.b", "https://a.example", "a/b", "*.1.2.3.4", "a b", ""] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in ["example.com", "*.example.com:8080", "[::1]:80", "10.0.0.1"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        assert_eq!(Pattern::of(&place("a.example")).to_string(), "a.example");
        assert_eq!(Pattern::of(&place("a.example:22")).to_string(), "a.example:22");
    }
}
