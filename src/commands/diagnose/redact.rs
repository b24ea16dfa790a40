//! Secrets, taken out of a text.
//!
//! Invariant: what is taken out leaves a mark in its place; better one mark too many than one
//! secret.

/// How keys of known kinds begin, and how many characters come behind at least.
const KEYS: [(&str, usize); 24] = [
    ("sk-", 16),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xapp-", 16),
    ("AIza", 30),
    ("eyJ", 40),
    ("hf_", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("dop_v1_", 30),
    ("SG.", 30),
    ("gsk_", 30),
];

/// How a variable that holds a secret is called, at the end of its name.
const NAMES: [&str; 8] =
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS", "COOKIE"];

/// What a secret leaves.
const MARK: &str = "[redacted]";

/// What is secret on this machine.
pub(super) struct Secrets {
    home: Option<String>,
    /// Names and values of variables.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// Of the environment of this process.
    pub(super) fn of_process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    fn of(env: impl Iterator<Item = (String, String)>) -> Self {
        let mut secrets = Self { home: None, values: Vec::new() };
        for (name, value) in env {
            if name == "HOME" && value.len() > 1 {
                secrets.home = Some(value.trim_end_matches('/').to_owned());
            } else if is_secret_name(&name) && value.len() >= 6 {
                secrets.values.push((name, value));
            }
        }
        // The longer one first: a shorter one may be its beginning.
        secrets.values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        secrets
    }

    /// The text without them.
    pub(super) fn take_out(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            text = text.replace(value.as_str(), &format!("[{name}]"));
        }
        let mut lines = Vec::new();
        let mut in_key = false;
        for line in text.lines() {
            let is_border = line.contains("PRIVATE KEY-----");
            if is_border && line.contains("-----BEGIN ") {
                in_key = !line.contains("-----END ");
                lines.push(MARK.to_owned());
            } else if is_border {
                in_key = false;
            } else if !in_key {
                lines.push(plain(line));
            }
        }
        let text = lines.join("\n") + "\n";
        match &self.home {
            Some(home) => text.replace(home.as_str(), "~"),
            None => text,
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_uppercase();
    NAMES.iter().any(|end| name.ends_with(end))
}

/// One line without keys, passwords in addresses, and values of what is called a secret.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    // The word before, which says what this one is.
    let mut before = String::new();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_named = is_secret_name(&before) && out.ends_with([':', '=', ' ', '"', '\'']);
        let is_bearer =
            before.eq_ignore_ascii_case("bearer") || before.eq_ignore_ascii_case("basic");
        if is_key(word) || (is_named || is_bearer) && looks_random(word) {
            out.push_str(MARK);
        } else {
            out.push_str(word);
        }
        if !word.is_empty() {
            word.clone_into(&mut before);
        }
        let between = after.find(is_of_word).unwrap_or(after.len());
        if let Some(end) = after.strip_prefix("://").and_then(password_end) {
            out.push_str("://");
            out.push_str(MARK);
            rest = &after["://".len() + end..];
            continue;
        }
        out.push_str(&after[..between]);
        rest = &after[between..];
    }
    out
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.+/".contains(c) && c != '/'
}

fn is_key(word: &str) -> bool {
    KEYS.iter().any(|(start, len)| word.strip_prefix(start).is_some_and(|it| it.len() >= *len))
}

/// Letters and digits, and long enough to be no word.
fn looks_random(word: &str) -> bool {
    word.len() >= 8
        && word.chars().any(|c| c.is_ascii_digit())
        && word.chars().any(|c| c.is_ascii_alphabetic())
}

/// Where the user and the password of an address end, if it has any: at the `@` before its path.
fn password_end(address: &str) -> Option<usize> {
    let host_end = address.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(address.len());
    address[..host_end].rfind('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let env = [
            ("HOME", "/home/ada"),
            ("OPENAI_API_KEY", "my-own-value"),
            ("MY_TOKEN", "short"),
            ("PATH", "/usr/bin"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = Secrets::of(env.into_iter());
        let text = "\
in /home/ada/shop: my-own-value is short
https://ada:pa55@example.org/x.git and https://example.org/a@b
key sk-ant-0123456789abcdefghij, ghp_0123456789012345678901234567890123456789.
curl -H 'Authorization: Bearer abcdef123456' DB_PASSWORD=hunter2hunter2 \"api_key\": \"a1b2c3d4e5\"
skating on sk-ice, tokens: 12345678, monkey business2024
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAA
-----END OPENSSH PRIVATE KEY-----
end";
        let want = "\
in ~/shop: [OPENAI_API_KEY] is short
https://[redacted]@example.org/x.git and https://example.org/a@b
key [redacted], [redacted]
curl -H 'Authorization: Bearer [redacted]' DB_PASSWORD=[redacted] \"api_key\": \"[redacted]\"
skating on sk-ice, tokens: 12345678, monkey [redacted]
[redacted]
end
";
        assert_eq!(secrets.take_out(text), want);
    }
}
