//! Agent Trace: who made which lines of a commit, as a record for other tools (agent-trace.dev, 0.1).
//!
//! Invariant: a record is of one commit and always the same, its id included; lines are those of the
//! commit.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::gitai::hex;
use super::whole::Added;
use super::{Agent, Origin, ranges};
use crate::git::lines_of;

/// The version, in the form that the published schema asks for: two numbers.
const VERSION: &str = "0.1";

/// The record of a commit: what it added, and the content of each file in it.
pub fn record<'t>(
    commit: &str,
    time: Timestamp,
    added: &Added,
    content: impl Fn(&str) -> &'t [u8],
) -> Value {
    let mut files = Vec::new();
    for (path, lines) in &added.files {
        let path = path.to_string();
        let text: Vec<_> = lines_of(content(&path)).collect();
        let mut makers: Vec<(&Origin, Vec<usize>)> = Vec::new();
        for (line, origin) in lines {
            match makers.iter_mut().find(|(known, _)| is_one(known, origin)) {
                Some((_, lines)) => lines.push(*line),
                None => makers.push((origin, vec![*line])),
            }
        }
        let range = |(first, last): (usize, usize)| {
            let lines = text.get(first - 1..last).unwrap_or_default().concat();
            let hash = format!("sha256:{}", hex(&lines));
            json!({"start_line": first, "end_line": last, "content_hash": hash})
        };
        let conversation = |(origin, lines): (&Origin, Vec<usize>)| {
            let ranges: Vec<_> = ranges(lines.into_iter()).into_iter().map(range).collect();
            let mut made = Map::from_iter([
                ("contributor".to_owned(), contributor(origin)),
                ("ranges".to_owned(), ranges.into()),
            ]);
            if let Origin::Agent(Agent { session, .. }) = origin {
                let session = format!("urn:git-agent:session:{session}");
                made.insert("related".to_owned(), json!([{"type": "session", "url": session}]));
            }
            Value::Object(made)
        };
        let conversations: Vec<_> = makers.into_iter().map(conversation).collect();
        files.push(json!({"path": path, "conversations": conversations}));
    }
    json!({
        "version": VERSION,
        "id": id(commit),
        "timestamp": time.to_string(),
        "vcs": {"type": "git", "revision": commit},
        "tool": {"name": "git-agent", "version": env!("CARGO_PKG_VERSION")},
        "files": files,
    })
}

/// Whether two lines are of one conversation: a session has one with each of its models.
fn is_one(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Agent(one), Origin::Agent(other)) => {
            one.session == other.session && one.model == other.model
        }
        (Origin::Person(_), Origin::Person(_)) => true,
        (one, other) => one == other,
    }
}

fn contributor(origin: &Origin) -> Value {
    match origin {
        Origin::Agent(Agent { model: Some(model), .. }) => {
            // The schema has room for so much.
            json!({"type": "ai", "model_id": model.chars().take(250).collect::<String>()})
        }
        Origin::Agent(_) => json!({"type": "ai"}),
        Origin::Person(_) => json!({"type": "human"}),
        Origin::Uncommitted => json!({"type": "unknown"}),
    }
}

/// A UUID of the commit's own (RFC 9562, version 8).
fn id(commit: &str) -> String {
    let hash = hex(format!("agent-trace {commit}").as_bytes());
    let part = |range: std::ops::Range<usize>| &hash[range];
    let (a, b, c, d, e) = (part(0..8), part(8..12), part(13..16), part(17..20), part(20..32));
    format!("{a}-{b}-8{c}-9{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::Person;

    #[test]
    fn a_record_has_what_the_schema_asks_for() {
        let agent = |step| {
            Origin::Agent(Agent {
                agent: "builtin".into(),
                model: Some("anthropic/claude".into()),
                session: "add-7f3k".into(),
                step: Some(step),
                commit: None,
                time: None,
                asked: None,
            })
        };
        let ada = Person { name: "Ada".into(), email: "a@b".into(), session: None };
        let lines = vec![(1, agent(1)), (2, agent(2)), (3, Origin::Person(ada)), (5, agent(1))];
        let added = Added { files: [("src/a.rs".into(), lines)].into(), deletions: 0 };
        let time = Timestamp::from_second(1_800_000_000).unwrap();
        let record = record("aa", time, &added, |_| b"1\n2\n3\n4\n5");
        let range = |first: u32, last: u32, text: &str| {
            let hash = format!("sha256:{}", hex(text.as_bytes()));
            json!({"start_line": first, "end_line": last, "content_hash": hash})
        };
        let wanted = json!({
            "version": "0.1",
            "id": id("aa"),
            "timestamp": "2027-01-15T08:00:00Z",
            "vcs": {"type": "git", "revision": "aa"},
            "tool": {"name": "git-agent", "version": env!("CARGO_PKG_VERSION")},
            "files": [{"path": "src/a.rs", "conversations": [
                {
                    "contributor": {"type": "ai", "model_id": "anthropic/claude"},
                    "ranges": [range(1, 2, "1\n2\n"), range(5, 5, "5")],
                    "related": [{"type": "session", "url": "urn:git-agent:session:add-7f3k"}],
                },
                {"contributor": {"type": "human"}, "ranges": [range(3, 3, "3\n")]},
            ]}],
        });
        assert_eq!(record, wanted);
        // 8-4-4-4-12, of version 8.
        let lengths: Vec<_> = id("aa").split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id("aa")[14..15], "8");
        assert_ne!(id("aa"), id("ab"));
    }
}
