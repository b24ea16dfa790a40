//! Which failures are tried again, when, and for how long.
//!
//! Invariant: a request that is doomed is sent once; every other one is given up when its kind has had
//! its tries, or when the patience is spent.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

/// How a model's server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// All delays of the table are divided by this: 1, but for tests.
    pub hurry: u32,
    /// How long a server may be silent, even in mid-answer; none leaves it to the dialect.
    pub silence: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { hurry: 1, silence: None }
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

/// How a kind of failure is tried again.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    kind: Kind,
    /// Tries of one request, the first among them.
    tries: u32,
    /// The delay before the second.
    first: Duration,
    /// How much longer each delay is than the one before.
    factor: u32,
    /// The longest delay.
    cap: Duration,
    /// How long all in all, where that is less than the patience that is set.
    at_most: Duration,
}

/// The kinds of failure, by what another try is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Too many requests: the server counts, and says when it counts anew.
    Limited,
    /// It has too much to do.
    Busy,
    /// It failed, or says nothing of why.
    Failing,
    /// The answer broke off or made no sense; what there was of it has cost tokens.
    Broken,
    /// Nobody answers where somebody has answered before.
    Away,
    /// Nobody has ever answered there.
    Missing,
    /// Another try cannot help.
    Doomed,
}

/// The first delay is the one of the vendors' own SDKs, but the longest is longer and tries are
/// more: nobody sits and waits. Where the server names a delay, that one holds.
const RULES: [Rule; 7] = [
    rule(Kind::Limited, 100, ms(500), s(60), LONG),
    rule(Kind::Busy, 100, ms(500), s(60), LONG),
    rule(Kind::Failing, 20, ms(500), s(30), LONG),
    rule(Kind::Broken, 8, ms(500), s(30), LONG),
    rule(Kind::Away, 100, ms(500), s(30), LONG),
    rule(Kind::Missing, 100, ms(500), s(30), s(25)),
    rule(Kind::Doomed, 1, ms(0), s(0), s(0)),
];
/// As long as the patience lasts.
const LONG: Duration = Duration::MAX;

const fn rule(kind: Kind, tries: u32, first: Duration, cap: Duration, at_most: Duration) -> Rule {
    Rule { kind, tries, first, factor: 2, cap, at_most }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `met` says whether the server has ever answered.
fn kind_of(failure: &Failure, met: bool) -> Kind {
    match (failure.cause, failure.again) {
        (Cause::TooLong | Cause::Quota, _) => Kind::Doomed,
        // A refused key stays refused, whatever a proxy's header says.
        (Cause::Status(401 | 403), _) => Kind::Doomed,
        (Cause::Absent, _) if met => Kind::Away,
        (Cause::Absent, _) => Kind::Missing,
        (Cause::Broken, _) => Kind::Broken,
        (Cause::Status(_), Some(false)) => Kind::Doomed,
        (Cause::Status(429), _) => Kind::Limited,
        // 529 is Anthropic's "overloaded".
        (Cause::Status(503 | 529), _) => Kind::Busy,
        (Cause::Status(408 | 409 | 500..=599), _) | (Cause::Status(_), Some(true)) => Kind::Failing,
        (Cause::Status(_), None) => Kind::Doomed,
    }
}

fn rule_for(failure: &Failure, met: bool) -> &'static Rule {
    let kind = kind_of(failure, met);
    let [.., doomed] = &RULES;
    RULES.iter().find(|rule| rule.kind == kind).unwrap_or(doomed)
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
        let rule = rule_for(failure, self.met);
        let longer = rule.factor.saturating_pow(self.failed.min(16));
        self.failed += 1;
        if self.failed >= rule.tries {
            return None;
        }
        let own = rule.first.saturating_mul(longer).min(rule.cap) / self.pace.hurry;
        let delay =
            failure.after.unwrap_or_else(|| own.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0));
        let patience = self.patience.min(rule.at_most / self.pace.hurry);
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
        let all = [
            Kind::Limited,
            Kind::Busy,
            Kind::Failing,
            Kind::Broken,
            Kind::Away,
            Kind::Missing,
            Kind::Doomed,
        ];
        assert_eq!(RULES.each_ref().map(|rule| rule.kind), all, "a rule for each kind");
        for (codes, kind) in [
            (&[429][..], Kind::Limited),
            (&[503, 529], Kind::Busy),
            (&[408, 409, 500, 502, 504], Kind::Failing),
            (&[400, 401, 402, 403, 404, 413, 422, 301], Kind::Doomed),
        ] {
            for code in codes {
                assert_eq!(kind_of(&status(*code), true), kind, "{code}");
            }
        }
        let told = |code, again| kind_of(&Failure { again: Some(again), ..status(code) }, true);
        assert_eq!(told(500, false), Kind::Doomed);
        assert_eq!(told(404, true), Kind::Failing);
        assert_eq!(told(401, true), Kind::Doomed);
        assert_eq!(kind_of(&Failure::new(Cause::Quota, ""), true), Kind::Doomed);
        assert_eq!(kind_of(&Failure::new(Cause::TooLong, ""), true), Kind::Doomed);
        assert_eq!(kind_of(&Failure::new(Cause::Absent, ""), false), Kind::Missing);
        assert_eq!(kind_of(&Failure::new(Cause::Absent, ""), true), Kind::Away);
        assert_eq!(kind_of(&Failure::broken(""), true), Kind::Broken);
    }

    /// The delays in ms after one failure after the other, all of one kind.
    fn delays(failure: &Failure, patience: Duration) -> Vec<u128> {
        let mut tries = Tries::new(Pace::default(), patience, false);
        let mut at = Instant::now();
        let mut delays = Vec::new();
        while let Some(delay) = tries.next(failure, at, 0.0) {
            at += delay;
            delays.push(delay.as_millis());
        }
        assert_eq!(tries.failed() as usize, delays.len() + 1);
        delays
    }

    #[test]
    fn delays_double_up_to_the_cap_and_end_with_the_patience_or_the_tries() {
        assert_eq!(delays(&status(529), s(8)), [500, 1000, 2000, 4000]);
        let hour = delays(&status(429), s(3600));
        assert_eq!(hour[..8], [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
        assert_eq!(delays(&status(500), s(100_000)).len(), 19);
        let broken = [500, 1000, 2000, 4000, 8000, 16_000, 30_000];
        assert_eq!(delays(&Failure::broken(""), s(3600)), broken);
        assert_eq!(delays(&status(400), s(3600)), [0; 0]);
        let mut tries = Tries::new(Pace::default(), s(5), false);
        assert_eq!(tries.next(&status(500), Instant::now(), 1.0), Some(ms(375)));
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
