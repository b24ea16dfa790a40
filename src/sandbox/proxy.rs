//! The one way out: a proxy for the session's commands, in the supervisor.
//!
//! A command asks for a host by name, by `CONNECT` or for a plain `http://` address. The name is
//! looked up here, outside; the connection is made to the very address that was judged, or through
//! the proxy that the user's own programs go through.
//!
//! Invariant: nothing is dialled but what a pattern allows, on an address out in the internet or
//! one that a pattern names itself; every host that was asked for is remembered until it is told.

mod address;
mod host;
mod request;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use host::{BadHost, Host, Pattern, Place};
use request::{Kind, LONGEST, Request};
pub use upstream::Upstream;
use upstream::Via;

/// How long a client may take to say what it wants.
const ASKING: Duration = Duration::from_secs(30);
/// How long a host may take to be found and to answer.
const DIALLING: Duration = Duration::from_secs(30);
/// How long an answered client may go on sending.
const LINGERING: Duration = Duration::from_secs(2);
/// Connections at a time; more wait.
const AT_ONCE: usize = 256;
/// Hosts that are remembered until they are told; a program that tries more is only counted.
const REMEMBERED: usize = 200;

/// A proxy that serves as long as this lives.
#[derive(Debug)]
pub struct Proxy {
    rules: Arc<Rules>,
    serving: JoinHandle<()>,
}

/// A host that was asked for since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The host and port, as they were dialled or would have been.
    pub place: Place,
    /// Why it was not let through; none where it was.
    pub blocked: Option<Blocked>,
    /// Bytes that came from there.
    pub received: u64,
}

/// Why a host was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// No pattern allows it: a person may.
    NotAllowed,
    /// It leads to an address that is not out in the internet: only a pattern with that very
    /// address allows it.
    Private(IpAddr),
}

/// What may be reached, and what was.
#[derive(Debug, Default)]
struct Rules {
    allowed: Mutex<Vec<Pattern>>,
    upstream: Upstream,
    visits: Mutex<BTreeMap<Place, (Option<Blocked>, u64)>>,
}

/// Why a request is not carried out.
enum Refusal {
    Unclear(String),
    Blocked(Place, Blocked),
    Unreachable(Place, String),
}

impl Proxy {
    /// Serves on this listener, in the runtime of the caller.
    pub fn serve(listener: TcpListener, allowed: Vec<Pattern>, upstream: Upstream) -> Self {
        let rules = Rules { allowed: Mutex::new(allowed), upstream, ..Rules::default() };
        let rules = Arc::new(rules);
        let serving = tokio::spawn(accept(listener, Arc::clone(&rules)));
        Self { rules, serving }
    }

    /// Lets this be reached from now on, too.
    pub fn allow(&self, pattern: Pattern) {
        let mut allowed = lock(&self.rules.allowed);
        if !allowed.contains(&pattern) {
            allowed.push(pattern);
        }
    }

    /// Whether it still serves.
    pub fn is_serving(&self) -> bool {
        !self.serving.is_finished()
    }

    /// The hosts that were asked for since the last look, each once.
    pub fn take_visits(&self) -> Vec<Visit> {
        let visits = std::mem::take(&mut *lock(&self.rules.visits));
        let visit = |(place, (blocked, received))| Visit { place, blocked, received };
        visits.into_iter().map(visit).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Rules {
    /// Where to connect, for a place that may be reached. A name that cannot be looked up here is
    /// for the proxy `via` to know.
    async fn judge(&self, place: &Place, via: Option<&Via>) -> Result<Vec<SocketAddr>, Refusal> {
        let is_allowed =
            |place: &Place| lock(&self.allowed).iter().any(|pattern| pattern.matches(place));
        if !is_allowed(place) {
            return Err(Refusal::Blocked(place.clone(), Blocked::NotAllowed));
        }
        let addresses: Vec<SocketAddr> = match &place.host {
            Host::Address(address) => vec![SocketAddr::new(*address, place.port)],
            Host::Name(name) => {
                let found = timeout(DIALLING, lookup_host((name.as_str(), place.port))).await;
                match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(found) => found.collect(),
                    Err(_) if via.is_some() => Vec::new(),
                    Err(error) => return Err(unreachable(place, &error)),
                }
            }
        };
        for address in &addresses {
            // One among several is enough: a name that leads both ways is not clear.
            let literal =
                Place { host: Host::Address(address.ip().to_canonical()), ..place.clone() };
            if !address::is_public(address.ip()) && !is_allowed(&literal) {
                return Err(Refusal::Blocked(place.clone(), Blocked::Private(address.ip())));
            }
        }
        Ok(addresses)
    }

    fn remember(&self, place: &Place, blocked: Option<Blocked>, received: u64) {
        let mut visits = lock(&self.visits);
        if visits.len() < REMEMBERED || visits.contains_key(place) {
            let visit = visits.entry(place.clone()).or_insert((blocked, 0));
            visit.1 += received;
        }
    }
}

async fn accept(listener: TcpListener, rules: Arc<Rules>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(free) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let rules = Arc::clone(&rules);
                tokio::spawn(async move {
                    if let Err(error) = serve(client, &rules).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(free);
                });
            }
            // Out of descriptors, say: what is open now may be closed soon.
            Err(error) => {
                tracing::warn!(%error, "the proxy cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut client: TcpStream, rules: &Rules) -> io::Result<()> {
    let Ok(read) = timeout(ASKING, read_head(&mut client)).await else { return Ok(()) };
    let (head, rest) = read?;
    if head.is_empty() {
        return Ok(());
    }
    let served = match Request::parse(&head) {
        Ok(mut request) => match dial(rules, &mut request).await {
            Ok(host) => return relay(client, host, request, &rest, rules).await,
            Err(refusal) => refusal,
        },
        Err(why) => Refusal::Unclear(why),
    };
    if let Refusal::Blocked(place, blocked) = &served {
        rules.remember(place, Some(*blocked), 0);
    }
    client.write_all(served.answer().as_bytes()).await?;
    hang_up(client).await
}

/// Ends a connection such that the other side hears all that it was told: what it still sends is
/// read, or the system would take the answer back.
async fn hang_up(mut client: TcpStream) -> io::Result<()> {
    client.shutdown().await?;
    match timeout(LINGERING, tokio::io::copy(&mut client, &mut tokio::io::sink())).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Connects to where a request goes: to one of its addresses, or through another proxy.
async fn dial(rules: &Rules, request: &mut Request) -> Result<TcpStream, Refusal> {
    let place = request.place.clone();
    let via = rules.upstream.way_to(&place, request.is_tunnel());
    let addresses = rules.judge(&place, via).await?;
    let failed = |error: &io::Error| match via {
        Some(via) => Refusal::Unreachable(place.clone(), format!("{via}: {error}")),
        None => unreachable(&place, error),
    };
    match via {
        None => connect(addresses).await.map_err(|error| failed(&error)),
        Some(Via::Http { host, port, who }) => {
            let found = timeout(DIALLING, lookup_host((host.as_str(), *port))).await;
            let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let proxy = connect(found.map_err(|error| failed(&error))?.collect()).await;
            let mut proxy = proxy.map_err(|error| failed(&error))?;
            // Where there is no tunnel it is asked for the page itself.
            if let Some(tunnel) = request.through(who.as_deref().unwrap_or_default()) {
                let asked = timeout(DIALLING, ask_for_tunnel(&mut proxy, &tunnel)).await;
                let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                request.early = asked.map_err(|error| failed(&error))?;
            }
            Ok(proxy)
        }
        Some(via) => Err(Refusal::Unreachable(place, via.to_string())),
    }
}

async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(DIALLING, TcpStream::connect(address)).await {
            Ok(Ok(host)) => return Ok(host),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Gets a tunnel from another proxy; gives what came through it already.
async fn ask_for_tunnel(proxy: &mut TcpStream, request: &str) -> io::Result<Vec<u8>> {
    proxy.write_all(request.as_bytes()).await?;
    let (head, rest) = read_head(proxy).await?;
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(rest),
        _ => Err(io::Error::other(format!("it said {line:?}"))),
    }
}

/// Carries bytes until both sides have ended, and notes how many came.
async fn relay(
    mut client: TcpStream,
    mut host: TcpStream,
    request: Request,
    rest: &[u8],
    rules: &Rules,
) -> io::Result<()> {
    rules.remember(&request.place, None, 0);
    let done = match request.kind {
        Kind::Tunnel => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            client.write_all(&request.early).await?;
            host.write_all(rest).await?;
            copy_bidirectional(&mut client, &mut host).await.map(|(_, received)| received)
        }
        Kind::Forward { head, body } => {
            host.write_all(&head).await?;
            let (mut from_client, mut to_client) = client.split();
            let (mut from_host, mut to_host) = host.split();
            let up = async {
                // What follows the body would be another request, which nobody has judged.
                let most = body.unwrap_or(u64::MAX);
                let sent = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len());
                to_host.write_all(&rest[..sent]).await?;
                let left = most - u64::try_from(sent).unwrap_or(most);
                tokio::io::copy(&mut (&mut from_client).take(left), &mut to_host).await
            };
            let down = tokio::io::copy(&mut from_host, &mut to_client);
            tokio::pin!(up, down);
            tokio::select! {
                received = &mut down => received,
                sent = &mut up => match sent {
                    Ok(_) => down.await,
                    Err(error) => Err(error),
                },
            }
        }
    };
    rules.remember(&request.place, None, done.as_ref().copied().unwrap_or(0));
    done?;
    hang_up(client).await
}

/// The head of a request, and what came behind it.
async fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::with_capacity(4096);
    loop {
        let from = head.len().saturating_sub(3);
        if client.read_buf(&mut head).await? == 0 {
            return Ok((head, Vec::new()));
        }
        if let Some(at) = head[from..].windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(from + at + 4);
            return Ok((head, rest));
        }
        if head.len() > LONGEST {
            return Ok((head, Vec::new()));
        }
    }
}

impl Refusal {
    /// What the client is told, in words for who reads its output.
    fn answer(&self) -> String {
        let (status, why) = match self {
            Self::Unclear(why) => ("400 Bad Request", why.clone()),
            Self::Blocked(place, blocked) => ("403 Forbidden", format!("{place} {blocked}")),
            Self::Unreachable(place, why) => ("502 Bad Gateway", format!("{place}: {why}")),
        };
        let body = format!("git-agent: {why}\n");
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("is not among the hosts that this session may reach"),
            Self::Private(address) => write!(f, "leads to {address}, which is not in the internet"),
        }
    }
}

fn unreachable(place: &Place, error: &io::Error) -> Refusal {
    Refusal::Unreachable(place.clone(), error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
