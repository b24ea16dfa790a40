//! An answer on its way: events, and the faults that befall them.
//!
//! Invariant: without a fault an answer leaves in one write.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Dialect;
use super::http::chunk;
use super::script::Fault;

/// One server-sent event, framed.
#[derive(Clone, Debug)]
pub(super) struct Event(Vec<u8>);

impl Event {
    /// An event with a name.
    pub(super) fn named(name: &str, data: &Value) -> Self {
        Self(format!("event: {name}\ndata: {data}\n\n").into_bytes())
    }

    /// An event that is only data.
    pub(super) fn data(data: &str) -> Self {
        Self(format!("data: {data}\n\n").into_bytes())
    }

    /// Bytes as they are.
    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// The events of one answer.
pub(super) struct Events {
    /// All of them.
    pub(super) events: Vec<Event>,
    /// From here on they end the answer.
    pub(super) end: usize,
}

/// About three pieces of a text, so that each text comes in more than one event.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let step = (text.len() / 3).max(1);
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = (step..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(at);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Puts into the events what this fault puts there, and takes away what it takes.
pub(super) fn befall(events: &mut Events, fault: &Fault, dialect: Dialect, blocks: usize) {
    let middle = (events.end / 2).max(1);
    let ping = dialect.ping();
    match fault {
        Fault::Truncate => events.events.truncate(events.end),
        Fault::MalformedJson => {
            let broken = br#"data: {"type": "content_block_delta", "choices": [{"#;
            events.events.insert(middle, Event::raw(&[broken.as_slice(), b"\n\n"].concat()));
            events.events.truncate(middle + 1);
        }
        Fault::MalformedSse => {
            events.events.insert(middle, Event::raw(b"\xff\xfe<html>\x00 oops\n\ndata\xc3: \n\n"));
            events.events.truncate(middle + 1);
        }
        Fault::ErrorEvent => {
            events.events.truncate(middle);
            events.events.push(dialect.error_event());
        }
        Fault::Unknown => {
            let mut unknown = dialect.unknown().into_iter().cycle();
            let old = std::mem::take(&mut events.events);
            events.events = old
                .into_iter()
                .enumerate()
                .flat_map(|(index, event)| {
                    let more = if index == 0 { None } else { unknown.next() };
                    more.into_iter().chain([event])
                })
                .collect();
            let open = b"event: content_block_start";
            if let Some(at) = events.events.iter().position(|event| event.0.starts_with(open)) {
                events.events.splice(at + 1..at + 1, dialect.unknown_delta());
            }
            let before_end = events.events.len() - 2;
            events.events.splice(before_end..before_end, dialect.unknown_block(blocks));
        }
        Fault::Pings(count) => {
            let old = std::mem::take(&mut events.events);
            events.events = old
                .into_iter()
                .flat_map(|event| {
                    [event].into_iter().chain(std::iter::repeat_n(ping.clone(), *count))
                })
                .collect();
        }
        _ => {}
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is out, and the connection serves the next request. Its last bytes were handed over at
    /// this time: the client may have them before the call that hands them over returns.
    Whole(Instant),
    /// It is not, and the connection is to be closed.
    Broken,
}

/// Writes the answer as this fault wants it. `wait` sleeps, and says whether to go on.
pub(super) fn send(
    mut stream: &TcpStream,
    head: &[u8],
    events: &Events,
    fault: Option<&Fault>,
    dialect: Dialect,
    wait: &dyn Fn(Duration) -> bool,
) -> io::Result<Sent> {
    let mut bytes = head.to_vec();
    for event in &events.events {
        chunk(&event.0, &mut bytes);
    }
    chunk(b"", &mut bytes);
    let body = bytes.len() - head.len();
    let body_at = head.len();
    let mut last = Instant::now();
    match fault {
        Some(Fault::HangUp) => return Ok(Sent::Broken),
        Some(Fault::Stall(time)) => {
            let half = body_at + body / 2;
            stream.write_all(&bytes[..half])?;
            if !wait(*time) {
                return Ok(Sent::Broken);
            }
            last = Instant::now();
            stream.write_all(&bytes[half..])?;
        }
        Some(Fault::Cut(at)) => {
            stream.write_all(&bytes[..body_at + at.min(&body)])?;
            return Ok(Sent::Broken);
        }
        Some(Fault::Reset(at)) => {
            stream.write_all(&bytes[..body_at + at.min(&body)])?;
            // What is in flight would be thrown away by the reset, so it gets a moment to arrive.
            wait(Duration::from_millis(20));
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            return Ok(Sent::Broken);
        }
        Some(Fault::Split(size)) => {
            stream.write_all(head)?;
            for piece in bytes[body_at..].chunks((*size).max(1)) {
                last = Instant::now();
                stream.write_all(piece)?;
            }
        }
        Some(Fault::SlowPings(count, interval)) => {
            stream.write_all(head)?;
            let mut ping = Vec::new();
            chunk(&dialect.ping().0, &mut ping);
            for _ in 0..*count {
                stream.write_all(&ping)?;
                if !wait(*interval) {
                    return Ok(Sent::Broken);
                }
            }
            last = Instant::now();
            stream.write_all(&bytes[body_at..])?;
        }
        _ => stream.write_all(&bytes)?,
    }
    Ok(Sent::Whole(last))
}

/// Sleeps until `time` has passed or `stopped` says so; `false` if it was stopped.
pub(super) fn sleep(time: Duration, stopped: impl Fn() -> bool) -> bool {
    let until = Instant::now() + time;
    while !stopped() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(10)));
    }
    false
}
