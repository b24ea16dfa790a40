//! What each session brought to HEAD.
//!
//! Invariant: whose a line is, is what `blame` says; a session that landed nothing counts too.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::commands::context::Context;
use crate::credit::{Agent, Credit, CreditError, Lines, Origin};
use crate::error::{CommandError, Result};
use crate::git::{BString, Blame, BlameAsk, GitError, ObjectId, Repo};
use crate::session::note::BUILTIN;
use crate::session::record::Record;
use crate::session::removed;
use crate::session::spec::Spec;
use crate::session::state::{Phase, State};

/// What one session brought.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    pub(super) session: String,
    /// Who asked.
    pub(super) person: String,
    pub(super) agent: String,
    pub(super) model: String,
    /// In which it was started: `2026-W47`.
    pub(super) week: String,
    pub(super) landed: bool,
    pub(super) lines: u64,
    /// Of these, still there.
    pub(super) there: u64,
    pub(super) cost_usd: Option<f64>,
}

/// A date as git understands it, in seconds since 1970.
///
/// # Errors
/// git cannot be asked.
pub(super) fn moment(context: &Context<'_>, since: &str) -> Result<i64> {
    let done = context.repo.git().args(["rev-parse", &format!("--since={since}")]).run()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let seconds = said.trim().strip_prefix("--max-age=").and_then(|age| age.parse().ok());
    // What git does not understand is now to it.
    let is_date = |seconds: &i64| {
        let is_meant = ["now", "today"].contains(&since.trim());
        is_meant || (context.now.as_second() - seconds).abs() > 5
    };
    seconds.filter(is_date).ok_or_else(|| {
        CommandError::usage(format!("'{since}' is no date")).hint("--since '2 weeks ago'")
    })
}

/// What each session brought, since a moment.
///
/// # Errors
/// Sessions or commits cannot be read.
pub(super) fn works(context: &Context<'_>, since: Option<i64>) -> Result<Vec<Work>> {
    let mut works = sessions(context, since)?;
    let Ok(head) = context.repo.resolve_commit("HEAD") else { return Ok(works) };
    let mut credit = Credit::open(&context.repo, &context.store)?;
    let mut landed = HashSet::new();
    let mut files = BTreeSet::new();
    let mut oldest = None;
    for commit in commits(context, head, since)? {
        let is_told = !credit.sessions(commit)?.is_empty() || credit.log(commit)?.is_some();
        if !is_told {
            continue;
        }
        oldest = Some(commit);
        landed.insert(commit);
        for (path, lines) in credit.added(commit)?.files {
            for (_, origin) in &lines {
                if let Origin::Agent(agent) = origin {
                    of(context, &mut works, agent, commit)?.lines += 1;
                }
            }
            files.insert(path);
        }
    }
    for (commit, path, numbers) in still_there(context, head, oldest, &files)? {
        if !landed.contains(&commit) {
            continue;
        }
        let lines = Lines { commit, path: &path, numbers: &numbers, author: None };
        for origin in credit.trace(&lines)? {
            if let Origin::Agent(agent) = &origin {
                of(context, &mut works, agent, commit)?.there += 1;
            }
        }
    }
    Ok(works)
}

/// The sessions that are here, archived and fetched ones too, without what they brought.
fn sessions(context: &Context<'_>, since: Option<i64>) -> Result<Vec<Work>> {
    let mut known: BTreeMap<String, (Spec, State)> = BTreeMap::new();
    for session in context.store.list()?.sessions {
        match session.state() {
            Ok(state) => drop(known.insert(session.id, (session.spec, state))),
            Err(error) => context.ui.warning(&CommandError::from(error).line()),
        }
    }
    for removed in removed::list(&context.repo, &context.store)? {
        let Record { spec, state, .. } = Record::read(&context.repo, removed.record)?;
        known.insert(removed.id, (spec, state));
    }
    let mut works = Vec::new();
    for (session, (spec, state)) in known {
        if since.is_some_and(|since| spec.created.as_second() < since) {
            continue;
        }
        works.push(Work {
            person: person(context, &session)?,
            agent: BUILTIN.to_owned(),
            model: spec.model_label(),
            week: week(spec.created),
            landed: matches!(state.phase, Phase::Landed),
            lines: 0,
            there: 0,
            cost_usd: if state.step == 0 { Some(0.0) } else { state.cost_usd },
            session,
        });
    }
    Ok(works)
}

/// Whose session it is: who its records are by.
fn person(context: &Context<'_>, session: &str) -> Result<String> {
    let tip = context.repo.ref_id(&format!("{}{session}", crate::session::record::PREFIX))?;
    Ok(match tip {
        Some(tip) => context.repo.read_commit(tip)?.author.name,
        None => "?".to_owned(),
    })
}

fn week(moment: Timestamp) -> String {
    let week = moment.to_zoned(TimeZone::system()).date().iso_week_date();
    format!("{}-W{:02}", week.year(), week.week())
}

/// The work of the session that made a line; a new one where another tool made it.
fn of<'w>(
    context: &Context<'_>,
    works: &'w mut Vec<Work>,
    agent: &Agent,
    commit: ObjectId,
) -> Result<&'w mut Work> {
    let at = match works.iter().position(|work| work.session == agent.session) {
        Some(at) => at,
        None => {
            let info = context.repo.read_commit(commit)?;
            works.push(Work {
                session: agent.session.clone(),
                person: info.author.name,
                agent: agent.agent.clone(),
                model: agent.model.clone().unwrap_or_else(|| "?".to_owned()),
                week: week(Timestamp::from_second(info.time.seconds).unwrap_or_default()),
                landed: true,
                lines: 0,
                there: 0,
                cost_usd: None,
            });
            works.len() - 1
        }
    };
    Ok(&mut works[at])
}

/// The commits of HEAD that are no merges, newest first.
fn commits(context: &Context<'_>, head: ObjectId, since: Option<i64>) -> Result<Vec<ObjectId>> {
    let cmd = context.repo.git().args(["rev-list", "--topo-order", "--no-merges"]);
    let cmd = cmd.args(since.map(|since| format!("--since={since}")));
    let done = cmd.arg(head.to_string()).run()?;
    let ids = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(ids.filter_map(|line| ObjectId::from_hex(line).ok()).collect())
}

/// The lines of these files as HEAD has them: the commit and the file that they came with.
fn still_there(
    context: &Context<'_>,
    head: ObjectId,
    oldest: Option<ObjectId>,
    files: &BTreeSet<BString>,
) -> Result<Vec<(ObjectId, BString, Vec<usize>)>> {
    let Some(oldest) = oldest else { return Ok(Vec::new()) };
    // What is older than all of them need not be told apart.
    let since = context.repo.read_commit(oldest)?.parents.first().copied();
    let mut names = BTreeSet::new();
    let tree = context.repo.tree_of(head)?;
    for path in files {
        if context.repo.entry(tree, path)?.is_some() {
            names.insert(path.clone());
        }
    }
    // A file that was moved since has another name by now.
    let base = context.repo.tree_of(oldest)?;
    for change in context.repo.diff_stat(base, tree).map_err(CreditError::from)?.paths {
        if matches!(change.status, crate::git::Status::Renamed(_)) {
            names.insert(change.path);
        }
    }
    let names: Vec<_> = names.into_iter().collect();
    let blames = blames(&context.repo, head, since, &names);
    let mut lines: BTreeMap<(ObjectId, BString), Vec<usize>> = BTreeMap::new();
    for blame in blames {
        let Blame { lines: found, .. } = blame?;
        for line in found {
            lines.entry((line.commit, line.path)).or_default().push(line.from);
        }
    }
    Ok(lines.into_iter().map(|((commit, path), numbers)| (commit, path, numbers)).collect())
}

/// Blames each of these files, several at a time: git does the work, in processes of its own.
fn blames(
    repo: &Repo,
    head: ObjectId,
    since: Option<ObjectId>,
    names: &[BString],
) -> Vec<std::result::Result<Blame, GitError>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = names.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let work = |(repo, names): (Repo, &[BString])| {
            let blame = |path: &BString| {
                repo.blame(&BlameAsk {
                    path: Path::new(OsStr::from_bytes(path)),
                    at: Some(head),
                    since,
                    ranges: &[],
                    ignore_blanks: false,
                    moves: false,
                })
            };
            names.iter().map(blame).collect::<Vec<_>>()
        };
        let shares = names.chunks(share).map(|names| (repo.clone(), names));
        let running: Vec<_> = shares.map(|share| scope.spawn(move || work(share))).collect();
        let mut blames = Vec::new();
        for share in running {
            match share.join() {
                Ok(more) => blames.extend(more),
                Err(panic) => resume_unwind(panic),
            }
        }
        blames
    })
}
