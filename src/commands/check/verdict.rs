//! A report of the judges, for people and for programs: each fault with the command that mends it.
//!
//! Invariant: no command here can lose work, and none lets a fault pass unless it says so.

use serde::Serialize;

use crate::check::push::verified::Unverified;
use crate::check::push::{Fault, Finding, Report};
use crate::error::Result;
use crate::git::{ObjectId, Repo};
use crate::ui::findings::Row;
use crate::ui::{json, units};

/// A report, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    passed: bool,
    commits: usize,
    agent_commits: usize,
    sessions: Vec<&'a str>,
    findings: Vec<FindingView<'a>>,
}

#[derive(Debug, Serialize)]
struct FindingView<'a> {
    check: &'static str,
    session: Option<&'a str>,
    commits: Vec<String>,
    what: String,
    mend: String,
}

/// The remote that notes and records are fetched from: the only one, or `origin`.
pub(in crate::commands) fn remote(repo: &Repo) -> String {
    let mut names = Vec::new();
    for entry in repo.config("remote") {
        let name = entry.key.strip_prefix("remote.").and_then(|key| key.strip_suffix(".url"));
        if let Some(name) = name.filter(|name| !names.contains(&(*name).to_owned())) {
            names.push(name.to_owned());
        }
    }
    match names.as_slice() {
        [only] => only.clone(),
        _ => "origin".to_owned(),
    }
}

/// That nothing is wrong, in one line.
pub(in crate::commands) fn passed(report: &Report) -> String {
    let commits = units::counted(report.commits.len() as u64, "commit");
    match (report.ours.len(), report.sessions.len()) {
        (0, _) => format!("Checked {commits}: none comes from a session"),
        (ours, sessions) => {
            let sessions = units::counted(sessions as u64, "session");
            format!("Checked {commits}, {ours} of {sessions}: nothing is wrong")
        }
    }
}

/// The rows of the table.
pub(in crate::commands) fn rows(report: &Report, remote: &str) -> Vec<Row> {
    let row = |finding: &Finding| Row {
        check: finding.fault.check(),
        commit: match finding.commits.as_slice() {
            [only] => short(*only),
            many => units::counted(many.len() as u64, "commit"),
        },
        session: finding.session.clone().unwrap_or_default(),
        what: finding.fault.to_string(),
        mend: mend(finding, remote),
    };
    report.findings.iter().map(row).collect()
}

/// `{"format":1,"check":{…}}`.
///
/// # Errors
/// Never for these values; serde's signature has one.
pub(in crate::commands) fn json(report: &Report, remote: &str) -> Result<String> {
    let view = View {
        passed: report.findings.is_empty(),
        commits: report.commits.len(),
        agent_commits: report.ours.len(),
        sessions: report.sessions.iter().map(String::as_str).collect(),
        findings: report.findings.iter().map(|it| finding(it, remote)).collect(),
    };
    Ok(json::named("check", &view)?)
}

fn finding<'a>(it: &'a Finding, remote: &str) -> FindingView<'a> {
    FindingView {
        check: it.fault.check(),
        session: it.session.as_deref(),
        commits: it.commits.iter().map(ToString::to_string).collect(),
        what: it.fault.to_string(),
        mend: mend(it, remote),
    }
}

/// What mends it.
fn mend(finding: &Finding, remote: &str) -> String {
    let session = finding.session.as_deref().unwrap_or("SESSION");
    let oldest = finding.commits.last().map(|id| short(*id)).unwrap_or_default();
    match &finding.fault {
        Fault::Busy(_) => format!("git agent status {session}    git agent pause {session}"),
        Fault::Unverified(Unverified::Unknown) => {
            format!("git fetch {remote} refs/notes/agent:refs/notes/agent")
        }
        Fault::Unverified(_) if finding.over => {
            format!("git agent check --verify {oldest}^..{oldest}")
        }
        Fault::Unverified(_) => format!("git agent resume {session} verifies it again"),
        Fault::Steps => format!("git agent worktree merge {session} makes one commit of them"),
        Fault::NoProvenance => match &finding.session {
            Some(session) => format!("git agent resume {session} writes the notes when it rests"),
            None => format!("git fetch {remote} refs/notes/agent:refs/notes/agent"),
        },
        Fault::Path { .. } | Fault::LargeFile { .. } | Fault::TooManyFiles { .. }
            if finding.over =>
        {
            format!("git rebase -i {oldest}^ and take it out")
        }
        Fault::Path { .. } | Fault::LargeFile { .. } | Fault::TooManyFiles { .. } => {
            format!("git agent rewind {session} STEP; git agent log {session} has the steps")
        }
        Fault::TooMuch { .. } => "git config agent.push.maxSize SIZE allows more".to_owned(),
        Fault::Unsigned | Fault::BadSignature(_) => {
            format!("git rebase --exec 'git commit --amend --no-edit -n -S' {oldest}^")
        }
    }
}

fn short(id: ObjectId) -> String {
    id.to_hex_with_len(7).to_string()
}
