//! All judges over a range: its commits and what is on record of their sessions are read once, then
//! each judge says what it finds.
//!
//! What is verified is a tree that somebody may build: of a session's commits the last one, and of a
//! session's own branch its tip, whoever committed that.
//!
//! Invariant: a range without a commit of a session gives an empty report, whatever the settings.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::paths::{self, Allowed, Files, Sizes};
use super::range::Range;
use super::verified::{self, Asked};
use super::{Fault, Finding, PushError};
use crate::check::Changes;
use crate::check::scope::Scope;
use crate::check::secret::NoSecrets;
use crate::config::{CommitStrategy, Config};
use crate::git::{CommitInfo, ObjectId, RefError, Repo};
use crate::session::journal;
use crate::session::note::NOTES_REF;
use crate::session::provenance::{Noted, Provenance, Run};
use crate::session::record::{Record, RecordError};
use crate::session::spec::Spec;
use crate::session::state::State;
use crate::session::store::Store;

/// What a judgement found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All commits that were looked at.
    pub commits: BTreeSet<ObjectId>,
    /// Those that come from sessions.
    pub ours: BTreeSet<ObjectId>,
    /// The sessions.
    pub sessions: BTreeSet<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds what another range has brought; what is wrong with both is said once.
    pub fn absorb(&mut self, other: Self) {
        self.commits.extend(other.commits);
        self.ours.extend(other.ours);
        self.sessions.extend(other.sessions);
        for finding in other.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }
}

/// Judges ranges of one repository.
#[derive(Debug)]
pub struct Judge<'a> {
    repo: &'a Repo,
    store: &'a Store,
    config: &'a Config,
    here: Vec<String>,
}

/// A commit of the range.
#[derive(Debug)]
struct Commit {
    id: ObjectId,
    info: CommitInfo,
    from: Provenance,
}

/// What is on record of a session.
#[derive(Debug)]
struct Known {
    spec: Spec,
    state: State,
}

impl<'a> Judge<'a> {
    /// A judge by these settings.
    ///
    /// # Errors
    /// The sessions cannot be listed.
    pub fn new(repo: &'a Repo, store: &'a Store, config: &'a Config) -> Result<Self, PushError> {
        Ok(Self { repo, store, config, here: store.ids()? })
    }

    /// What is wrong with these commits.
    ///
    /// # Errors
    /// What a judge must know cannot be read.
    pub fn judge(&self, range: &Range) -> Result<Report, PushError> {
        let mut commits = self.read(range)?;
        let owner = self.owner(range)?;
        let is_branch = owner.is_some() || range.names.iter().any(|name| self.is_ours(name));
        let mut report =
            Report { commits: range.commits.iter().copied().collect(), ..Report::default() };
        if let Some(owner) = &owner {
            self.claim_steps(owner, &mut commits)?;
        }
        let ours: Vec<&Commit> = commits.iter().filter(|commit| commit.from.is_ours()).collect();
        if ours.is_empty() {
            if is_branch && !commits.is_empty() {
                report.findings.push(Finding {
                    session: None,
                    commits: range.commits.clone(),
                    fault: Fault::NoProvenance,
                    over: false,
                });
            }
            return Ok(report);
        }
        report.ours = ours.iter().map(|commit| commit.id).collect();
        report.sessions = ours.iter().flat_map(|commit| commit.from.sessions.clone()).collect();
        let mut known = HashMap::new();
        for id in &report.sessions {
            known.insert(id.clone(), self.known(id)?);
        }
        let works = match (is_branch, owner.as_ref().or(ours[0].from.sessions.last())) {
            (true, Some(session)) => vec![(session.clone(), &commits[0])],
            _ => last_of_each(&commits),
        };
        for (session, commit) in works {
            let known = match known.get(&session) {
                Some(known) => known,
                None => &self.known(&session)?,
            };
            let over = known.as_ref().is_some_and(|it| it.state.phase.is_final());
            let found = |fault| {
                let (session, commits) = (Some(session.clone()), vec![commit.id]);
                Finding { session, commits, fault, over }
            };
            let busy = known.as_ref().map(|it| it.state.phase).filter(|it| it.needs_supervisor());
            report.findings.extend(busy.map(Fault::Busy).map(found));
            if self.config.push.require_verify {
                let unverified = verified(commit, known.as_ref()).err();
                report.findings.extend(unverified.map(Fault::Unverified).map(found));
            }
        }
        if self.config.push.require_squash {
            report.findings.extend(steps(&ours, &known));
        }
        report.findings.extend(unnamed(&ours));
        report.findings.extend(self.changes(&ours, &known)?);
        if self.config.push.require_signature {
            report.findings.extend(self.signatures(&ours)?);
        }
        Ok(report)
    }

    /// Whether one commit says that it comes from a session.
    ///
    /// # Errors
    /// It, or its note, cannot be read.
    pub fn says_so(repo: &Repo, commit: ObjectId) -> Result<bool, PushError> {
        let message = repo.read_commit(commit)?.message;
        if Provenance::of(&message, None).is_ours() {
            return Ok(true);
        }
        let note = repo.read_note(NOTES_REF, commit)?;
        Ok(Provenance::of("", note.as_deref()).is_ours())
    }

    fn read(&self, range: &Range) -> Result<Vec<Commit>, PushError> {
        let commit = |id: &ObjectId| {
            let info = self.repo.read_commit(*id)?;
            let note = self.repo.read_note(NOTES_REF, *id)?;
            let from = Provenance::of(&info.message, note.as_deref());
            Ok(Commit { id: *id, info, from })
        };
        range.commits.iter().map(commit).collect()
    }

    /// Whether the name of a branch is one that sessions get.
    fn is_ours(&self, name: &str) -> bool {
        let prefix = &self.config.branch_prefix;
        let branch = name.strip_prefix("refs/heads/");
        !prefix.is_empty() && branch.is_some_and(|branch| branch.starts_with(prefix))
    }

    /// The session here whose branch this is.
    fn owner(&self, range: &Range) -> Result<Option<String>, PushError> {
        let bare = self.config.branch_prefix.trim_end_matches('/');
        // Where a branch is called as the prefix is, sessions get `agent-…`.
        let may_be = |name: &String| {
            name.strip_prefix("refs/heads/").is_some_and(|branch| branch.starts_with(bare))
        };
        if !range.names.iter().any(may_be) {
            return Ok(None);
        }
        for id in self.here.iter().rev() {
            let spec = self.store.session(id)?.spec;
            if range.names.contains(&spec.branch) {
                return Ok(Some(spec.id));
            }
        }
        Ok(None)
    }

    /// The commits that a session's record tells are its steps: where it writes no trailers, nothing
    /// else does until it rests.
    fn claim_steps(&self, owner: &str, commits: &mut [Commit]) -> Result<(), PushError> {
        if commits.iter().all(|commit| commit.from.is_ours()) {
            return Ok(());
        }
        let mut steps = HashSet::new();
        let mut next = Record::last(self.repo, owner)?;
        while let Some(record) = next {
            let written = record.state.head.as_deref();
            steps.extend(written.and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok()));
            next = record.before.map(|before| Record::read(self.repo, before)).transpose()?;
        }
        for commit in commits.iter_mut().filter(|commit| steps.contains(&commit.id)) {
            if !commit.from.is_ours() {
                commit.from.sessions.push(owner.to_owned());
                commit.from.by_agent = true;
                commit.from.step = true;
            }
        }
        Ok(())
    }

    /// What is on record of a session, on this machine or in its ref.
    fn known(&self, id: &str) -> Result<Option<Known>, PushError> {
        if self.here.iter().any(|here| here == id) {
            let session = self.store.session(id)?;
            let state = session.state()?;
            return Ok(Some(Known { spec: session.spec, state }));
        }
        let record = self.record(id)?;
        Ok(record.map(|Record { spec, state, .. }| Known { spec, state }))
    }

    /// What agents' commits change: what their sessions might not, secrets, and too much.
    fn changes(
        &self,
        ours: &[&Commit],
        known: &HashMap<String, Option<Known>>,
    ) -> Result<Vec<Finding>, PushError> {
        let mut findings = Vec::new();
        let mut sizes = Sizes::default();
        let mut allowed: HashMap<&str, Allowed> = HashMap::new();
        let mut files: BTreeMap<&str, (Files, Vec<ObjectId>)> = BTreeMap::new();
        for commit in ours.iter().filter(|commit| commit.from.by_agent) {
            let before = match commit.info.parents.first() {
                Some(parent) => self.repo.tree_of(*parent)?,
                None => self.repo.empty_tree(),
            };
            let changes = Changes::between(self.repo, before, commit.info.tree)?;
            let mut faults = sizes.add(self.repo, &changes, self.config.max_file_size)?;
            let session = commit.from.sessions.last();
            if let Some(id) = session {
                let (files, commits) = files.entry(id).or_default();
                files.add_older(&changes);
                commits.push(commit.id);
            }
            let of_session = session.and_then(|id| known.get(id)).and_then(Option::as_ref);
            let scope = match of_session {
                Some(known) => paths::scope(&known.spec, self.config)?,
                None => Scope::default(),
            };
            let found = changes.judged_by(&[&scope, &NoSecrets])?;
            if !found.is_empty() {
                let id = session.map(String::as_str).unwrap_or_default();
                if !allowed.contains_key(id) {
                    allowed.insert(id, self.allowed(id)?);
                }
                faults.extend(paths::faults(found, &allowed[id]));
            }
            findings.extend(faults.into_iter().map(|fault| Finding {
                session: session.cloned(),
                commits: vec![commit.id],
                fault,
                over: of_session.is_some_and(|known| known.state.phase.is_final()),
            }));
        }
        for (id, (files, commits)) in files {
            let Some(Some(known)) = known.get(id) else { continue };
            let Some(most) = known.spec.bounds.max_files else { continue };
            if files.fault(most, &Allowed::new()).is_none() {
                continue;
            }
            let fault = files.fault(most, &self.allowed(id)?);
            findings.extend(fault.map(|fault| Finding {
                session: Some(id.to_owned()),
                commits,
                fault,
                over: known.state.phase.is_final(),
            }));
        }
        let commits = || ours.iter().map(|commit| commit.id).collect();
        findings.extend(sizes.fault(self.config.push.max_size).map(|fault| Finding {
            session: None,
            commits: commits(),
            fault,
            over: false,
        }));
        Ok(findings)
    }

    /// What people have allowed in a session, as its journal here or in its record tells.
    fn allowed(&self, id: &str) -> Result<Allowed, PushError> {
        if self.here.iter().any(|here| here == id) {
            let journal = self.store.session(id)?.journal_path();
            return Ok(paths::allowed(&journal::events(&journal)?));
        }
        let Some(record) = self.record(id)? else { return Ok(Allowed::new()) };
        let mut file = tempfile::NamedTempFile::new()?;
        record.write_journal(self.repo, &mut file)?;
        Ok(paths::allowed(&journal::events(file.path())?))
    }

    /// The last record of a session. The id may be anything that stood in a message.
    fn record(&self, id: &str) -> Result<Option<Record>, PushError> {
        match Record::last(self.repo, id) {
            Ok(record) => Ok(record),
            Err(RecordError::Ref(RefError::BadName(_)) | RecordError::NotARecord { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Signatures, by the user's own programs and keys.
    fn signatures(&self, ours: &[&Commit]) -> Result<Vec<Finding>, PushError> {
        let ids: String = ours.iter().map(|commit| format!("{}\n", commit.id)).collect();
        let log =
            ["log", "--no-walk=unsorted", "--no-show-signature", "--format=%H %G?", "--stdin"];
        let said = self.repo.user_git().args(log).stdin(ids).run()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let verdicts: HashMap<&str, &str> =
            said.lines().filter_map(|line| line.split_once(' ')).collect();
        let mut findings = Vec::new();
        for commit in ours {
            let hex = commit.id.to_string();
            let fault = match *verdicts.get(&*hex).ok_or(PushError::NoVerdict(commit.id))? {
                "G" => continue,
                "N" => Fault::Unsigned,
                // A good signature of a key that nobody has vouched for.
                "U" => Fault::BadSignature("signed by a key that is not trusted"),
                "X" | "Y" => Fault::BadSignature("signed by a key that has expired"),
                "R" => Fault::BadSignature("signed by a key that was revoked"),
                "E" => Fault::BadSignature("signed by a key that is not here"),
                _ => Fault::BadSignature("its signature is bad"),
            };
            let session = commit.from.sessions.last().cloned();
            findings.push(Finding { session, commits: vec![commit.id], fault, over: false });
        }
        Ok(grouped(findings))
    }
}

/// Of each session the commits that nothing of it is built on in the range; not those that a fork
/// has gone on from.
fn last_of_each(commits: &[Commit]) -> Vec<(String, &Commit)> {
    let at: HashMap<ObjectId, usize> =
        commits.iter().enumerate().map(|(at, commit)| (commit.id, at)).collect();
    // By commit, the sessions that go on in what is built on it. Children come before parents.
    let mut above: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); commits.len()];
    let mut is_gone_on = vec![false; commits.len()];
    let mut last = Vec::new();
    for (number, commit) in commits.iter().enumerate() {
        let mut sessions = std::mem::take(&mut above[number]);
        for session in &commit.from.sessions {
            if sessions.insert(session) && !is_gone_on[number] {
                last.push((session.clone(), commit));
            }
        }
        for parent in &commit.info.parents {
            if let Some(&parent) = at.get(parent) {
                above[parent].extend(&sessions);
                is_gone_on[parent] |= commit.from.step;
            }
        }
    }
    last
}

fn verified(commit: &Commit, known: Option<&Known>) -> Result<(), verified::Unverified> {
    let of_state = known.and_then(|known| known.state.verify.as_ref()).map(|record| Run {
        command: record.command.clone(),
        exit: record.exit,
        tree: record.tree.clone(),
    });
    let of_note = match &commit.from.verify {
        Noted::Ran(run) => Some(run.clone()),
        Noted::NotAsked | Noted::Nothing => None,
    };
    let last = known.and_then(|known| known.spec.last_check());
    let asked = match (known, &commit.from.verify) {
        (Some(_), _) => last.as_deref().map_or(Asked::Nothing, Asked::Command),
        (None, Noted::NotAsked) => Asked::Nothing,
        (None, _) => Asked::Unknown,
    };
    let runs: Vec<_> = of_state.into_iter().chain(of_note).collect();
    verified::judge(&commit.info.tree.to_string(), asked, &runs)
}

/// The steps of each session. One commit of a whole session is none, whatever its note says.
fn steps(ours: &[&Commit], known: &HashMap<String, Option<Known>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (session, known) in known {
        let is_single =
            known.as_ref().is_some_and(|it| it.spec.commit_strategy == CommitStrategy::Single);
        let is_its = |it: &&&Commit| it.from.by_agent && it.from.sessions.contains(session);
        let all = ours.iter().filter(is_its).count();
        let is_step = |commit: &&&Commit| match commit.from.noted {
            true => commit.from.step && !(is_single && all == 1),
            false => commit.from.step || all > 1,
        };
        let its = ours.iter().filter(is_its).filter(is_step);
        let commits: Vec<_> = its.map(|commit| commit.id).collect();
        if !commits.is_empty() {
            let session = Some(session.clone());
            findings.push(Finding { session, commits, fault: Fault::Steps, over: false });
        }
    }
    findings.sort_by(|one, other| one.session.cmp(&other.session));
    findings
}

/// Agents' commits that only a record here knows of: elsewhere nobody could tell.
fn unnamed(ours: &[&Commit]) -> Vec<Finding> {
    let is_unnamed = |commit: &&&Commit| {
        !commit.from.noted && !Provenance::of(&commit.info.message, None).is_ours()
    };
    let finding = |commit: &&Commit| Finding {
        session: commit.from.sessions.last().cloned(),
        commits: vec![commit.id],
        fault: Fault::NoProvenance,
        over: false,
    };
    grouped(ours.iter().filter(is_unnamed).map(finding).collect())
}

/// What is wrong with several commits of a session in the same way, said once.
fn grouped(findings: Vec<Finding>) -> Vec<Finding> {
    let mut groups: Vec<Finding> = Vec::new();
    for finding in findings {
        let same =
            |it: &&mut Finding| (&it.session, &it.fault) == (&finding.session, &finding.fault);
        match groups.iter_mut().find(same) {
            Some(group) => group.commits.extend(finding.commits),
            None => groups.push(finding),
        }
    }
    groups
}
