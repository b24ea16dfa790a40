//! Amounts of what a session may use up, as people type them.
//!
//! Invariant: an amount is above nought and finite; `none` is no limit, and nothing else is.

use super::{ConfigError, Entry};

/// How much there may be of something, in its own unit; none where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound(pub Option<f64>);

/// US dollars: `5`, `$5`, `2.50`.
///
/// # Errors
/// It is no such amount; says what would be.
pub fn dollars(text: &str) -> Result<Bound, String> {
    bound(text, |text| text.strip_prefix('$').unwrap_or(text).parse().ok()).ok_or_else(|| {
        // A shell makes nothing of it.
        let quoted = if text.is_empty() { " (in quotes: '$5')" } else { "" };
        format!("expected US dollars above 0, such as 5, 2.50 or $5{quoted}, or none")
    })
}

/// Tokens: `800000`, `500k`, `2m`.
///
/// # Errors
/// It is no such amount; says what would be.
pub fn tokens(text: &str) -> Result<Bound, String> {
    let parse = |text: &str| {
        let factor = match text.bytes().last()?.to_ascii_lowercase() {
            b'k' => 1e3,
            b'm' => 1e6,
            _ => return whole(text),
        };
        let number: f64 = text[..text.len() - 1].parse().ok()?;
        Some((number * factor).floor())
    };
    bound(text, parse).ok_or_else(|| "expected tokens, such as 500k or 2m, or none".to_owned())
}

/// Steps: `200`.
///
/// # Errors
/// It is no such amount; says what would be.
pub fn steps(text: &str) -> Result<Bound, String> {
    bound(text, whole).ok_or_else(|| "expected a number of steps from 1, or none".to_owned())
}

/// A time, in seconds: `30s`, `90m`, `2h`, `1h30m`, `1d`.
///
/// # Errors
/// It is no such amount; says what would be.
pub fn time(text: &str) -> Result<Bound, String> {
    let parse = |text: &str| {
        let mut seconds = 0.0;
        for part in text.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
            let unit = match part.bytes().last()?.to_ascii_lowercase() {
                b's' => 1.0,
                b'm' => 60.0,
                b'h' => 3_600.0,
                b'd' => 86_400.0,
                _ => return None,
            };
            seconds += whole(part[..part.len() - 1].trim())? * unit;
        }
        Some(seconds)
    };
    bound(text, parse).ok_or_else(|| "expected a time, such as 90m or 2h, or none".to_owned())
}

/// The amount of a setting.
pub(super) fn setting(
    entry: &Entry,
    parse: fn(&str) -> Result<Bound, String>,
) -> Result<Bound, ConfigError> {
    parse(&entry.value).map_err(|expected| {
        super::value::bad(entry, expected.strip_prefix("expected ").unwrap_or(&expected))
    })
}

fn bound(text: &str, parse: impl Fn(&str) -> Option<f64>) -> Option<Bound> {
    /// Beyond this an amount is no limit in effect, and counts are no longer exact.
    const MOST: f64 = 1e12;
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Some(Bound(None));
    }
    parse(text).filter(|amount| *amount > 0.0 && *amount <= MOST).map(|amount| Bound(Some(amount)))
}

fn whole(text: &str) -> Option<f64> {
    text.parse::<u32>().ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parse: fn(&str) -> Result<Bound, String>, texts: &[&str]) -> Vec<Option<f64>> {
        texts.iter().map(|text| parse(text).unwrap().0).collect()
    }

    #[test]
    fn amounts_are_read_as_people_type_them() {
        let dollars_read = all(dollars, &["5", "$5", "5.00", " 0.05 ", "none"]);
        assert_eq!(dollars_read, [Some(5.0), Some(5.0), Some(5.0), Some(0.05), None]);
        let tokens_read = all(tokens, &["800000", "500k", "2m", "1.5M", "None"]);
        assert_eq!(tokens_read, [Some(800e3), Some(500e3), Some(2e6), Some(1.5e6), None]);
        assert_eq!(all(steps, &["1", "200", "none"]), [Some(1.0), Some(200.0), None]);
        let times = all(time, &["30s", "90m", "2h", "1h30m", "1h 30m", "1d", "none"]);
        assert_eq!(
            times,
            [30.0, 5_400.0, 7_200.0, 5_400.0, 5_400.0, 86_400.0]
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "0", "-1", "nan", "inf", "five", "$", "1e99", "5 $", "0.0"] {
            assert!(dollars(text).is_err(), "{text}");
        }
        for text in ["", "0", "-1", "2x", "k", "1.5", "0.0001k", "nank", "1e9m"] {
            assert!(tokens(text).is_err(), "{text}");
        }
        for text in ["", "0", "-1", "1.5", "many"] {
            assert!(steps(text).is_err(), "{text}");
        }
        for text in ["", "0", "0s", "90", "2w", "h", "1h30", "m5", "-1h", "1.5h"] {
            assert!(time(text).is_err(), "{text}");
        }
        let said = dollars("").unwrap_err();
        let wanted =
            "expected US dollars above 0, such as 5, 2.50 or $5 (in quotes: '$5'), or none";
        assert_eq!(said, wanted);
    }
}
