//! A person moves, renames or breaks a session's things while it is paused.
//!
//! Invariant: `resume` follows, mends, or refuses before anything has changed; what it refuses
//! `doctor --fix` mends or explains.

use std::path::{Path, PathBuf};
use std::{fs, os::unix::fs::symlink};

use super::doctor::{is_mended, paused, said};
use crate::flow::play::Play;

/// All that a resume might change: the session's files, its inbox and queue, and the refs.
fn look(play: &Play) -> Vec<(PathBuf, Vec<u8>)> {
    fn below(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path(), found),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    let mut found = vec![(PathBuf::new(), play.repo.git(&["for-each-ref"]).into_bytes())];
    below(&play.folder(), &mut found);
    below(&play.repo.common_dir().join("agent/queue"), &mut found);
    // Whoever holds it for a moment writes its number there.
    found.retain(|(path, _)| path.file_name().is_none_or(|name| name != "lock"));
    found.sort();
    found
}

/// Refused, with nothing changed, by `resume` with a new limit too.
fn is_refused(play: &Play, wanted: &str) {
    let before = look(play);
    for args in [&[][..], &["--max-steps", "7"]] {
        let out = play.run("resume", args);
        let root = play.repo.home().root().to_str().unwrap().to_owned();
        let told = out.stderr.replace(&root, "ROOT").replace(&play.id, "ID");
        assert_eq!((out.code, told.as_str()), (1, wanted));
        assert_eq!(look(play), before);
    }
}

/// Goes on, after these words, and comes to its end on this branch.
fn goes_on(play: &Play, words: &str, branch: &str) {
    let out = play.run("resume", &[]);
    let id = &play.id;
    let resumed = format!("Resumed {id}, which was paused\nhint: git agent attach {id}\n");
    assert_eq!((out.code, out.stderr), (0, words.replace("ID", id) + &resumed));
    play.rests("done");
    for (file, text) in [("one.txt", "one"), ("two.txt", "two")] {
        assert_eq!(play.repo.git(&["show", &format!("{branch}:{file}")]), text);
    }
    assert_eq!(play.status()["branch"], branch);
    let spec = play.repo.git(&["show", &format!("refs/agent/{id}:spec.toml")]);
    assert!(spec.contains(&format!("branch = \"refs/heads/{branch}\"\n")), "{spec}");
}

const BRANCH: &str = "agent/mend-the-shop";
const FIX: &str = "hint: git agent doctor --fix\n";
const CUT_OFF: &str =
    "the worktree of ID is cut off from git: ROOT/shop.worktrees/mend-the-shop is";

#[test]
fn a_worktree_that_git_moved_is_followed() {
    let play = paused();
    let to = play.repo.home().root().join("else where");
    let (from, to) = (play.worktree().display().to_string(), to.display().to_string());
    play.repo.git(&["worktree", "move", &from, &to]);
    goes_on(&play, &format!("Followed ID: its worktree is {to} now\n"), BRANCH);
    assert_eq!(play.status()["worktree"], to);
    assert!(!play.worktree().exists());
    let notices = play.told("notice");
    assert_eq!(notices, [format!("its worktree is {to} now")]);
    // A second move, from there.
    play.repo.git(&["worktree", "move", &to, &from]);
    is_mended(
        &play,
        &format!("worktree: ID was moved by hand: its worktree is {from} now")
            .replace(play.repo.home().root().to_str().unwrap(), "ROOT"),
        "worktree: ID: its worktree is ROOT/shop.worktrees/mend-the-shop now",
    );
    play.close();
}

#[test]
fn a_worktree_that_was_moved_by_hand_is_followed_once_git_knows() {
    let play = paused();
    let to = play.repo.home().root().join("elsewhere");
    fs::rename(play.worktree(), &to).unwrap();
    is_refused(
        &play,
        "error: the worktree of ID was moved to ROOT/elsewhere\n\
         hint: git worktree repair ROOT/elsewhere\n",
    );
    play.repo.git(&["worktree", "repair", to.to_str().unwrap()]);
    goes_on(&play, &format!("Followed ID: its worktree is {} now\n", to.display()), BRANCH);
    play.close();
}

#[test]
fn a_link_that_leads_to_where_the_worktree_is_now() {
    let play = paused();
    let to = play.repo.home().root().join("large-disk");
    fs::rename(play.worktree(), &to).unwrap();
    symlink(&to, play.worktree()).unwrap();
    is_refused(
        &play,
        "error: the worktree of ID was moved to ROOT/large-disk\n\
         hint: git worktree repair ROOT/large-disk\n",
    );
    is_mended(
        &play,
        "worktree: the worktree of ID was moved to ROOT/large-disk",
        "worktree: ID: its worktree is ROOT/large-disk now",
    );
    goes_on(&play, "", BRANCH);
    play.close();
}

#[test]
fn a_branch_that_was_renamed_is_followed() {
    let play = paused();
    play.repo.git(&["branch", "-m", BRANCH, "mine/shop"]);
    goes_on(&play, "Followed ID: its branch is mine/shop now\n", "mine/shop");
    assert_eq!(play.repo.git(&["branch", "--list", BRANCH]), "");
    // The ref alone brings it back under its new name.
    let worktree = play.worktree();
    play.run("remove", &["--force"]).success();
    assert_eq!(play.repo.git(&["branch", "--list", "mine/*"]), "");
    play.run("restore", &[]).success();
    assert_eq!(play.repo.home().git(&worktree, &["branch", "--show-current"]), "mine/shop");
    play.close();
}

#[test]
fn both_moved_and_renamed() {
    let play = paused();
    let to = play.repo.home().root().join("else");
    let from = play.worktree().display().to_string();
    play.repo.git(&["branch", "-m", BRANCH, "mine"]);
    play.repo.git(&["worktree", "move", &from, to.to_str().unwrap()]);
    let words = format!("Followed ID: its worktree is {} now, its branch mine\n", to.display());
    goes_on(&play, &words, "mine");
    play.close();
}

#[test]
fn a_branch_that_is_merely_another_is_not_followed() {
    let play = paused();
    play.git(&["switch", "-q", "-c", "other"]);
    let away = "the worktree of ID is on other, not on agent/mend-the-shop";
    let at = "git -C ROOT/shop.worktrees/mend-the-shop";
    is_refused(&play, &format!("error: {away}\nhint: {at} switch {BRANCH}\n"));
    let head = play.repo.git(&["rev-parse", BRANCH]);
    play.repo.git(&["branch", "-D", BRANCH]);
    is_refused(&play, &format!("error: {away}\nhint: {at} switch -c {BRANCH} {head}\n"));
    assert_eq!(said(&play, &["--fix"], "problem"), [format!("worktree: {away}")]);
    play.git(&["switch", "-q", "-c", BRANCH, &head]);
    goes_on(&play, "", BRANCH);
    play.close();
}

#[test]
fn its_branch_in_a_worktree_of_the_users_is_not_taken() {
    let play = paused();
    fs::remove_dir_all(play.worktree()).unwrap();
    play.repo.git(&["worktree", "prune"]);
    play.repo.git(&["worktree", "add", "-q", "../theirs", BRANCH]);
    is_refused(
        &play,
        "error: the worktree of ID is gone, and its branch is checked out at ROOT/theirs\n\
         hint: git -C ROOT/theirs switch --detach sets the branch free\n",
    );
    let theirs = play.repo.home().root().join("theirs");
    play.repo.home().git(&theirs, &["switch", "-q", "--detach"]);
    let back = format!("Restored the worktree of ID at {}\n", play.worktree().display());
    goes_on(&play, &back, BRANCH);
    play.close();
}

#[test]
fn a_rebase_that_a_user_has_not_finished() {
    let play = paused();
    play.git(&["branch", "side", "main"]);
    play.repo.git(&["worktree", "add", "-q", "../side", "side"]);
    let side = play.repo.home().root().join("side");
    fs::write(side.join("one.txt"), "from the side\n").unwrap();
    play.repo.home().git(&side, &["add", "-A"]);
    play.repo.home().git(&side, &["commit", "-qm", "Side"]);
    play.repo.git(&["worktree", "remove", "../side"]);
    let rebase = play.repo.home().cmd("git").dir(&play.worktree()).args(&["rebase", "side"]).run();
    assert_eq!(rebase.code, 1, "{rebase:?}");
    let at = "git -C ROOT/shop.worktrees/mend-the-shop rebase";
    let busy = "the worktree of ID is in the middle of a rebase";
    is_refused(&play, &format!("error: {busy}\nhint: {at} --continue    {at} --abort\n"));
    assert_eq!(said(&play, &["--fix"], "problem"), [format!("worktree: {busy}")]);
    play.git(&["rebase", "--abort"]);
    goes_on(&play, "", BRANCH);
    play.close();
}

#[test]
fn a_registration_that_is_gone() {
    let play = paused();
    fs::remove_dir_all(play.repo.common_dir().join("worktrees/mend-the-shop")).unwrap();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    is_refused(&play, &format!("error: {CUT_OFF} registered no more\n{FIX}"));
    is_mended(
        &play,
        &format!("worktree: {CUT_OFF} registered no more"),
        "worktree: ROOT/shop.worktrees/mend-the-shop is registered again",
    );
    assert_eq!(play.git(&["status", "--porcelain"]), "?? mine.txt");
    goes_on(&play, "", BRANCH);
    assert_eq!(play.committed("mine.txt"), "mine");
    play.close();
}

#[test]
fn a_link_that_is_gone() {
    let play = paused();
    fs::remove_file(play.worktree().join(".git")).unwrap();
    is_refused(&play, &format!("error: {CUT_OFF} not linked to the repository\n{FIX}"));
    play.repo.git(&["worktree", "repair"]);
    goes_on(&play, "", BRANCH);
    play.close();
}

#[test]
fn something_else_is_in_its_place() {
    let file: &dyn Fn(&Path) = &|path| fs::write(path, "somebody's\n").unwrap();
    let link: &dyn Fn(&Path) = &|path| symlink("/nowhere", path).unwrap();
    for (put, what) in [(file, "a file"), (link, "a symbolic link")] {
        let play = paused();
        fs::remove_dir_all(play.worktree()).unwrap();
        put(&play.worktree());
        is_refused(&play, &format!("error: {CUT_OFF} {what}\n{FIX}"));
        is_mended(
            &play,
            &format!("worktree: {CUT_OFF} {what}"),
            "worktree: ROOT/shop.worktrees/mend-the-shop is back as it was (what was there is \
             ROOT/shop.worktrees/mend-the-shop.aside now)",
        );
        let aside = play.worktree().with_file_name("mend-the-shop.aside");
        assert!(aside.symlink_metadata().is_ok(), "it is kept");
        goes_on(&play, "", BRANCH);
        play.close();
    }
}

#[test]
fn what_was_asked_is_lost_or_torn() {
    for torn in [None, Some("format = 1\nid = \"me")] {
        let play = paused();
        let spec = play.folder().join("spec.toml");
        let whole = fs::read_to_string(&spec).unwrap();
        fs::remove_file(&spec).unwrap();
        if let Some(torn) = torn {
            fs::write(&spec, torn).unwrap();
        }
        let out = play.run("resume", &[]);
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(out.stderr.contains(" cannot be read: ") && out.stderr.ends_with(FIX), "{out:#?}");
        let how = torn.map_or("gone", |_| "damaged");
        is_mended(
            &play,
            &format!("session: spec.toml of ID is {how}"),
            "session: spec.toml of ID is back from its ref",
        );
        assert_eq!(fs::read_to_string(&spec).unwrap(), whole);
        goes_on(&play, "", BRANCH);
        play.close();
    }
}

#[test]
fn what_is_no_session_is_moved_aside() {
    let play = paused();
    let sessions = play.folder().parent().unwrap().to_owned();
    fs::create_dir(sessions.join("notes")).unwrap();
    fs::write(sessions.join("notes/mine.txt"), "mine\n").unwrap();
    fs::write(sessions.join("todo.txt"), "mine too\n").unwrap();
    let shown = play.cmd(&["list"]).run();
    assert!(shown.stderr.ends_with(FIX), "{shown:#?}");
    let found = said(&play, &[], "problem");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(said(&play, &["--fix"], "mended").len(), 2);
    assert_eq!(said(&play, &[], "problem"), Vec::<String>::new());
    assert_eq!(play.cmd(&["list"]).run().stderr, "");
    let stray = sessions.with_file_name("stray");
    let kept = [stray.join("notes/mine.txt"), stray.join("todo.txt")];
    assert_eq!(kept.map(|path| fs::read_to_string(path).unwrap()), ["mine\n", "mine too\n"]);
    goes_on(&play, "", BRANCH);
    play.close();
}
