//! HTTP/1.1, as much of it as our clients need, by hand so that it can be done wrong.
//!
//! Invariant: what is read is kept as it came, byte for byte.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// E.g. `POST`.
    pub method: String,
    /// E.g. `/v1/messages`, with the query.
    pub path: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, unchunked.
    pub body: Vec<u8>,
    /// When its first byte was here.
    pub first_byte: Instant,
}

impl Request {
    /// The value of the first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The reading side of one connection.
pub struct Reader<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn new(stream: &'a TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// The next request; `None` when the client has closed the connection.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        if self.buffer.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let first_byte = Instant::now();
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).map_err(invalid)?;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default();
        let [method, path, "HTTP/1.1"] = start.split(' ').collect::<Vec<_>>()[..] else {
            return Err(invalid(format!("not a request line: {start}")));
        };
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| match line.split_once(':') {
                Some((name, value)) => Ok((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => Err(invalid(format!("not a header: {line}"))),
            })
            .collect::<io::Result<_>>()?;
        let mut request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Vec::new(),
            first_byte,
        };
        request.body = if request.header("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else if let Some(length) = request.header("content-length") {
            self.exactly(length.parse().map_err(invalid)?)?
        } else {
            Vec::new()
        };
        Ok(Some(request))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")?).map_err(invalid)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(invalid)?;
            body.extend(self.exactly(size)?);
            if self.until(b"\r\n")? != b"\r\n" {
                return Err(invalid("a chunk is longer than it says"));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// All up to and with `end`.
    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let found = self.buffer[seen..].windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..seen + at + end.len()).collect());
            }
            seen = self.buffer.len().saturating_sub(end.len() - 1);
            self.fill_or_fail()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill_or_fail()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        if self.fill()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 64 * 1024];
        let count = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A whole answer that is not streamed.
pub fn plain(status: u16, headers: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\n{headers}content-length: {}\r\n\r\n{body}",
        reason(status),
        body.len()
    )
    .into_bytes()
}

/// The head of a streamed answer.
pub fn stream_head(headers: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n{headers}transfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes()
}

/// One chunk. An empty one ends the body.
pub fn chunk(data: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    to.extend_from_slice(data);
    to.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
