//! Times, sizes and prices as people say them.
//!
//! Invariant: a number shown is measured; what is not known is `?`, never 0.

use jiff::Timestamp;

/// How long ago, in one unit: `3s`, `12m`, `1h`, `5d`, `3w`. A time to come counts as now.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    let (minute, hour, day, week) = (60, 3_600, 86_400, 604_800);
    match seconds {
        s if s < minute => format!("{s}s"),
        s if s < hour => format!("{}m", s / minute),
        s if s < 2 * day => format!("{}h", s / hour),
        s if s < 8 * week => format!("{}d", s / day),
        s => format!("{}w", s / week),
    }
}

/// How long, from milliseconds: `80 ms`, `3.2 s`, `48 s`, `2 m 05 s`, `1 h 04 m`.
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match millis {
        0..1_000 => format!("{millis} ms"),
        // In tenths, rounded down as the larger units are.
        1_000..10_000 => format!("{}.{} s", seconds, millis % 1_000 / 100),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// How large, in bytes: `812 B`, `1.2 KiB`, `10 MiB`.
pub fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = "B";
    let mut tenths = u128::from(count) * 10;
    for next in units {
        if tenths < 10 * 1_024 {
            break;
        }
        tenths /= 1_024;
        unit = next;
    }
    match (unit, tenths / 10, tenths % 10) {
        ("B", whole, _) => format!("{whole} B"),
        (unit, whole, tenth) if whole < 10 && tenth > 0 => format!("{whole}.{tenth} {unit}"),
        (unit, whole, _) => format!("{whole} {unit}"),
    }
}

/// A count of tokens: `812`, `4.1k`, `120k`, `1.3M`.
pub fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..10_000 => format!("{}.{}k", count / 1_000, count % 1_000 / 100),
        10_000..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

/// A price in US dollars; `?` when it is not known, `<$0.01` for less than a cent.
pub fn cost(dollars: Option<f64>) -> String {
    match dollars {
        None => "?".to_owned(),
        Some(dollars) if dollars > 0.0 && dollars < 0.01 => "<$0.01".to_owned(),
        Some(dollars) => format!("${dollars:.2}"),
    }
}

/// `1 file`, `4 files`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(10_000_000).unwrap();
        let age = |seconds: i64| ago(Timestamp::from_second(10_000_000 - seconds).unwrap(), now);
        let said = [-5, 0, 59, 60, 3_599, 3_600, 172_799, 172_800, 4_838_399, 4_838_400].map(age);
        assert_eq!(said, ["0s", "0s", "59s", "1m", "59m", "1h", "47h", "2d", "55d", "8w"]);
    }

    #[test]
    fn durations_keep_two_or_three_figures() {
        let said = [0, 999, 3_250, 59_999, 125_000, 3_840_000].map(duration);
        assert_eq!(said, ["0 ms", "999 ms", "3.2 s", "59 s", "2 m 05 s", "1 h 04 m"]);
    }

    #[test]
    fn sizes_are_binary() {
        let said = [0, 1_023, 1_024, 1_229, 10 << 20, u64::MAX].map(bytes);
        assert_eq!(said, ["0 B", "1023 B", "1 KiB", "1.2 KiB", "10 MiB", "16777215 TiB"]);
    }

    #[test]
    fn tokens_are_short() {
        let said = [0, 999, 4_100, 120_500, 1_350_000].map(tokens);
        assert_eq!(said, ["0", "999", "4.1k", "120k", "1.3M"]);
    }

    #[test]
    fn an_unknown_price_is_no_price_of_nought() {
        let said = [None, Some(0.0), Some(0.004), Some(0.41), Some(12.0)].map(cost);
        assert_eq!(said, ["?", "$0.00", "<$0.01", "$0.41", "$12.00"]);
    }
}
