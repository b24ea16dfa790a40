//! The head of a request to the proxy.
//!
//! Invariant: the host that is judged is the host that is dialled, and the only one that the other
//! side is told; whatever could be read in two ways is refused.

use super::host::Place;

/// A request that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Where it goes.
    pub(super) place: Place,
    /// How it goes on.
    pub(super) kind: Kind,
    /// What the other side has said before it was asked anything.
    pub(super) early: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes both ways.
    Tunnel,
    /// One request: the head to send on, and how many bytes of a body follow; none is up to the
    /// end of the connection.
    Forward { head: Vec<u8>, body: Option<u64> },
}

/// The longest head, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// Headers between a client and its proxy, which nobody behind it is told; and the one that says
/// the host, which is said anew.
const OURS: [&str; 7] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

impl Request {
    /// Reads a head up to and including its empty line.
    ///
    /// # Errors
    /// It is none, in a few words.
    pub(super) fn parse(head: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(head).map_err(|_| "the request is not plain text")?;
        let text = text.strip_suffix("\r\n\r\n").ok_or("the request has no end")?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ');
        let (method, target, version) = match (words.next(), words.next(), words.next()) {
            (Some(method), Some(target), Some(version)) if words.next().is_none() => {
                (method, target, version)
            }
            _ => return Err("the request has no clear first line".to_owned()),
        };
        if !version.starts_with("HTTP/1.") {
            return Err(format!("the proxy does not speak {version}"));
        }
        if method == "CONNECT" {
            let place = Place::parse(target, None).map_err(|bad| bad.to_string())?;
            return Ok(Self { place, kind: Kind::Tunnel, early: Vec::new() });
        }
        let scheme = target.get(..7).filter(|it| it.eq_ignore_ascii_case("http://"));
        let rest =
            scheme.and_then(|_| target.get(7..)).ok_or("this is a proxy: ask for http://…")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let place = Place::parse(authority, Some(80)).map_err(|bad| bad.to_string())?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let host = match place.port {
            80 => place.host.to_string(),
            _ => place.to_string(),
        };
        let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\n");
        let mut body = Some(0);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a header has no ':'")?;
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_name) || value.contains(['\r', '\n', '\0']) {
                return Err("a header is not clear".to_owned());
            }
            let name = name.to_ascii_lowercase();
            if OURS.contains(&name.as_str()) {
                continue;
            }
            match name.as_str() {
                "content-length" if body == Some(0) => {
                    let length = value.trim();
                    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
                    let length = length.parse().ok().filter(|_| is_number);
                    body = Some(length.ok_or("the length of the body is not clear")?);
                }
                "transfer-encoding" if body == Some(0) => body = None,
                "content-length" | "transfer-encoding" => {
                    return Err("the length of the body is said twice".to_owned());
                }
                _ => {}
            }
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("Connection: close\r\n\r\n");
        let kind = Kind::Forward { head: head.into_bytes(), body };
        Ok(Self { place, kind, early: Vec::new() })
    }

    /// Whether bytes go both ways, and are not looked at.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self.kind, Kind::Tunnel)
    }

    /// Makes it a request to another proxy, which is told in a header who asks: what it is asked
    /// for first, where it is to make a tunnel; else the head names the host.
    pub(super) fn through(&mut self, who: &str) -> Option<String> {
        let place = &self.place;
        match &mut self.kind {
            Kind::Tunnel => Some(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{who}\r\n")),
            Kind::Forward { head, .. } => {
                let host = match place.port {
                    80 => place.host.to_string(),
                    _ => place.to_string(),
                };
                let end = |mark: u8| head.iter().position(|byte| *byte == mark).unwrap_or(0) + 1;
                let (path, line) = (end(b' '), end(b'\n'));
                head.splice(line..line, who.bytes());
                head.splice(path..path, format!("http://{host}").bytes());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, Kind), String> {
        Request::parse(text.as_bytes()).map(|request| (request.place.to_string(), request.kind))
    }

    fn forwarded(head: &str, body: Option<u64>) -> Kind {
        Kind::Forward { head: head.as_bytes().to_vec(), body }
    }

    #[test]
    fn a_tunnel_and_a_request_that_is_sent_on() {
        let asked = parse("CONNECT A.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert_eq!(asked, Ok(("a.example:443".into(), Kind::Tunnel)));
        let asked = parse(
            "GET http://a.example/x?y HTTP/1.1\r\nHost: b.example\r\nAccept: */*\r\n\
             Proxy-Connection: keep-alive\r\nconnection: keep-alive\r\n\r\n",
        );
        let head =
            "GET /x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        assert_eq!(asked, Ok(("a.example:80".into(), forwarded(head, Some(0)))));
        let asked = parse("POST HTTP://a.example:81?q HTTP/1.0\r\nContent-Length: 12\r\n\r\n");
        let head = "POST /?q HTTP/1.1\r\nHost: a.example:81\r\nContent-Length: 12\r\n\
                    Connection: close\r\n\r\n";
        assert_eq!(asked, Ok(("a.example:81".into(), forwarded(head, Some(12)))));
    }

    #[test]
    fn a_request_through_another_proxy_says_the_host_and_who_asks() {
        let who = "Proxy-Authorization: Basic eA==\r\n";
        let head = b"GET http://a.example:81/x HTTP/1.1\r\nAccept: */*\r\n\r\n";
        let mut request = Request::parse(head).unwrap();
        assert_eq!(request.through(who), None);
        let wanted = format!(
            "GET http://a.example:81/x HTTP/1.1\r\n{who}Host: a.example:81\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(request.kind, forwarded(&wanted, Some(0)));
        let mut request = Request::parse(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n").unwrap();
        let wanted = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n";
        assert_eq!(request.through(who), Some(format!("{wanted}{who}\r\n")));
    }

    #[test]
    fn x10_what_could_be_read_in_two_ways_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "GET http://user@a.example/ HTTP/1.1\r\n\r\n",
            "GET http://a.example@b.example/ HTTP/1.1\r\n\r\n",
            "GET http://a.example\\@b.example/ HTTP/1.1\r\n\r\n",
            "GET http:// HTTP/1.1\r\n\r\n",
            "GET http://127.1/ HTTP/1.1\r\n\r\n",
            "GET  http://a.example/ HTTP/1.1\r\n\r\n",
            "GET http://a.example/ b HTTP/1.1\r\n\r\n",
            "GET http://a.example/ HTTP/2\r\n\r\n",
            "CONNECT a.example HTTP/1.1\r\n\r\n",
            "CONNECT user:x@a.example:443 HTTP/1.1\r\n\r\n",
            "CONNECT a.example:443/x HTTP/1.1\r\n\r\n",
            "CONNECT 0x7f.1:443 HTTP/1.1\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nHost : b\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nX: a\nHost: b\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\n folded\r\n\r\n",
            "POST http://a.example/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST http://a.example/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST http://a.example/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "",
        ] {
            assert!(parse(head).is_err(), "{head:?}: {:?}", parse(head));
        }
    }
}
