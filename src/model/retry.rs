//! Which failures are tried again, when, and for how long.
//!
//! Invariant: a request that is doomed is sent once; every other one is given up only when the
//! patience is spent.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

/// How long a model's server is waited for. Tests pass milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// First delay between two tries; it doubles each time.
    pub base: Duration,
    /// The longest delay that we choose ourselves.
    pub cap: Duration,
    /// How long an address is tried at which nobody has answered yet.
    pub absent: Duration,
    /// How long a server may be silent; none leaves it to the dialect.
    pub silence: Option<Duration>,
}

impl Default for Pace {
    /// 0.5 s doubling as the vendors' own SDKs do, but up to 30 s: nobody sits and waits.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            absent: Duration::from_secs(25),
            silence: None,
        }
    }
}

/// One try that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// What the server or the system said, without secrets, in one line.
    pub(super) message: String,
    /// The delay the server asks for.
    pub(super) after: Option<Duration>,
    /// The server's own word on whether another try makes sense (`x-should-retry`).
    pub(super) again: Option<bool>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server said no, with this status; errors inside a stream are given the status that the
    /// same error has outside of one.
    Status(u16),
    /// The conversation no longer fits.
    TooLong,
    /// The account has no money left: a 429 that no waiting helps.
    Quota,
    /// No connection.
    Absent,
    /// The stream was cut, stalled or was not what the dialect promises.
    Broken,
}

impl Failure {
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), after: None, again: None }
    }

    pub(super) fn broken(message: impl Into<String>) -> Self {
        Self::new(Cause::Broken, message)
    }

    /// In one line, for people.
    pub(super) fn describe(&self) -> String {
        match self.cause {
            Cause::Status(status) => format!("{status}: {}", self.message),
            _ => self.message.clone(),
        }
    }

    /// Takes the server's wishes from the headers of its answer.
    pub(super) fn heeding(mut self, headers: &HeaderMap) -> Self {
        self.after = asked_delay(headers);
        self.again = match text(headers, "x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        self
    }
}

/// How patient to be with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Another try cannot help.
    None,
    /// As long as [`Pace::absent`], where nobody has answered yet.
    Short,
    /// As long as the whole patience.
    Long,
}

/// By status; what is not listed is not tried again. 529 is Anthropic's "overloaded".
const STATUSES: [(RangeInclusive<u16>, Patience); 3] =
    [(408..=409, Patience::Long), (429..=429, Patience::Long), (500..=599, Patience::Long)];

fn patience_with(failure: &Failure) -> Patience {
    match (failure.cause, failure.again) {
        (Cause::TooLong | Cause::Quota, _) => Patience::None,
        // A refused key stays refused, whatever a proxy's header says.
        (Cause::Status(401 | 403), _) => Patience::None,
        (Cause::Absent, _) => Patience::Short,
        (Cause::Broken, _) | (Cause::Status(_), Some(true)) => Patience::Long,
        (Cause::Status(_), Some(false)) => Patience::None,
        (Cause::Status(status), None) => STATUSES
            .iter()
            .find(|(statuses, _)| statuses.contains(&status))
            .map_or(Patience::None, |(_, patience)| *patience),
    }
}

/// The tries of one answer.
#[derive(Debug)]
pub(super) struct Tries {
    pace: Pace,
    patience: Duration,
    /// Whether the server has answered before: then it is away, not missing.
    met: bool,
    first_failure: Option<Instant>,
    /// Failed tries so far.
    failed: u32,
}

impl Tries {
    pub(super) fn new(pace: Pace, patience: Duration, met: bool) -> Self {
        Self { pace, patience, met, first_failure: None, failed: 0 }
    }

    /// Failed tries so far.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Books a failure; the delay until the next try, or none where it is time to give up.
    ///
    /// `jitter` is a share from 0 to 1: up to a quarter of our own delays is taken off, so that
    /// many sessions do not come back at once.
    pub(super) fn next(
        &mut self,
        failure: &Failure,
        now: Instant,
        jitter: f64,
    ) -> Option<Duration> {
        let first = *self.first_failure.get_or_insert(now);
        let doublings = self.failed.min(16);
        self.failed += 1;
        let patience = match patience_with(failure) {
            Patience::None => return None,
            Patience::Short if !self.met => self.patience.min(self.pace.absent),
            Patience::Short | Patience::Long => self.patience,
        };
        let own = (self.pace.base * 2_u32.pow(doublings)).min(self.pace.cap);
        let delay =
            failure.after.unwrap_or_else(|| own.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0));
        (now.duration_since(first) + delay <= patience).then_some(delay)
    }
}

/// `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.
fn asked_delay(headers: &HeaderMap) -> Option<Duration> {
    if let Some(millis) = number(headers, "retry-after-ms") {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    if let Some(seconds) = number(headers, "retry-after") {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text(headers, "retry-after")?).ok()?;
    Some(
        Duration::try_from(date.timestamp().duration_since(jiff::Timestamp::now()))
            .unwrap_or_default(),
    )
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Failure {
        Failure::new(Cause::Status(status), "no")
    }

    #[test]
    fn the_table_of_failures() {
        let long = [408, 409, 429, 500, 502, 503, 529];
        let none = [400, 401, 402, 403, 404, 413, 422, 301];
        for code in long {
            assert_eq!(patience_with(&status(code)), Patience::Long, "{code}");
        }
        for code in none {
            assert_eq!(patience_with(&status(code)), Patience::None, "{code}");
        }
        let told = |code, again| patience_with(&Failure { again: Some(again), ..status(code) });
        assert_eq!(told(500, false), Patience::None);
        assert_eq!(told(404, true), Patience::Long);
        assert_eq!(told(401, true), Patience::None);
        assert_eq!(patience_with(&Failure::new(Cause::Quota, "")), Patience::None);
        assert_eq!(patience_with(&Failure::new(Cause::Absent, "")), Patience::Short);
        assert_eq!(patience_with(&Failure::broken("")), Patience::Long);
    }

    #[test]
    fn delays_double_up_to_the_cap_and_end_with_the_patience() {
        let pace = Pace { cap: Duration::from_secs(2), ..Pace::default() };
        let mut tries = Tries::new(pace, Duration::from_secs(5), false);
        let start = Instant::now();
        let mut at = start;
        let mut delays = Vec::new();
        while let Some(delay) = tries.next(&status(529), at, 0.0) {
            at += delay;
            delays.push(delay.as_millis());
        }
        assert_eq!(delays, [500, 1000, 2000]);
        assert_eq!(tries.failed(), 4);
        let mut tries = Tries::new(pace, Duration::from_secs(5), false);
        assert_eq!(tries.next(&status(529), start, 1.0), Some(Duration::from_millis(375)));
    }

    #[test]
    fn an_absent_server_is_given_less_time() {
        let mut tries = Tries::new(Pace::default(), Duration::from_secs(600), false);
        let start = Instant::now();
        let absent = Failure::new(Cause::Absent, "refused");
        assert!(tries.next(&absent, start, 0.0).is_some());
        assert_eq!(tries.next(&absent, start + Duration::from_secs(25), 0.0), None);
        assert!(tries.next(&status(503), start + Duration::from_secs(25), 0.0).is_some());
        let mut tries = Tries::new(Pace::default(), Duration::from_secs(600), true);
        assert!(tries.next(&absent, start, 0.0).is_some());
        assert!(tries.next(&absent, start + Duration::from_secs(25), 0.0).is_some());
    }

    #[test]
    fn the_servers_own_delay_comes_first() {
        let heeded = |pairs: &[(&'static str, &str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| {
                    (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
                })
                .collect();
            let failure = status(429).heeding(&headers);
            (failure.after, failure.again)
        };
        let ms = |millis| Some(Duration::from_millis(millis));
        assert_eq!(heeded(&[]), (None, None));
        assert_eq!(heeded(&[("retry-after", "2")]), (ms(2000), None));
        assert_eq!(heeded(&[("retry-after", "2"), ("retry-after-ms", "30")]), (ms(30), None));
        assert_eq!(heeded(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]).0, ms(0));
        assert_eq!(
            heeded(&[("retry-after", "soon"), ("x-should-retry", "false")]),
            (None, Some(false))
        );
        let mut tries = Tries::new(Pace::default(), Duration::from_secs(600), false);
        let hour = Failure { after: Some(Duration::from_secs(3600)), ..status(429) };
        assert_eq!(tries.next(&hour, Instant::now(), 0.0), None, "more than our patience");
    }
}
