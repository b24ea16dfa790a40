//! What sessions know of the lines of a text: each put beside the version of theirs that is most like
//! it.
//!
//! Invariant: a line is known by a version that has it, and by no other.

use std::collections::HashSet;
use std::rc::Rc;

use super::story::Story;
use super::trail::{self, By};
use super::{Credit, CreditError};
use crate::git::{BString, ObjectId, lines_of};

/// What a session knows of a line: which of them, and who made it.
pub(super) type Known = Option<(usize, By)>;

impl Credit<'_> {
    /// What the sessions know of these lines of a text, and what each called its file before it
    /// began. Where `is_new`, git has nothing that the file comes from, so lines may be older.
    pub(super) fn known(
        &mut self,
        sessions: &[String],
        at: Option<(ObjectId, ObjectId)>,
        path: &BString,
        text: &[u8],
        numbers: &[usize],
        is_new: bool,
    ) -> Result<(Vec<Known>, Vec<Option<BString>>), CreditError> {
        let mut all: Vec<Known> = vec![None; line_count(text)];
        let mut bases = Vec::new();
        for (number, session) in sessions.iter().enumerate() {
            let Some(told) = self.told(session)? else {
                self.missing.insert(session.clone());
                bases.push(None);
                continue;
            };
            let (found, base) = self.place(&told.story, at, path, text)?;
            bases.push(base);
            for (line, by) in found.into_iter().enumerate() {
                let is_better = match all[line] {
                    None => true,
                    Some((_, By::Before(_))) => matches!(by, Some(By::Point(_))),
                    Some(_) => false,
                };
                if is_better {
                    all[line] = by.map(|by| (number, by)).or(all[line]);
                }
            }
        }
        if !is_new {
            settle(&mut all, numbers);
        }
        let line = |number: &usize| all.get(number.wrapping_sub(1)).copied().flatten();
        Ok((numbers.iter().map(line).collect(), bases))
    }

    /// Who made each line of a text, as far as a session knows it, by the version of its own that is
    /// most like it; and what it called the file before it began.
    fn place(
        &mut self,
        story: &Story,
        at: Option<(ObjectId, ObjectId)>,
        path: &BString,
        text: &[u8],
    ) -> Result<(Vec<Option<By>>, Option<BString>), CreditError> {
        let none = vec![None; line_count(text)];
        let Some((end, path)) = self.end(story, at, path)? else { return Ok((none, None)) };
        let key = (story.session.clone(), end, path.clone());
        let trail = match self.trails.get(&key) {
            Some(trail) => Rc::clone(trail),
            None => {
                let trail = Rc::new(trail::trail(self.repo, story, &path, end)?);
                self.trails.insert(key.clone(), Rc::clone(&trail));
                trail
            }
        };
        let Some((version, old)) = trail::likest(self.repo, &trail.versions, text)? else {
            return Ok((none, None));
        };
        let key = (key.0, end, path, version);
        let by = match self.lines.get(&key) {
            Some(by) => Rc::clone(by),
            None => {
                let by = Rc::new(trail::lines(self.repo, &trail.versions[..=version])?);
                self.lines.insert(key, Rc::clone(&by));
                by
            }
        };
        let found = trail::lines_in(&old, text).into_iter();
        let found = found.map(|line| line.and_then(|line| by.get(line).copied())).collect();
        Ok((found, trail.base.clone()))
    }

    /// The point up to which a file is followed, and what it is called there: the very one that made
    /// the commit, else the last that has such a file.
    fn end(
        &self,
        story: &Story,
        at: Option<(ObjectId, ObjectId)>,
        path: &BString,
    ) -> Result<Option<(usize, BString)>, CreditError> {
        let points = &story.points;
        if let Some((commit, _)) = at
            && let Some(point) = points.iter().rposition(|point| point.commit == Some(commit))
        {
            return Ok(Some((point, path.clone())));
        }
        for (number, point) in points.iter().enumerate().rev() {
            if trail::file_at(self.repo, point.tree, path)?.is_some() {
                return Ok(Some((number, path.clone())));
            }
        }
        let (Some(last), Some((_, tree))) = (points.last(), at) else { return Ok(None) };
        let source = trail::source(self.repo, last.tree, tree, path)?;
        Ok(source.map(|source| (points.len() - 1, source)))
    }
}

fn line_count(text: &[u8]) -> usize {
    lines_of(text).count()
}

/// git says of these lines that they are new, so none was there before: where a change could stand
/// in several places, git and the session may have it in two. Such a line is of who made what is
/// next to it.
fn settle(known: &mut [Known], numbers: &[usize]) {
    let is_new: HashSet<_> = numbers.iter().copied().collect();
    let made = |known: &[Known], number: usize| {
        let known = known.get(number.wrapping_sub(1)).copied().flatten();
        known.filter(|(_, by)| matches!(by, By::Point(_)))
    };
    let before = known.to_vec();
    for number in numbers {
        let Some(Some((_, By::Before(_)))) = before.get(number.wrapping_sub(1)) else { continue };
        let up = (1..*number).rev().take_while(|line| is_new.contains(line));
        let down = (number + 1..=before.len()).take_while(|line| is_new.contains(line));
        let near = up.chain(down).find_map(|line| made(&before, line));
        if near.is_some() {
            known[number - 1] = near;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_git_has_for_new_is_of_its_neighbour() {
        let (old, a, b) =
            (Some((0, By::Before(3))), Some((0, By::Point(1))), Some((1, By::Point(2))));
        let mut known = vec![old, a, old, None, old, b, old];
        settle(&mut known, &[2, 3, 5, 6]);
        assert_eq!(known, [old, a, a, None, b, b, old]);
        let mut known = vec![old, old];
        settle(&mut known, &[1, 2, 9]);
        assert_eq!(known, [old, old]);
    }
}
