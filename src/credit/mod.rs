//! Who wrote what: a line of a commit, traced to the person or the step of a session that made it.
//!
//! | file | what |
//! |---|---|
//! | `story.rs` | what a session did, state by state, from its journal |
//! | `trail.rs` | one file through these states, and who made each of its lines |
//! | `known.rs` | what sessions know of the lines of a text |
//! | `likeness.rs` | commits that nothing says a word of, known again by what they change |
//! | `whole.rs` | all that a commit added |
//! | `origin.rs` | who a line can be of |
//! | `gitai.rs` | git-ai's notes: read, and added to |
//! | `trace.rs` | Agent Trace: a commit as a record for other tools |
//!
//! A commit that landed holds lines of many steps, and maybe of the person who worked between them,
//! under one author. Its trailers and its note say from which sessions it comes; which line is
//! whose, their own history says. So a squash, a rebase, an amend and a cherry-pick tell no less
//! than the steps themselves.
//!
//! Invariant: it only reads. A line of a commit that is in no version of its sessions' files is its
//! author's: what is human stays human.

pub mod gitai;
mod known;
mod likeness;
mod origin;
mod story;
pub mod trace;
mod trail;
mod whole;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

pub use origin::{Agent, Origin, Person};
pub use story::{Point, Story};
pub use whole::Added;

use crate::git::{
    BString, Blame, BlameAsk, CommitInfo, DiffError, GitError, Identity, NotesError, ObjectError,
    ObjectId, Repo,
};
use crate::session::note::{BUILTIN, NOTES_REF};
use crate::session::provenance::Provenance;
use crate::session::record::RecordError;
use crate::session::store::Store;
use gitai::{Log, Named};
use likeness::Likeness;
use trail::{By, Trail};

/// Why lines cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum CreditError {
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Two trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The notes cannot be read.
    #[error(transparent)]
    Notes(#[from] NotesError),
    /// A session's record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// git cannot be asked.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A session's journal cannot be read.
    #[error("cannot read a session's journal")]
    Journal(#[from] std::io::Error),
}

/// Traces lines, and remembers what it has read.
pub struct Credit<'r> {
    repo: &'r Repo,
    store: &'r Store,
    notes: HashMap<ObjectId, ObjectId>,
    /// What git-ai has noted.
    logs: HashMap<ObjectId, ObjectId>,
    commits: HashMap<ObjectId, Rc<Commit>>,
    stories: HashMap<String, Option<Rc<Told>>>,
    trails: HashMap<(String, usize, BString), Rc<Trail>>,
    lines: HashMap<(String, usize, BString, usize), Rc<Vec<By>>>,
    likeness: Likeness,
    missing: BTreeSet<String>,
}

/// A commit, and whose it is said to be.
struct Commit {
    info: CommitInfo,
    from: Provenance,
}

/// A story, with the words of it shared by all lines.
struct Told {
    story: Story,
    asked: Vec<Rc<str>>,
}

/// What is to be traced: lines of a file in a commit.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    /// The commit that they came with.
    pub commit: ObjectId,
    /// The file, as the commit has it.
    pub path: &'a BString,
    /// Their numbers there, from 1.
    pub numbers: &'a [usize],
    /// Who is taken for the commit's author, where the mailmap has another name.
    pub author: Option<&'a Identity>,
}

impl<'r> Credit<'r> {
    /// Begins, knowing nothing but which commits have notes.
    ///
    /// # Errors
    /// The notes cannot be read.
    pub fn open(repo: &'r Repo, store: &'r Store) -> Result<Self, CreditError> {
        Ok(Self {
            repo,
            store,
            notes: repo.notes(NOTES_REF)?,
            logs: repo.notes(gitai::NOTES_REF)?,
            commits: HashMap::new(),
            stories: HashMap::new(),
            trails: HashMap::new(),
            lines: HashMap::new(),
            likeness: Likeness::default(),
            missing: BTreeSet::new(),
        })
    }

    /// The sessions that commits name and whose history is not here, so that no step is known.
    pub fn missing(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// The sessions that a commit comes from.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn sessions(&mut self, commit: ObjectId) -> Result<Vec<String>, CreditError> {
        Ok(self.commit(commit)?.from.sessions.clone())
    }

    /// Who made each of these lines, in their order.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn trace(&mut self, lines: &Lines<'_>) -> Result<Vec<Origin>, CreditError> {
        let commit = self.commit(lines.commit)?;
        let author = lines.author.unwrap_or(&commit.info.author);
        let person = |session: Option<&str>| {
            let Identity { name, email } = author.clone();
            Origin::Person(Person { name, email, session: session.map(str::to_owned) })
        };
        let from = &commit.from;
        if from.sessions.is_empty() {
            let log = self.log(lines.commit)?;
            let path = lines.path.to_string();
            let named = |number: &usize| match log.as_ref()?.named(&path, *number)? {
                Named::Agent { tool, model, id, asked } => Some(Origin::Agent(Agent {
                    agent: tool,
                    model,
                    session: id,
                    step: None,
                    commit: None,
                    time: None,
                    asked: asked.map(Rc::from),
                })),
                Named::Person(_) => None,
            };
            let origin = |number| named(number).unwrap_or_else(|| person(None));
            return Ok(lines.numbers.iter().map(origin).collect());
        }
        let text = trail::file_at(self.repo, commit.info.tree, lines.path)?;
        let text = trail::content(self.repo, text)?;
        let at = Some((lines.commit, commit.info.tree));
        let is_new = self.is_new(&commit.info, lines.path)?;
        let (known, bases) =
            self.known(&from.sessions, at, lines.path, &text, lines.numbers, is_new)?;
        let untold = from.sessions.iter().find(|session| self.missing.contains(*session));
        let rest = match untold {
            Some(session) if from.by_agent => Origin::Agent(Agent {
                agent: from.agent.clone().unwrap_or_else(|| BUILTIN.to_owned()),
                model: from.models.first().cloned(),
                session: session.clone(),
                step: None,
                commit: None,
                time: None,
                asked: None,
            }),
            _ => person(None),
        };
        let mut older: HashMap<usize, Vec<Origin>> = HashMap::new();
        let mut origins = Vec::new();
        for known in known {
            origins.push(match known {
                Some((session, By::Point(point))) => {
                    self.origin(&from.sessions[session], point, author)?
                }
                Some((session, By::Before(line))) if is_new => {
                    if let Entry::Vacant(place) = older.entry(session) {
                        place.insert(self.older(&from.sessions[session], bases[session].as_ref())?);
                    }
                    older[&session].get(line).unwrap_or(&rest).clone()
                }
                Some((_, By::Before(_))) | None => rest.clone(),
            });
        }
        Ok(origins)
    }

    /// Who made each line that was blamed on a commit; none is known of a line without one.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn trace_all(&mut self, blame: &Blame) -> Result<Vec<Origin>, CreditError> {
        let mut groups: BTreeMap<(ObjectId, &BString), Vec<usize>> = BTreeMap::new();
        for (index, line) in blame.lines.iter().enumerate() {
            if !line.commit.is_null() {
                groups.entry((line.commit, &line.path)).or_default().push(index);
            }
        }
        let mut origins = vec![Origin::Uncommitted; blame.lines.len()];
        for ((commit, path), members) in groups {
            let numbers: Vec<_> = members.iter().map(|index| blame.lines[*index].from).collect();
            let author = blame.commits.get(&commit).map(|commit| &commit.author);
            let found = self.trace(&Lines { commit, path, numbers: &numbers, author })?;
            for (index, origin) in members.into_iter().zip(found) {
                origins[index] = origin;
            }
        }
        Ok(origins)
    }

    /// Who made each line of a file as it was before a session, which moved it and changed so much of
    /// it that git takes it for new.
    fn older(&mut self, session: &str, path: Option<&BString>) -> Result<Vec<Origin>, CreditError> {
        let (Some(told), Some(path)) = (self.told(session)?, path) else { return Ok(Vec::new()) };
        let blame = self.repo.blame(&BlameAsk {
            path: Path::new(OsStr::from_bytes(path)),
            at: Some(told.story.base),
            since: None,
            ranges: &[],
            ignore_blanks: false,
            moves: false,
        })?;
        self.trace_all(&blame)
    }

    /// Whether git has nothing that a commit made a file of.
    fn is_new(&self, commit: &CommitInfo, path: &BString) -> Result<bool, CreditError> {
        let [parent] = commit.parents[..] else { return Ok(false) };
        if !self.repo.has_object(parent) {
            return Ok(false);
        }
        let before = self.repo.tree_of(parent)?;
        Ok(trail::file_at(self.repo, before, path)?.is_none()
            && trail::source(self.repo, before, commit.tree, path)?.is_none())
    }

    /// Who made these lines of a text that no commit holds: lines that a session wrote and left in
    /// its worktree are its own.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn trace_uncommitted(
        &mut self,
        session: &str,
        path: &BString,
        text: &[u8],
        numbers: &[usize],
    ) -> Result<Vec<Origin>, CreditError> {
        let who = Identity { name: String::new(), email: String::new() };
        let mut origins = Vec::new();
        let (known, _) = self.known(&[session.to_owned()], None, path, text, numbers, false)?;
        for known in known {
            origins.push(match known {
                Some((_, By::Point(point))) => match self.origin(session, point, &who)? {
                    agent @ Origin::Agent(_) => agent,
                    _ => Origin::Uncommitted,
                },
                Some((_, By::Before(_))) | None => Origin::Uncommitted,
            });
        }
        Ok(origins)
    }

    fn origin(
        &mut self,
        session: &str,
        point: usize,
        author: &Identity,
    ) -> Result<Origin, CreditError> {
        let Some(told) = self.told(session)? else { return Ok(Origin::Uncommitted) };
        let point = &told.story.points[point];
        let session = point.session.as_deref().unwrap_or(session).to_owned();
        if point.by_person {
            let who = match point.commit {
                Some(commit) if self.repo.has_object(commit) => {
                    self.repo.read_commit(commit)?.author
                }
                _ => author.clone(),
            };
            let Identity { name, email } = who;
            return Ok(Origin::Person(Person { name, email, session: Some(session) }));
        }
        Ok(Origin::Agent(Agent {
            agent: BUILTIN.to_owned(),
            model: Some(point.model.clone()),
            session,
            step: Some(point.step),
            commit: point.commit,
            time: Some(point.time),
            asked: told.asked.get(point.asked).map(Rc::clone),
        }))
    }

    fn commit(&mut self, id: ObjectId) -> Result<Rc<Commit>, CreditError> {
        if let Some(commit) = self.commits.get(&id) {
            return Ok(Rc::clone(commit));
        }
        let info = self.repo.read_commit(id)?;
        let mut from = Provenance::of(&info.message, self.note(id)?.as_deref());
        if from.sessions.is_empty()
            && let Some(like) = self.likeness.of(self.repo, self.store, &self.notes, id, &info)?
        {
            from = like;
        }
        let commit = Rc::new(Commit { info, from });
        self.commits.insert(id, Rc::clone(&commit));
        Ok(commit)
    }

    /// What git-ai has noted of a commit.
    ///
    /// # Errors
    /// The note cannot be read.
    pub fn log(&self, commit: ObjectId) -> Result<Option<Log>, CreditError> {
        let note = self.logs.get(&commit).map(|blob| self.repo.read_blob(*blob)).transpose()?;
        Ok(note.and_then(|note| Log::parse(&String::from_utf8_lossy(&note))))
    }

    fn note(&self, commit: ObjectId) -> Result<Option<String>, ObjectError> {
        let note = self.notes.get(&commit).map(|blob| self.repo.read_blob(*blob)).transpose()?;
        Ok(note.map(|note| String::from_utf8_lossy(&note).into_owned()))
    }

    fn told(&mut self, session: &str) -> Result<Option<Rc<Told>>, CreditError> {
        if let Some(told) = self.stories.get(session) {
            return Ok(told.clone());
        }
        let story = Story::of(self.repo, self.store, session)?;
        // In a shallow clone it may begin where nothing is.
        let story = story.filter(|story| self.repo.has_object(story.base));
        let told = story.map(|story| {
            let asked = story.asked.iter().map(|words| Rc::from(words.as_str())).collect();
            Rc::new(Told { story, asked })
        });
        self.stories.insert(session.to_owned(), told.clone());
        Ok(told)
    }
}

/// Numbers that only grow, as ranges from the first to the last.
fn ranges(numbers: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}
