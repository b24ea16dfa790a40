//! Merges of random histories, beside `git merge-tree`.
//!
//! Invariant: the same histories each time; what differs is shown with the seed that made it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tests::{by_git, told};
use crate::git::testing::Fixture;

/// Mode and content of each file; of a submodule its commit.
type Tree = BTreeMap<String, (&'static str, String)>;

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn path(&mut self) -> String {
        let folder = self.of(&["", "a/", "a/b/", "c/", "d é/"]);
        format!("{folder}{}", self.of(&["f", "g", "h", "i", "a", "c"]))
    }

    fn known(&mut self, tree: &Tree) -> Option<String> {
        let at = self.below(tree.len().max(1));
        tree.keys().nth(at).cloned()
    }

    fn lines(&mut self) -> String {
        (0..12).map(|_| format!("line {}\n", self.below(1_000))).collect()
    }
}

/// Sets a path, and takes away what cannot be beside it: files above it and below.
fn set(tree: &mut Tree, path: String, file: (&'static str, String)) {
    let below = format!("{path}/");
    tree.retain(|known, _| !known.starts_with(&below) && !path.starts_with(&format!("{known}/")));
    tree.insert(path, file);
}

fn change(tree: &mut Tree, dice: &mut Dice) {
    let Some(path) = dice.known(tree) else { return };
    let (mode, text) = tree[&path].clone();
    match dice.below(12) {
        // A line, somewhere.
        0..=3 if mode.starts_with("100") => {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let at = dice.below(lines.len().max(1));
            let line = format!("changed {}", dice.below(100));
            match lines.get_mut(at) {
                Some(old) => *old = line,
                None => lines.push(line),
            }
            set(tree, path, (mode, lines.join("\n") + "\n"));
        }
        4 => drop(tree.remove(&path)),
        // Moved, as it is or with another line.
        5 | 6 => {
            tree.remove(&path);
            let more = if dice.below(2) == 0 { "" } else { "one more\n" };
            let text = if mode.starts_with("100") { text + more } else { text };
            set(tree, dice.path(), (mode, text));
        }
        7 if mode == "100644" => set(tree, path, ("100755", text)),
        8 => set(tree, path, ("120000", dice.of(&["there", "elsewhere"]).to_owned())),
        9 => set(tree, path, ("160000", dice.of(&["1", "2"]).repeat(40))),
        10 => set(tree, path, ("100644", format!("\0{}", dice.below(9)))),
        _ => {
            let text = dice.lines();
            set(tree, dice.path(), ("100644", text));
        }
    }
}

/// What `git fast-import` reads for one commit.
fn commit(stream: &mut String, branch: &str, from: Option<&str>, tree: &Tree) {
    write!(stream, "commit refs/heads/{branch}\ncommitter A <a@b> 1700000000 +0000\ndata 0\n")
        .unwrap();
    if let Some(from) = from {
        writeln!(stream, "from refs/heads/{from}").unwrap();
    }
    stream.push_str("deleteall\n");
    for (path, (mode, text)) in tree {
        match *mode {
            "160000" => writeln!(stream, "M {mode} {text} {path}").unwrap(),
            _ => write!(stream, "M {mode} inline {path}\ndata {}\n{text}\n", text.len()).unwrap(),
        }
    }
}

#[test]
fn random_histories_merge_as_git_merges_them() {
    const SIDES: usize = 4;
    let mut wrong = Vec::new();
    let (mut clean, mut apart, mut conflicts) = (0, 0, 0);
    for seed in 1..=16_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut base = Tree::new();
        for _ in 0..10 {
            let (path, text) = (dice.path(), dice.lines());
            set(&mut base, path, ("100644", text));
        }
        let mut stream = String::new();
        commit(&mut stream, "base", None, &base);
        for side in 0..SIDES {
            let mut tree = base.clone();
            (0..=dice.below(4)).for_each(|_| change(&mut tree, &mut dice));
            commit(&mut stream, &format!("side-{side}"), Some("base"), &tree);
        }
        let fixture = Fixture::new(&[]);
        fixture.feed(&["fast-import", "--quiet"], &stream);
        let repo = fixture.repo().in_memory();
        let base = repo.tree_of(fixture.id("base")).unwrap();
        for one in 0..SIDES {
            for other in one + 1..SIDES {
                let names = [one, other].map(|side| format!("side-{side}"));
                let [ours, theirs] = names.each_ref().map(|name| fixture.id(name));
                let wanted = by_git(&fixture, &ours.to_string(), &theirs.to_string());
                let merged = told(&repo.merge_commits(ours, theirs).unwrap());
                if merged != wanted {
                    let changed = names
                        .each_ref()
                        .map(|name| fixture.git(&["diff", "--name-status", "-M", "base", name]));
                    wrong.push(format!(
                        "seed {seed}, {names:?}: {merged:?}, git: {wanted:?}; {changed:?}"
                    ));
                }
                let [ours, theirs] = [ours, theirs]
                    .map(|tip| repo.changed_paths(base, repo.tree_of(tip).unwrap()).unwrap());
                let meet = ours.meets(&theirs);
                assert!(meet || wanted.is_ok(), "seed {seed}, {names:?}: {wanted:?}");
                assert_eq!(theirs.meets(&ours), meet);
                match wanted {
                    Ok(_) if meet => clean += 1,
                    Ok(_) => apart += 1,
                    Err(_) => conflicts += 1,
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(clean > 3 && apart > 10 && conflicts > 10, "{clean} {apart} {conflicts}");
}
