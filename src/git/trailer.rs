//! Trailers: the `Key: value` lines at the end of a message.
//!
//! Invariant: what `git interpret-trailers --no-divider` makes of a message, here without git: a
//! message has one block of them or none (git-interpret-trailers(1), trailer.c).

/// Adds these trailers to a message: to its block, or as a block of their own. One that the block
/// has already, key and value, is not added again.
pub fn append<K: AsRef<str>, V: AsRef<str>>(message: &str, trailers: &[(K, V)]) -> String {
    let (body, rest) = message.split_at(end_of_text(message));
    let body = body.trim_end_matches('\n');
    let mut present = parse(message);
    let mut block = String::new();
    for (key, value) in trailers {
        let (key, value) = (key.as_ref(), value.as_ref());
        let is_there =
            |(k, v): &(String, String)| k.eq_ignore_ascii_case(key) && *v == unfold(value);
        if !present.iter().any(is_there) {
            block.push_str(&format!("{key}: {}\n", fold(value)));
            present.push((key.to_owned(), unfold(value)));
        }
    }
    if block.is_empty() {
        return message.to_owned();
    }
    let gap = if body.is_empty() || block_of(message).is_some() { "\n" } else { "\n\n" };
    format!("{body}{gap}{block}{rest}")
}

/// The trailers of a message, in order, each value on one line.
pub fn parse(message: &str) -> Vec<(String, String)> {
    let Some(block) = block_of(message) else { return Vec::new() };
    // A trailer as its key and value, or a line that is none, with the lines that continue it.
    let mut items: Vec<Option<(String, String)>> = Vec::new();
    for line in block.lines().filter(|line| !is_comment(line)) {
        if line.starts_with(char::is_whitespace) && !items.is_empty() {
            if let Some(Some((_, value))) = items.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else {
            let trailer = split(line).map(|(key, value)| (key.to_owned(), value.to_owned()));
            items.push(trailer);
        }
    }
    items.into_iter().flatten().map(|(key, value)| (key, unfold(&value))).collect()
}

/// The block of trailers, if the message ends in one: its last paragraph, unless that is the
/// title; all of it trailers, or with a line of git's own among them a quarter at least
/// (`find_trailer_block_start`).
fn block_of(message: &str) -> Option<&str> {
    let text = &message[..end_of_text(message)];
    let title: usize = text
        .split_inclusive('\n')
        .take_while(|line| is_comment(line) || !line.trim().is_empty())
        .map(str::len)
        .sum();
    let mut start = text.len();
    let (mut trailers, mut others, mut continued, mut by_git) = (0, 0, 0, false);
    for line in text[title..].split_inclusive('\n').rev() {
        if is_comment(line) {
            others += continued;
            continued = 0;
        } else if line.trim().is_empty() {
            others += continued;
            let is_block =
                if by_git { trailers * 3 >= others } else { trailers > 0 && others == 0 };
            return is_block.then(|| &text[start..]);
        } else if GIT_WRITES.iter().any(|prefix| line.starts_with(prefix)) {
            trailers += 1;
            continued = 0;
            by_git = true;
        } else if line.starts_with(char::is_whitespace) {
            continued += 1;
        } else if split(line).is_some() {
            trailers += 1;
            continued = 0;
        } else {
            others += 1 + continued;
            continued = 0;
        }
        start -= line.len();
    }
    None
}

/// Beginnings of lines that git itself adds to messages.
const GIT_WRITES: [&str; 2] = ["Signed-off-by: ", "(cherry picked from commit "];

/// Where the text ends and only blank lines and comments follow.
fn end_of_text(message: &str) -> usize {
    let ignored: usize = message
        .split_inclusive('\n')
        .rev()
        .take_while(|line| is_comment(line) || line.trim().is_empty())
        .map(str::len)
        .sum();
    message.len() - ignored
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#')
}

/// A line as key and value, where it is a trailer: letters, digits and `-`, maybe blanks, a colon.
fn split(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let key = key.trim_end_matches([' ', '\t']);
    let is_key = !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    is_key.then(|| (key, value.trim()))
}

fn unfold(value: &str) -> String {
    value.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn fold(value: &str) -> String {
    value.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Cmd;

    fn interpret(args: &[&str], message: &str) -> String {
        let cmd = Cmd::new("git").args(["-c", "core.commentChar=#", "interpret-trailers"]);
        let cmd = cmd.arg("--no-divider").args(args).env("GIT_CONFIG_GLOBAL", "/dev/null");
        String::from_utf8(cmd.env("GIT_CONFIG_NOSYSTEM", "1").stdin(message).run().unwrap().stdout)
            .unwrap()
    }

    const MESSAGES: [&str; 18] = [
        "title\n",
        "Key: value\n",
        "title\n\nbody\n",
        "title\n\nbody\n\n\n",
        "title\n\nKey: value\n",
        "title\n\nbody\n\nKey: value\nOther-Key: second\n",
        "title\n\nbody\n\nKey: value\n  continued\n and more\nLast: x\n",
        "title\n\nnot a trailer\nKey: value\n",
        "title\n\nnot a trailer\nat all\nSigned-off-by: A <a@b>\n",
        "title\n\na\nb\nc\nd\ne\nSigned-off-by: A <a@b>\n",
        "title\n\nFixes: one\n(cherry picked from commit 123)\n",
        "title\n\nKey: value\n\nSecond: block\n",
        "title\n\nbody\n# a comment\n",
        "title\n\nKey: value\n# a comment\n\n",
        "title\n\nOdd key: x\n",
        "title\n\nurl https://example.org: no\n",
        "title\n\n  Key: indented\n",
        "title\n\nKey: value\n---\nnot a divider here\n",
    ];

    #[test]
    fn parses_what_git_parses() {
        for message in MESSAGES {
            let ours = parse(message)
                .iter()
                .fold(String::new(), |text, (key, value)| text + &format!("{key}: {value}\n"));
            assert_eq!(ours, interpret(&["--parse"], message), "{message:?}");
        }
        assert_eq!(parse("title\n\nKey \t: a: b\n"), [("Key".to_owned(), "a: b".to_owned())]);
    }

    #[test]
    fn appends_where_git_appends() {
        for message in MESSAGES {
            let args = ["--trailer", "Agent-Session: x-1", "--trailer", "Assisted-by: y"];
            let ours = append(message, &[("Agent-Session", "x-1"), ("Assisted-by", "y")]);
            assert_eq!(ours, interpret(&args, message), "{message:?}");
        }
    }

    #[test]
    fn a_trailer_is_there_once_and_a_long_one_is_folded() {
        let once = append("title\n\nkey: a\n", &[("Key", "a"), ("Key", "b"), ("Key", "b")]);
        assert_eq!(once, "title\n\nkey: a\nKey: b\n");
        assert_eq!(append(&once, &[("Key", "b")]), once);
        let folded = append("title", &[("Key", "a\n\nb\n")]);
        assert_eq!(folded, "title\n\nKey: a\n b\n");
        assert_eq!(parse(&folded), [("Key".to_owned(), "a b".to_owned())]);
    }
}
