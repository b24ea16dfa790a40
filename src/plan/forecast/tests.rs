//! The forecast in real repositories, beside `git merge-tree`.
//!
//! Invariant: what is known is shown to be used by making it say what is not true.

use fs_err as fs;

use super::*;
use crate::session::testing::Bench;

const TEN: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

fn look(bench: &Bench) -> Forecast {
    let sessions = bench.store.list().unwrap().sessions.into_iter();
    let with_state = sessions.map(|session| {
        let state = session.state().unwrap();
        (session, state)
    });
    super::look(&bench.repo(), &with_state.collect::<Vec<_>>()).unwrap()
}

fn colliding(forecast: &Forecast) -> Vec<String> {
    let all = forecast.pairs.iter().chain(&forecast.targets);
    let some = all.filter(|pair| pair.conflict.is_some());
    some.map(|pair| format!("{}×{}", pair.a, pair.b).replace("-7f3k", "")).collect()
}

fn standing(bench: &Bench) -> Vec<(String, Vec<String>)> {
    let sessions = bench.store.list().unwrap().sessions;
    let found = super::standing(&bench.repo(), &sessions).into_iter();
    let mut found: Vec<_> = found.map(|(id, it)| (id, it.collides)).collect();
    found.sort();
    found
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.git.commit(&[("ten", TEN)]);
    bench
}

#[test]
fn it_says_which_lines_and_who_changed_them() {
    let bench = bench();
    bench.finished("one", &[("ten", &TEN.replace("4\n5\n", "four\nfive\n"))]);
    bench.finished("two", &[("ten", &TEN.replace("3\n4\n", "drei\nvier\nmehr\n"))]);
    bench.finished("three", &[("ten", &TEN.replace("10\n", "ten\n"))]);
    let forecast = look(&bench);
    assert_eq!(colliding(&forecast), ["one×two"]);
    let files = forecast.pairs[0].conflict.clone().unwrap();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(file.to_string(), "ten:4-5");
    assert_eq!(file.hunks[0].b, Span { start: 3, lines: 3 });
    let by = |name: &str| {
        let commit = bench.tip(&format!("agent/{name}")).to_string();
        let subject = bench.git.git(&["log", "-1", "--format=%s", &commit]);
        Some(By { commit, author: "Ada Person".to_owned(), subject })
    };
    assert_eq!((&file.a_by, &file.b_by), (&by("one"), &by("two")));
    assert_eq!(forecast.order, ["one-7f3k", "three-7f3k", "two-7f3k"]);
}

#[test]
fn what_has_not_moved_is_not_found_out_again_and_what_has_is() {
    let bench = bench();
    let one = bench.finished("one", &[("ten", &TEN.replace('4', "four"))]);
    let two = bench.finished("two", &[("ten", &TEN.replace('4', "vier"))]);
    assert_eq!(standing(&bench), []);
    assert_eq!(colliding(&look(&bench)), ["one×two"]);
    let with = |id: &str, others: &[&str]| {
        (format!("{id}-7f3k"), others.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(standing(&bench), [with("one", &["two-7f3k"]), with("two", &["one-7f3k"])]);
    // What is known is believed, as long as nothing has moved.
    let file = bench.git.root.join(".git/agent/forecast");
    let text = fs::read_to_string(&file).unwrap();
    let lie = |text: &str| {
        let (head, _) = text.split_once('\n').unwrap();
        let mut head: serde_json::Value = serde_json::from_str(head).unwrap();
        head["colliding"] = serde_json::json!([]);
        let clean = r#"[["one-7f3k","two-7f3k"],["one-7f3k","refs/heads/main"]]"#;
        fs::write(&file, format!("{head}\n{clean}\n")).unwrap();
    };
    lie(&text);
    assert_eq!(colliding(&look(&bench)), Vec::<String>::new());
    // A commit of a person's on the branch, which no state tells of.
    bench.git.git_in(&two.spec.worktree, &["add", "-A"]);
    bench.git.git_in(&two.spec.worktree, &["commit", "-q", "--allow-empty", "-m", "by hand"]);
    assert_eq!(colliding(&look(&bench)), ["one×two"]);
    lie(&fs::read_to_string(&file).unwrap());
    bench.git.commit(&[("ten", &TEN.replace('4', "quattro"))]);
    assert_eq!(colliding(&look(&bench)), ["one×main", "two×main"]);
    // Other settings, another answer.
    lie(&fs::read_to_string(&file).unwrap());
    bench.git.git(&["config", "merge.renames", "false"]);
    assert_eq!(colliding(&look(&bench)), ["one×two", "one×main", "two×main"]);
    fs::write(&file, "{\n").unwrap();
    assert_eq!(standing(&bench), []);
    assert_eq!(colliding(&look(&bench)), ["one×two", "one×main", "two×main"]);
    assert_eq!(
        neighbours(&bench.repo(), &one, &bench.store.list().unwrap().sessions)
            .unwrap()
            .into_iter()
            .map(|pair| (pair.a, pair.b))
            .collect::<Vec<_>>(),
        [("one-7f3k".to_owned(), "two-7f3k".to_owned())]
    );
}

#[test]
fn l07_what_a_forge_has_squashed_is_known_and_collides_with_nobody() {
    let bench = bench();
    bench.finished("one", &[("ten", &TEN.replace('4', "four"))]);
    bench.finished("two", &[("ten", &TEN.replace('4', "vier"))]);
    bench.git.git(&["merge", "-q", "--squash", "agent/one"]);
    bench.git.git(&["commit", "-qm", "One (#1)"]);
    let commit = bench.tip("main").to_string();
    bench.git.commit(&[("ten", &TEN.replace('4', "quattro"))]);
    let (session, branch) = ("one-7f3k".to_owned(), "refs/heads/main".to_owned());
    for _ in 0..2 {
        let forecast = look(&bench);
        assert_eq!(colliding(&forecast), ["two×main"]);
        let (session, branch, commit) = (session.clone(), branch.clone(), commit.clone());
        assert_eq!(forecast.landed, [Brought { session, branch, commit }]);
        assert_eq!(forecast.order, ["two-7f3k"]);
    }
    let sessions = bench.store.list().unwrap().sessions;
    let on = super::standing(&bench.repo(), &sessions).remove(&session).unwrap().on;
    assert_eq!(on.as_deref(), Some("main"));
}
