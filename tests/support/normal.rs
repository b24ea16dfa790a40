//! Output without what differs from run to run, so that it can be compared whole.
//!
//! Invariant: what a person would call the same output comes out the same.

/// Puts `[oid]`, `[time]` and `[port]` for object ids, times and ports.
///
/// A word of seven or more hexadecimal digits is taken for an object id, and a number with a unit
/// of time for a time.
pub(super) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let core = word.trim_end_matches(['.', ':', '-']);
        out.push_str(&normal_word(core));
        out.push_str(&word[core.len()..]);
        let between = after.find(is_part).unwrap_or(after.len());
        out.push_str(&after[..between]);
        rest = &after[between..];
    }
    out
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || "._:+-".contains(c)
}

fn normal_word(word: &str) -> String {
    if let Some(port) = word.strip_prefix("127.0.0.1:")
        && port.parse::<u16>().is_ok()
    {
        return "127.0.0.1:[port]".to_owned();
    }
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    // Before the times: some end as a number of days does.
    if (7..=64).contains(&word.len()) && word.chars().all(is_hex) {
        return "[oid]".to_owned();
    }
    if is_timestamp(word) || is_duration(word) {
        return "[time]".to_owned();
    }
    // A range names two.
    if let Some((from, to)) = word.split_once("..") {
        return format!("{}..{}", normal_word(from), normal_word(to));
    }
    word.to_owned()
}

/// RFC 3339, as far as its beginning tells.
fn is_timestamp(word: &str) -> bool {
    let shape: String =
        word.chars().take(11).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T"
}

fn is_duration(word: &str) -> bool {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = &word[digits.len()..];
    matches!(unit, "ms" | "s" | "m" | "h" | "d") && digits.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_goes_and_the_rest_stays() {
        let said = "at 1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d (1234567..89abcde) in 1.5s, 12m ago,\n\
                    2026-11-02T10:00:00.123Z: http://127.0.0.1:4711/v1 exit 101, 6 files, v1.2, ms.\n";
        let wanted = "at [oid] ([oid]..[oid]) in [time], [time] ago,\n\
                      [time]: http://127.0.0.1:[port]/v1 exit 101, 6 files, v1.2, ms.\n";
        assert_eq!(normal(said), wanted);
    }
}
