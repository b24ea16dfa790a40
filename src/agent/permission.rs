//! Rules on calls: `allow`, `ask` or `deny` a tool, or what it acts on.
//!
//! ```text
//! deny bash(git push*)      ask write(src/**)      allow read      ask *
//! ```
//!
//! A rule that names more goes before one that names less: exactly this command or path, then a
//! pattern, then the tool, then any tool. Among rules that name as much, `deny` beats `ask` beats
//! `allow`; and a `deny` that matches beats them all. What no rule matches is allowed: the sandbox
//! holds it.
//!
//! A rule for `write` or `edit` is for both. A pattern for `bash` is of the whole command, with `*`
//! for any letters. What a command does cannot be told from its words, so rules on words are no
//! fence: they spare a person questions, or ask one too many.
//!
//! Invariant: it is pure; a command that is not clear is never allowed by a pattern.

mod shell;

use crate::event::Finding;
use crate::pattern::{Patterns, Use};
use crate::tool::{Aim, Target};
use shell::Shell;

/// The rules of a session.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

/// What is to become of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It runs.
    Allow,
    /// A person is asked first; why, as the rule says it.
    Ask(String),
    /// It does not run; why, as the rule says it.
    Deny(String),
}

#[derive(Clone, Debug)]
struct Rule {
    verb: Verb,
    tool: String,
    pattern: Option<Pattern>,
    text: String,
}

/// In the order in which they win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Allow,
    Ask,
    Deny,
}

#[derive(Clone, Debug)]
enum Pattern {
    Command(Words),
    Path(Box<Patterns>, String),
}

/// A pattern of a command: what stands between the stars.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words(Vec<String>);

/// How much a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Any,
    Tool,
    Pattern,
    Exact,
}

/// No rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad rule '{text}': {why}")]
pub struct BadRule {
    /// As it was given.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

impl Rules {
    /// Rules from their texts, for these tools.
    ///
    /// # Errors
    /// One is no rule, or names no tool.
    pub fn parse<S: AsRef<str>>(texts: &[S], tools: &[&str]) -> Result<Self, BadRule> {
        let read = |text: &S| {
            let text = text.as_ref().trim();
            parse(text, tools).map_err(|why| BadRule { text: text.to_owned(), why })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to become of this.
    pub fn judge(&self, aim: &Aim) -> Ruling {
        let shell = match &aim.target {
            Target::Command(command) => Some(Shell::read(command)),
            _ => None,
        };
        let matching =
            self.0.iter().filter_map(|rule| Some((rule.reach(aim, shell.as_ref())?, rule)));
        let matching: Vec<_> = matching.collect();
        if let Some((_, rule)) = matching.iter().find(|(_, rule)| rule.verb == Verb::Deny) {
            return Ruling::Deny(rule.text.clone());
        }
        let best = matching.into_iter().max_by_key(|(reach, rule)| (*reach, rule.verb));
        let is_exact = best.is_some_and(|(reach, _)| reach == Reach::Exact);
        if !is_exact && shell.is_some_and(|shell| !shell.is_clear) && self.restricts_commands() {
            return Ruling::Ask("what it runs cannot be told from its words".to_owned());
        }
        match best {
            Some((_, rule)) if rule.verb == Verb::Ask => Ruling::Ask(rule.text.clone()),
            _ => Ruling::Allow,
        }
    }

    /// The rule that would allow just this, for good; none where one that asks is as exact.
    pub(super) fn allowing(&self, aim: &Aim) -> Option<String> {
        let text = allowing(aim)?;
        let mut with = self.clone();
        with.0.push(parse(&text, &[aim.tool]).ok()?);
        (with.judge(aim) == Ruling::Allow).then_some(text)
    }

    /// Whether it depends on a command's words whether it runs.
    fn restricts_commands(&self) -> bool {
        let restricts = |rule: &Rule| {
            rule.verb != Verb::Allow && matches!(rule.pattern, Some(Pattern::Command(_)))
        };
        self.0.iter().any(restricts)
    }
}

/// A finding on a path that is written, by a rule that restricts this.
pub fn finding(rule: &str, path: &str) -> Finding {
    let (name, why) = ("permission".to_owned(), format!("is held by the rule {rule}"));
    Finding { rule: name, path: path.to_owned(), why, content: None }
}

/// The rule that allows just this, for good.
fn allowing(aim: &Aim) -> Option<String> {
    let escaped = |text: &str, special: &[char]| {
        let mut escaped = String::new();
        for letter in text.chars() {
            if special.contains(&letter) {
                escaped.push('\\');
            }
            escaped.push(letter);
        }
        escaped
    };
    let named = match &aim.target {
        Target::Nothing => return None,
        Target::Command(command) => escaped(command.trim(), &['*', '\\']),
        Target::Read(path) | Target::Write(path) => {
            escaped(path, &['*', '?', '[', ']', '{', '}', '\\'])
        }
    };
    Some(format!("allow {}({named})", aim.tool))
}

impl Rule {
    /// How much of this it names; none where it does not match.
    fn reach(&self, aim: &Aim, shell: Option<&Shell>) -> Option<Reach> {
        let writes = |tool: &str| tool == "write" || tool == "edit";
        let is_any = self.tool == "*";
        if !is_any && self.tool != aim.tool && !(writes(&self.tool) && writes(aim.tool)) {
            return None;
        }
        match (&self.pattern, &aim.target) {
            (None, _) => Some(if is_any { Reach::Any } else { Reach::Tool }),
            (Some(Pattern::Command(words)), Target::Command(command)) => {
                let command = command.trim();
                if words.is_exact(command) {
                    return Some(Reach::Exact);
                }
                let shell = shell?;
                let is_matched = match self.verb {
                    Verb::Allow => shell.is_plain && words.matches(command),
                    Verb::Ask | Verb::Deny => {
                        words.matches(command) || shell.commands.iter().any(|it| words.matches(it))
                    }
                };
                is_matched.then_some(Reach::Pattern)
            }
            (Some(Pattern::Path(patterns, text)), Target::Read(path) | Target::Write(path)) => {
                let is_exact = || text.replace('\\', "") == *path;
                patterns
                    .matches(path)
                    .then(|| if is_exact() { Reach::Exact } else { Reach::Pattern })
            }
            _ => None,
        }
    }
}

impl Words {
    fn parse(text: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut letters = text.trim().chars();
        while let Some(letter) = letters.next() {
            match letter {
                '*' => parts.push(String::new()),
                letter => {
                    let letter = if letter == '\\' { letters.next() } else { Some(letter) };
                    if let Some(part) = parts.last_mut() {
                        part.extend(letter);
                    }
                }
            }
        }
        Self(parts)
    }

    fn is_exact(&self, command: &str) -> bool {
        matches!(self.0.as_slice(), [only] if only == command)
    }

    fn matches(&self, command: &str) -> bool {
        let (first, rest) = self.0.split_first().map_or(("", &[][..]), |(it, rest)| (it, rest));
        let Some(mut left) = command.strip_prefix(first) else { return false };
        let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
        for part in middle {
            let Some(at) = left.find(part.as_str()) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(last.as_str())
    }
}

fn parse(text: &str, tools: &[&str]) -> Result<Rule, String> {
    let form = "a rule is allow, ask or deny, and a tool, as in deny bash(git push*)";
    let (verb, rest) = text.split_once(char::is_whitespace).ok_or(form)?;
    let verb = match verb {
        "allow" => Verb::Allow,
        "ask" => Verb::Ask,
        "deny" => Verb::Deny,
        _ => return Err(form.to_owned()),
    };
    let rest = rest.trim();
    let (tool, pattern) = match rest.split_once('(') {
        None => (rest, None),
        Some((tool, pattern)) => (tool, Some(pattern.strip_suffix(')').ok_or("its ) is missing")?)),
    };
    if tool != "*" && !tools.contains(&tool) {
        return Err(format!("there is no tool {tool}; there are {}", tools.join(", ")));
    }
    let pattern = match (tool, pattern) {
        (_, None) => None,
        (_, Some(pattern)) if pattern.trim().is_empty() => {
            return Err("its pattern is empty".to_owned());
        }
        ("bash", Some(pattern)) => Some(Pattern::Command(Words::parse(pattern))),
        ("edit" | "write" | "read" | "search", Some(pattern)) => {
            let to = if verb == Verb::Allow { Use::Allow } else { Use::Restrict };
            let patterns = Patterns::new(&[pattern], to).map_err(|bad| bad.why)?;
            Some(Pattern::Path(Box::new(patterns), pattern.trim().to_owned()))
        }
        (tool, Some(_)) => return Err(format!("{tool} acts on nothing that a pattern could name")),
    };
    Ok(Rule { verb, tool: tool.to_owned(), pattern, text: text.to_owned() })
}

#[cfg(test)]
mod tests;
