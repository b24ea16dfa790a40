//! What was found out before: one file beside the sessions, for all who ask.
//!
//! Two lines: what collides, which is all that `list` reads, and what is clean. Each is written
//! down by the names of two sides, and holds as long as both are what they were then.
//!
//! Invariant: an answer is given only for the very ids, settings and program it was found with; a
//! file that is damaged, or of another program, is no file.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::side::{self, Side};
use super::{Brought, Clashing, is_unfinished};
use crate::file;
use crate::git::Repo;
use crate::plan::target::short;
use crate::session::store::Session;

/// More clean pairs than these are found out again.
const MOST_CLEAN: usize = 8_192;
/// So are more pairs that collide.
const MOST_COLLIDING: usize = 1_024;

/// What is known of pairs.
#[derive(Debug, Default)]
pub(super) struct Known {
    head: Head,
    clean: BTreeSet<(String, String)>,
    is_new: bool,
}

/// The first line of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// What decides how a merge ends besides what is merged.
    under: u64,
    /// What each side was.
    stamps: BTreeMap<String, String>,
    colliding: Vec<Collision>,
    /// What somebody else has brought to its branch.
    #[serde(default)]
    brought: Vec<Brought>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Collision {
    a: String,
    b: String,
    files: Vec<Clashing>,
}

impl Known {
    /// What is known under the settings of now.
    pub(super) fn open(repo: &Repo) -> Self {
        let under = under(repo);
        let text = fs::read_to_string(path(repo)).unwrap_or_default();
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok());
        let clean = lines.next().and_then(|line| serde_json::from_str(line).ok());
        match (head, clean) {
            (Some(head), Some(clean)) if head.under == under => Self { head, clean, is_new: false },
            _ => Self { head: Head { under, ..Head::default() }, ..Self::default() },
        }
    }

    /// What the sides are now: what was known of those that have moved is forgotten, and of all
    /// others too, where these are `all` there are.
    pub(super) fn now<'a>(&mut self, sides: impl Iterator<Item = &'a Side>, all: bool) {
        let stamps: BTreeMap<_, _> =
            sides.map(|side| (side.id.clone(), side.stamp.clone())).collect();
        let Head { stamps: before, colliding, brought, .. } = &mut self.head;
        let holds = |id: &String| match (before.get(id), stamps.get(id)) {
            (Some(before), Some(now)) => before == now,
            (Some(_), None) => !all,
            (None, _) => false,
        };
        let known = (self.clean.len(), colliding.len());
        self.clean.retain(|(a, b)| holds(a) && holds(b));
        colliding.retain(|it| holds(&it.a) && holds(&it.b));
        brought.retain(|it| holds(&it.session) && holds(&it.branch));
        self.is_new |= known != (self.clean.len(), colliding.len());
        if all {
            before.clear();
        }
        before.extend(stamps);
    }

    /// What is known of two.
    pub(super) fn of(&self, a: &Side, b: &Side) -> Option<Option<Vec<Clashing>>> {
        if self.clean.contains(&key(&a.id, &b.id)) {
            return Some(None);
        }
        let found = self.head.colliding.iter().find_map(|it| {
            if it.a == a.id && it.b == b.id {
                Some(it.files.clone())
            } else if it.a == b.id && it.b == a.id {
                Some(it.files.iter().cloned().map(Clashing::turned).collect())
            } else {
                None
            }
        })?;
        Some(Some(found))
    }

    /// Who brought a session's work to its branch, as far as is known.
    pub(super) fn brought(&self, side: &Side) -> Option<Brought> {
        self.head.brought.iter().find(|it| it.session == side.id).cloned()
    }

    /// Remembers that.
    pub(super) fn learn_brought(&mut self, brought: Brought) {
        self.head.brought.push(brought);
        self.is_new = true;
    }

    /// Remembers what was found of two.
    pub(super) fn learn(&mut self, a: &Side, b: &Side, conflict: Option<Vec<Clashing>>) {
        match conflict {
            None if self.clean.len() < MOST_CLEAN => {
                self.is_new |= self.clean.insert(key(&a.id, &b.id));
            }
            Some(files) if self.head.colliding.len() < MOST_COLLIDING => {
                let (a, b) = (a.id.clone(), b.id.clone());
                self.head.colliding.push(Collision { a, b, files });
                self.is_new = true;
            }
            _ => {}
        }
    }

    /// Writes it down, where there is anything new. Its loss costs time alone.
    pub(super) fn write(&self, repo: &Repo) {
        if !self.is_new {
            return;
        }
        let text = serde_json::to_string(&self.head)
            .and_then(|head| Ok(format!("{head}\n{}\n", serde_json::to_string(&self.clean)?)));
        let path = path(repo);
        let written = text.map_err(std::io::Error::from).and_then(|text| {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            file::replace_unsynced(&path, text.as_bytes())
        });
        if let Err(error) = written {
            tracing::debug!(%error, "what collides is found out again next time");
        }
    }
}

impl Clashing {
    /// The same, seen from the other side.
    pub(super) fn turned(mut self) -> Self {
        std::mem::swap(&mut self.a_by, &mut self.b_by);
        self.hunks.iter_mut().for_each(|lines| std::mem::swap(&mut lines.a, &mut lines.b));
        self
    }
}

/// What is known of a session beside others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The sessions and branches that it collides with.
    pub collides: Vec<String>,
    /// The branch that its work is on, though nobody landed it here.
    pub on: Option<String>,
}

/// What is known of each of these sessions as it is now, by id; nothing is merged.
pub fn standing(repo: &Repo, sessions: &[Session]) -> HashMap<String, Standing> {
    let mut found: HashMap<String, Standing> = HashMap::new();
    let Some(Head { under: then, stamps, colliding, brought }) = first_line(repo) else {
        return found;
    };
    if (colliding.is_empty() && brought.is_empty()) || then != under(repo) {
        return found;
    }
    let by_id: HashMap<&str, &Session> =
        sessions.iter().map(|session| (session.id.as_str(), session)).collect();
    let mut asked: HashMap<String, bool> = HashMap::new();
    let mut holds = |id: &str| {
        let stamp = stamps.get(id);
        *asked
            .entry(id.to_owned())
            .or_insert_with(|| stamp.is_some_and(|stamp| is_now(repo, &by_id, id, stamp)))
    };
    for Collision { a, b, .. } in &colliding {
        if holds(a) && holds(b) {
            found.entry(a.clone()).or_default().collides.push(short(b).to_owned());
            found.entry(b.clone()).or_default().collides.push(a.clone());
        }
    }
    for Brought { session, branch, .. } in &brought {
        if holds(session) && holds(branch) {
            found.entry(session.clone()).or_default().on = Some(short(branch).to_owned());
        }
    }
    found
}

/// Whether a session that is still to land, or a branch, is what this stamp says.
fn is_now(repo: &Repo, sessions: &HashMap<&str, &Session>, id: &str, stamp: &str) -> bool {
    if id.starts_with("refs/") {
        return repo.ref_id(id).is_ok_and(|tip| tip.is_some_and(|tip| tip == *stamp));
    }
    let Some(session) = sessions.get(id) else { return false };
    let Ok(state) = session.state() else { return false };
    is_unfinished(&state)
        && side::stamp(repo, session, &state).is_ok_and(|stamp_now| stamp_now == stamp)
}

fn first_line(repo: &Repo) -> Option<Head> {
    let mut line = String::new();
    BufReader::new(fs::File::open(path(repo)).ok()?).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// What decides how a merge ends besides the commits: settings, attributes that are in no commit,
/// and this program.
fn under(repo: &Repo) -> u64 {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    for entry in ["merge", "diff"].iter().flat_map(|section| repo.config(section)) {
        (entry.key, entry.value).hash(&mut hasher);
    }
    for attributes in repo.attribute_files() {
        fs::read(attributes).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

fn key(a: &str, b: &str) -> (String, String) {
    let (one, other) = if a < b { (a, b) } else { (b, a) };
    (one.to_owned(), other.to_owned())
}

fn path(repo: &Repo) -> PathBuf {
    repo.common_dir().join("agent").join("forecast")
}
