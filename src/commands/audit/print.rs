//! Accounts for people: one line for what was done, by whom, and below it what it does not hold.
//!
//! Invariant: on a terminal nothing is cut, only wrapped; piped, one entry is one line.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::account::{Account, Entry, Host, More, Share, Spent, Tokens, Total};
use crate::event::{Access, Verdict};
use crate::ui::{Look, Tone, card, table, text, units};

/// Columns of who did it, at most.
const WHO: usize = 12;
/// Columns of what was done: `put back`.
const WHAT: usize = 8;

/// All entries of one session, and what they come to.
pub(super) fn one(account: &Account, look: &Look, zone: &TimeZone) -> String {
    let mut out = String::new();
    let mut day = String::new();
    for entry in &account.entries {
        if look.terminal {
            let zoned = entry.time.to_zoned(zone.clone());
            let today = zoned.strftime("%Y-%m-%d").to_string();
            if today != day {
                out += &look.paint(Tone::Faint, format!("{today}, {}", zoned.strftime("%:z")));
                out.push('\n');
                day = today;
            }
            out += &laid_out(entry, &zoned.strftime("%H:%M:%S").to_string(), look);
        } else {
            out += &piped(entry);
        }
    }
    out + &summary(account, look)
}

/// `17:02:11  Ada           task      Add rate limiting`, further lines set in under the text.
fn laid_out(entry: &Entry, time: &str, look: &Look) -> String {
    let who = text::truncate(who(entry), WHO, look).into_owned();
    let indent = time.len() + 2 + WHO + 2 + WHAT + 2;
    let room = look.width.saturating_sub(indent).max(20);
    let (head, tail) = words(entry);
    let mut lines: Vec<String> =
        head.trim().lines().flat_map(|line| text::wrap(&text::neutral(line), room)).collect();
    let tail = text::neutral(&tail).into_owned();
    let joined = format!("{} · {tail}", lines.last().map_or("", String::as_str));
    match lines.last_mut() {
        _ if tail.is_empty() => {}
        Some(last) if joined.chars().count() <= room => *last = joined,
        _ => lines.extend(text::wrap(&tail, room)),
    }
    let head = format!(
        "{}  {}  {}",
        look.paint(Tone::Faint, time),
        text::pad(&who, WHO),
        look.paint(tone(entry), text::pad(entry.what, WHAT))
    );
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let line = match at {
            0 => format!("{head}  {line}"),
            _ => format!("{:indent$}{line}", ""),
        };
        out += line.trim_end();
        out.push('\n');
    }
    if lines.is_empty() {
        out += head.trim_end();
        out.push('\n');
    }
    out
}

/// `2026-11-22T17:02:11Z  step 3  Ada <ada@example.org>  decide  …`.
fn piped(entry: &Entry) -> String {
    let time = Timestamp::from_second(entry.time.as_second()).unwrap_or(entry.time);
    let (head, tail) = words(entry);
    let join = if head.is_empty() || tail.is_empty() { "" } else { " · " };
    let who = entry.by.as_deref().unwrap_or_else(|| who(entry));
    let line =
        format!("{time}  step {}  {who}  {:<WHAT$}  {head}{join}{tail}", entry.step, entry.what);
    text::neutral(&line).into_owned() + "\n"
}

/// Who did it: a person by name.
fn who(entry: &Entry) -> &str {
    match (&entry.by, entry.who) {
        (Some(by), _) => by.split(" <").next().unwrap_or(by),
        (None, "program") => "git-agent",
        (None, who) => who,
    }
}

fn tone(entry: &Entry) -> Tone {
    let More { exit, failed, verdict, host, .. } = &entry.more;
    let is_blocked = host.as_ref().is_some_and(|host| host.access != Access::Allowed);
    match (entry.what, entry.who) {
        _ if exit.is_some_and(|exit| exit != 0) || *failed == Some(true) => Tone::Bad,
        _ if is_blocked => Tone::Ask,
        ("ask", _) => Tone::Ask,
        ("decide", _) if verdict.is_some_and(|it| !it.is_yes()) => Tone::Bad,
        ("commit", _) => Tone::Good,
        (_, "person") => Tone::Strong,
        _ => Tone::Plain,
    }
}

/// What was done, and what there is to say of it.
fn words(entry: &Entry) -> (String, String) {
    let More { exit, millis, paths, host, reason, verdict, .. } = &entry.more;
    let reason = reason.clone().unwrap_or_default();
    match entry.what {
        "run" | "verify" => {
            let exit = exit.map(|exit| format!("exit {exit}"));
            // What has no exit code is done in no time, or is told by the next line.
            let took = millis.filter(|it| exit.is_some() || *it >= 1_000).map(units::duration);
            let tool = entry.more.tool.as_deref().unwrap_or_default();
            // Most tools say in their title who they are.
            let is_named = tool == "bash" || tool.is_empty() || entry.text.starts_with(tool);
            let head = match is_named {
                true => entry.text.clone(),
                false => format!("{tool} {}", entry.text),
            };
            (head, exit.into_iter().chain(took).collect::<Vec<_>>().join(" · "))
        }
        "answer" | "cut off" | "summary" => {
            let tokens = Tokens { cached: 0, ..entry.more.tokens.unwrap_or_default() };
            let cost = units::cost(entry.more.cost_usd.flatten());
            (entry.text.clone(), format!("{} · {cost}", in_and_out(tokens)))
        }
        "commit" | "keep" => {
            let id = entry.more.commit.as_ref().or(entry.more.tree.as_ref());
            let id = id.map(|id| card::short(id)).unwrap_or_default();
            let paths = paths.as_deref().unwrap_or_default().join(" ");
            (format!("{id}  {}", entry.text), paths)
        }
        "decide" => {
            let said = match verdict {
                Some(Verdict::Approved) => "yes",
                Some(Verdict::Always) => "yes, always",
                Some(Verdict::Denied) => "no",
                Some(Verdict::Withdrawn) | None => "no longer asked",
            };
            let number = entry.more.question.unwrap_or_default();
            let said = match reason.as_str() {
                "" => said.to_owned(),
                reason => format!("{said}: {reason}"),
            };
            (format!("{said} (question {number}: {})", entry.text.trim()), String::new())
        }
        "network" => match host {
            Some(host) => (host.place.clone(), outcome(host)),
            None => (entry.text.clone(), String::new()),
        },
        "put back" => (entry.text.clone(), reason),
        "model" => (entry.text.clone(), reason),
        _ if reason.is_empty() => (entry.text.clone(), String::new()),
        _ => (format!("{}: {reason}", entry.text), String::new()),
    }
}

/// `allowed by --allow-net, 1.2 KiB`.
fn outcome(host: &Host) -> String {
    let by = |default: &str| match &host.decided_by {
        Some(by) => format!(" by {by}"),
        None => default.to_owned(),
    };
    match host.access {
        Access::Allowed => format!("allowed{}, {}", by(""), units::bytes(host.received)),
        Access::NotAllowed => format!("blocked{}", by(": not among the hosts of the session")),
        Access::Private => "blocked: its address is not in the internet".to_owned(),
        Access::Unknown => "?".to_owned(),
    }
}

fn in_and_out(tokens: Tokens) -> String {
    let Tokens { input, cached, output } = tokens;
    let (input, output) = (units::tokens(input), units::tokens(output));
    match cached {
        0 => format!("{input} in, {output} out"),
        cached => format!("{input} in ({} cached), {output} out", units::tokens(cached)),
    }
}

/// What a session comes to, and what each of its models has cost.
fn summary(account: &Account, look: &Look) -> String {
    let Account { session, state, asked_by, by_model, .. } = account;
    let counted = [
        units::counted(account.steps.into(), "step"),
        units::counted(account.commands, "command"),
        units::counted(account.files.len() as u64, "file"),
        units::counted(account.approvals, "decision"),
    ];
    let mut out = if look.terminal { "\n".to_owned() } else { String::new() };
    let (name, counted) = (look.paint(Tone::Strong, session), counted.join(", "));
    let is_long = session.len() + state.len() + counted.len() + 4 > look.width;
    let gap = if look.terminal && is_long { "\n  " } else { "  " };
    out += &format!("{name}  {state}{gap}{counted}\n");
    if let Some(by) = asked_by {
        out += &format!("  asked by {}\n", text::neutral(by));
    }
    for Host { place, .. } in account.hosts.iter().filter(|it| it.access != Access::Allowed) {
        out += &format!("  blocked  {}\n", text::neutral(place));
    }
    let rows = by_model.iter().map(|Share { model, answers, tokens, cost_usd }| {
        spent(model, &Spent { answers: *answers, tokens: *tokens, cost_usd: *cost_usd })
    });
    out += &rows.collect::<String>();
    if by_model.len() > 1 {
        out += &format!(
            "  {}  {} in all\n",
            units::cost(account.cost_usd),
            in_and_out(account.tokens)
        );
    }
    out
}

fn spent(model: &str, spent: &Spent) -> String {
    let Spent { answers, tokens, cost_usd } = spent;
    format!(
        "  {}  {}, {}  {}\n",
        units::cost(*cost_usd),
        units::counted(*answers, "answer"),
        in_and_out(*tokens),
        text::neutral(model)
    )
}

/// One line for each session, and what all of them come to.
pub(super) fn all(accounts: &[Account], look: &Look) -> String {
    let header = ["SESSION", "STATE", "STEPS", "RUNS", "FILES", "YES/NO", "COST", "ASKED BY"];
    let row = |account: &Account| {
        let name = |by: &String| by.split(" <").next().unwrap_or(by).to_owned();
        vec![
            account.session.clone(),
            account.state.clone(),
            account.steps.to_string(),
            account.commands.to_string(),
            account.files.len().to_string(),
            account.approvals.to_string(),
            units::cost(account.cost_usd),
            account.asked_by.as_ref().map_or_else(|| "-".to_owned(), name),
        ]
    };
    let mut out = table::plain(&header, &accounts.iter().map(row).collect::<Vec<_>>(), look);
    let total = Total::of(accounts);
    let sessions = units::counted(total.sessions, "session");
    let steps = units::counted(total.steps, "step");
    let decisions = units::counted(total.approvals, "decision");
    let unpriced = match total.unpriced {
        0 => String::new(),
        count => format!(", and {} of unknown price", units::counted(count, "session")),
    };
    let cost = units::cost(Some(total.cost_usd));
    if look.terminal {
        out.push('\n');
    }
    out += &format!("{sessions}, {steps}, {decisions}: {cost}{unpriced}\n");
    out += &total.by_model.iter().map(|(model, it)| spent(model, it)).collect::<String>();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decision, Event, Origin, Question, ToolEnd, Update, UserMessage, Visit};
    use crate::message::{Answer, StopReason, ToolCall, ToolResult, Usage};
    use crate::session::spec::Spec;
    use crate::session::spec::tests::sample;
    use crate::session::state::State;

    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: 80 };
    const ADA: &str = "Ada Lovelace <ada@example.org>";

    fn visit(place: &str, access: Access) -> Update {
        Update::Network(Visit { place: place.to_owned(), access, received: 2_048 })
    }

    fn account() -> Account {
        let command = "curl https://crates.io/api/v1/crates/serde https://x.example/simple";
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "bash".to_owned(),
            arguments: format!(r#"{{"command":"{command}"}}"#),
        };
        let answer = Answer {
            text: String::new(),
            thought: String::new(),
            calls: vec![call],
            stop: StopReason::ToolUse,
            usage: Usage { input: 12_000, cached: 9_000, cache_write: 0, output: 340 },
            raw: None,
        };
        let output = String::new();
        let ended = ToolEnd {
            result: ToolResult { call_id: "c1".to_owned(), output, is_error: true },
            title: format!("{command} · exit 56 · 0.0 s"),
            millis: 8,
        };
        let (from, inbox_id) = (Origin::Task, None);
        let text = "<task>\nMend the shop\n</task>\n\n<facts>\n".to_owned();
        let decision = Decision {
            question: 1,
            verdict: Verdict::Denied,
            reason: "not that".to_owned(),
            inbox_id: None,
        };
        let updates = [
            (Some(ADA), Update::UserMessage(UserMessage { from, text, inbox_id })),
            (None, Update::AgentMessage(answer)),
            (None, Update::ToolCallUpdate(ended)),
            (None, visit("crates.io:443", Access::Allowed)),
            (None, visit("x.example:443", Access::NotAllowed)),
            (None, Update::Question(Question::of_host("x.example:443".to_owned()))),
            (Some(ADA), Update::Decision(decision)),
            (None, visit("x.example:443", Access::NotAllowed)),
            (None, visit("10.0.0.1:80", Access::Private)),
        ];
        let start = Timestamp::from_second(1_795_366_931).unwrap();
        let event = |(at, (by, update)): (i64, (Option<&str>, Update))| Event {
            format: 1,
            time: start + std::time::Duration::from_secs(at.unsigned_abs()),
            step: u32::from(at > 0),
            by: by.map(str::to_owned),
            update,
        };
        let spec = Spec {
            allow_net: vec!["crates.io".to_owned()],
            model: "anthropic/claude-opus-5".to_owned(),
            ..sample("mend-7f3k")
        };
        let state = State { step: 1, ..State::new(spec.created) };
        let events = (0..).zip(updates).map(event).map(Ok::<_, std::io::Error>);
        Account::of(&spec, &state, events, true).unwrap()
    }

    #[test]
    fn at_80_columns_nothing_is_cut_and_each_host_has_its_reason() {
        let told = one(&account(), &TERMINAL, &TimeZone::UTC);
        let expected = "\
2026-11-22, +00:00
17:02:11  Ada Lovelace  task      Mend the shop
17:02:12  agent         answer    anthropic/claude-opus-5
                                  12k in, 340 out · $0.03
17:02:13  agent         run       curl https://crates.io/api/v1/crates/serde
                                  https://x.example/simple · exit 56 · 8 ms
17:02:14  agent         network   crates.io:443 · allowed by --allow-net, 2 KiB
17:02:15  agent         network   x.example:443
                                  blocked: not among the hosts of the session
17:02:16  git-agent     ask       allow the network host x.example:443? deny
                                  leaves it blocked
17:02:17  Ada Lovelace  decide    no: not that (question 1: allow the network
                                  host x.example:443? deny leaves it blocked)
17:02:18  agent         network   x.example:443
                                  blocked by Ada Lovelace <ada@example.org>
17:02:19  agent         network   10.0.0.1:80
                                  blocked: its address is not in the internet

mend-7f3k  queued  1 step, 1 command, 0 files, 1 decision
  asked by Ada Lovelace <ada@example.org>
  blocked  x.example:443
  blocked  10.0.0.1:80
  $0.03  1 answer, 12k in (9.0k cached), 340 out  anthropic/claude-opus-5
";
        assert_eq!(told, expected);
        assert!(told.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn piped_an_entry_is_a_line_with_the_whole_name() {
        let told = one(&account(), &Look::PLAIN, &TimeZone::UTC);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines[0],
            "2026-11-22T17:02:11Z  step 0  Ada Lovelace <ada@example.org>  task      Mend the shop"
        );
        assert_eq!(
            lines[6],
            "2026-11-22T17:02:17Z  step 1  Ada Lovelace <ada@example.org>  decide    no: not that \
             (question 1: allow the network host x.example:443? deny leaves it blocked)"
        );
        assert_eq!(lines.len(), 9 + 5);
    }

    #[test]
    fn format_1_of_the_json() {
        let account = account();
        let json = serde_json::to_value(&account).unwrap();
        let host = |place: &str, access: &str, received: u64, decided_by: Option<&str>| {
            serde_json::json!({
                "place": place, "access": access, "received": received, "decided_by": decided_by
            })
        };
        let hosts = [
            host("crates.io:443", "allowed", 2_048, Some("--allow-net")),
            host("x.example:443", "not_allowed", 4_096, Some(ADA)),
            host("10.0.0.1:80", "private", 2_048, None),
        ];
        assert_eq!(json["hosts"], serde_json::json!(hosts));
        let entry = &json["entries"][1];
        let keys: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["time", "step", "who", "what", "text", "model", "tokens", "cost_usd"]);
        assert_eq!(entry["cost_usd"], json["cost_usd"]);
        assert_eq!(json["by_model"][0]["cost_usd"], json["cost_usd"]);
        let total = serde_json::to_value(Total::of(&[account])).unwrap();
        assert_eq!(total["cost_usd"], json["cost_usd"]);
        let tokens = serde_json::json!({"input": 12_000, "cached": 9_000, "output": 340});
        assert_eq!(total["tokens"], tokens);
    }
}
