//! `answer`, `approve` and `deny`: who asks, who does not, and what is asked.

use super::{PATIENCE, curious, patient, quick, ran, refused, said, transcript};
use crate::flow::play::until;
use crate::support::repo::Repo;
use serde_json::json;

/// A session that has reached its limit of one step.
fn limited(repo: &Repo, task: &str) {
    let read = json!(["read", {"file_path": "README.md"}]);
    let model = transcript(repo, "limited.jsonl", &[read, json!("All is done.")]);
    ran(repo, task, &model, &["--max-steps", "1"]);
}

#[test]
fn a_question_is_answered_by_what_it_asks_for() {
    let repo = Repo::new();
    ran(&repo, "ask me", &curious(&repo), &[]);
    limited(&repo, "limit me");
    for verb in ["approve", "deny"] {
        refused(
            &repo,
            &[verb, "ask-me"],
            1,
            "error: ask-me-[id] asks for words: Which store?\n\
             hint: git agent answer ask-me-[id] \"…\"\n",
        );
    }
    let limit = "the limit of 1 step is reached; approve adds another 1 step";
    refused(
        &repo,
        &["answer", "limit-me", "yes"],
        1,
        &format!(
            "error: limit-me-[id] asks for yes or no: {limit}\n\
             hint: git agent approve limit-me-[id]    git agent deny limit-me-[id]\n"
        ),
    );
    refused(
        &repo,
        &["answer", "ask-me", ""],
        2,
        "error: the text is empty, so nothing was done\n\
         hint: Give it as an argument, with -F FILE, or with - on standard input\n",
    );
    let listed = repo.agent(&["list"]).success();
    assert!(listed.contains("Which store?") && listed.contains(limit), "{listed}");
    said(&repo, &["answer", "ask-me", "Redis"], 0, "", "Answered ask-me-[id], which goes on\n");
    said(&repo, &["approve", "limit-me"], 0, "", "Approved limit-me-[id], which goes on\n");
    repo.wait_state("ask-me", "done", PATIENCE);
    repo.wait_state("limit-me", "done", PATIENCE);
    repo.assert_whole();
}

#[test]
fn where_nothing_is_asked_nothing_is_answered() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let nothing =
        "error: say-hi-[id] asks nothing: it is done\nhint: git agent status say-hi-[id]\n";
    refused(&repo, &["approve", "say-hi"], 1, nothing);
    refused(&repo, &["approve", "--always", "say-hi"], 1, nothing);
    refused(&repo, &["deny", "say-hi", "never"], 1, nothing);
    refused(&repo, &["answer", "say-hi", "15"], 1, nothing);
    let none = |verb| format!("Nothing to {verb}: no session asks for yes or no\n");
    refused(&repo, &["approve", "--all"], 0, &none("approve"));
    refused(&repo, &["deny", "--all", "no", "money"], 0, &none("deny"));
    refused(&repo, &["approve", "nope"], 2, "error: no session 'nope'\nhint: git agent list\n");
    let missing = "error: the following required arguments were not provided: <SESSION>\n\
                   hint: git agent deny -h\n";
    refused(&repo, &["deny"], 2, missing);
    refused(
        &repo,
        &["approve", "--all", "say-hi"],
        2,
        "error: the argument '--all' cannot be used with '[SESSION]...'\n\
         hint: git agent approve -h\n",
    );
}

#[test]
fn several_and_all_are_decided() {
    let repo = Repo::new();
    for task in ["limit one", "limit two", "limit three", "limit four"] {
        limited(&repo, task);
    }
    ran(&repo, "ask me", &curious(&repo), &[]);
    said(
        &repo,
        &["approve", "limit-one", "ask-me", "limit-two"],
        1,
        "",
        "Approved limit-one-[id], which goes on\n\
         error: ask-me-[id] asks for words: Which store?\n\
         hint: git agent answer ask-me-[id] \"…\"\n\
         Approved limit-two-[id], which goes on\n",
    );
    repo.wait_state("limit-one", "done", PATIENCE);
    repo.wait_state("limit-two", "done", PATIENCE);
    let denied = |id: &str| {
        format!(
            "Denied {id}-[id], which pauses\n\
             hint: git agent resume {id}-[id] asks again    git agent stop {id}-[id]\n"
        )
    };
    said(&repo, &["deny", "-s", "limit-three", "not", "now"], 0, "", &denied("limit-three"));
    said(&repo, &["deny", "--all"], 0, "", &denied("limit-four"));
    for task in ["limit-three", "limit-four"] {
        repo.wait_state(task, "paused", PATIENCE);
    }
    let reason = "the limit of 1 step is reached, and more was denied: not now";
    let listed = repo.agent(&["list"]).success();
    assert!(listed.contains(reason), "{listed}");
    repo.assert_whole();
}

#[test]
fn a_limit_is_denied_on_the_spot() {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxRunning", "1"]);
    limited(&repo, "limit me");
    // The only slot is taken: nobody need run the session for it to pause.
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    repo.agent(&["deny", "limit-me", "too", "dear;", "really"]).success();
    let status = repo.agent(&["status", "limit-me", "--json"]).success();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let reason = "the limit of 1 step is reached, and more was denied: too dear; really";
    assert_eq!((&status["state"], &status["reason"]), (&json!("paused"), &json!(reason)));
    refused(
        &repo,
        &["deny", "limit-me"],
        1,
        "error: limit-me-[id] asks nothing: it is paused\nhint: git agent status limit-me-[id]\n",
    );
    super::go(&repo);
    repo.wait_state("wait-here", "done", PATIENCE);
    // It asks again, and goes on once it may.
    repo.agent(&["resume", "limit-me"]).success();
    repo.wait_state("limit-me", "needs-input", PATIENCE);
    repo.agent(&["approve", "limit-me"]).success();
    repo.wait_state("limit-me", "done", PATIENCE);
    repo.assert_whole();
}

#[test]
fn several_and_all_are_answered() {
    let repo = Repo::new();
    // Those that have just ended may hold their slots still.
    repo.git(&["config", "agent.maxRunning", "8"]);
    let done = "Nothing to answer: no session asks for words\n";
    refused(&repo, &["answer", "--all", "Redis"], 0, done);
    for task in ["ask one", "ask two", "ask three", "ask four"] {
        ran(&repo, task, &curious(&repo), &[]);
    }
    limited(&repo, "limit me");
    let answered = |name: &str| format!("Answered {name}-[id], which goes on\n");
    let limit = "error: limit-me-[id] asks for yes or no: the limit of 1 step is reached; \
                 approve adds another 1 step\n\
                 hint: git agent approve limit-me-[id]    git agent deny limit-me-[id]\n";
    let nope = "error: no session 'nope'\nhint: git agent list\n";
    // Whoever cannot be answered is told first; the others are answered all the same.
    said(
        &repo,
        &["answer", "-s", "ask-one", "-s", "limit-me", "-s", "nope", "-s", "ask-two", "Redis"],
        2,
        "",
        &[limit, nope, &answered("ask-one"), &answered("ask-two")].concat(),
    );
    for task in ["ask-one", "ask-two"] {
        repo.wait_state(task, "done", PATIENCE);
    }
    until("their supervisors have ended", || repo.home().processes().is_empty());
    // Nothing is sent where there is no text, and none that asks for yes or no is meant by --all.
    let empty = "error: the text is empty, so nothing was done\n\
                 hint: Give it as an argument, with -F FILE, or with - on standard input\n";
    refused(&repo, &["answer", "--all", " "], 2, empty);
    let all = [answered("ask-three"), answered("ask-four")].concat();
    said(&repo, &["answer", "--all", "Redis", "7"], 0, "", &all);
    for task in ["ask-three", "ask-four"] {
        repo.wait_state(task, "done", PATIENCE);
    }
    until("their supervisors have ended", || repo.home().processes().is_empty());
    refused(&repo, &["answer", "--all", "Redis"], 0, done);
    let log = repo.agent(&["log", "ask-three"]).success();
    assert!(log.contains("Redis 7"), "{log}");
    repo.assert_whole();
}

#[test]
fn several_and_all_are_told() {
    let repo = Repo::new();
    ran(&repo, "all done", &quick(&repo), &[]);
    refused(&repo, &["say", "--all", "hello"], 0, "Nobody to tell: every session has ended\n");
    ran(&repo, "ask me", &curious(&repo), &[]);
    limited(&repo, "limit me");
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    said(
        &repo,
        &["say", "--all", "--after-turn", "use", "tabs"],
        0,
        "",
        "Told ask-me-[id], which reads it once its question is answered\n\
         hint: git agent answer ask-me-[id] \"…\"\n\
         Told limit-me-[id], which reads it once its question is answered\n\
         hint: git agent approve limit-me-[id]    git agent deny limit-me-[id]\n\
         Told wait-here-[id], which reads it after this turn\n",
    );
    said(
        &repo,
        &["say", "-s", "wait-here", "-s", "limit-me", "--after-step", "and be quick"],
        0,
        "",
        "Told wait-here-[id], which reads it after this step\n\
         Told limit-me-[id], which reads it once its question is answered\n\
         hint: git agent approve limit-me-[id]    git agent deny limit-me-[id]\n",
    );
    refused(
        &repo,
        &["say", "wait-here", "--now", "--after-turn", "x"],
        2,
        "error: the argument '--now' cannot be used with '--after-turn'\nhint: git agent say -h\n",
    );
    refused(
        &repo,
        &["say", "-s", "wait-here", "-F", "text", "word"],
        2,
        "error: the text is given twice, as words and with -F\n\
         hint: Give it as an argument, with -F FILE, or with - on standard input\n",
    );
    super::go(&repo);
    repo.agent(&["stop", "--all", "--kill"]);
}

#[test]
fn amounts_that_make_no_sense() {
    let repo = Repo::new();
    let dollars = "expected US dollars above 0, such as 5, 2.50 or $5";
    let cases: &[(&str, &str, String)] = &[
        ("--budget", "0", format!("'0' for '--budget <DOLLARS>': {dollars}, or none")),
        (
            "--budget",
            "",
            format!("'' for '--budget <DOLLARS>': {dollars} (in quotes: '$5'), or none"),
        ),
        ("--budget", "much", format!("'much' for '--budget <DOLLARS>': {dollars}, or none")),
        (
            "--max-tokens",
            "2x",
            "'2x' for '--max-tokens <TOKENS>': expected tokens, such as 500k or [time], or none"
                .into(),
        ),
        (
            "--timeout",
            "90",
            "'90' for '--timeout <TIME>': expected a time, such as [time] or [time], or none"
                .into(),
        ),
        (
            "--max-steps",
            "-1",
            "'-1' for '--max-steps <STEPS>': expected a number of steps from 1, or none".into(),
        ),
        (
            "--max-steps",
            "0",
            "'0' for '--max-steps <STEPS>': expected a number of steps from 1, or none".into(),
        ),
    ];
    for (flag, value, said) in cases {
        for verb in ["start", "resume"] {
            let wanted = format!("error: invalid value {said}\nhint: git agent {verb} -h\n");
            refused(&repo, &[verb, "x", flag, value], 2, &wanted);
        }
    }
    let model = quick(&repo);
    refused(
        &repo,
        &["start", "x", "--model", &model, "--share-budget", "a b"],
        2,
        "error: \"a b\" is not a valid name: it contains a space, a control character or one of \
         ~^:?*[\\\n\
         hint: Letters, digits, - and . are always fine\n",
    );
    refused(
        &repo,
        &["start", "x", "--model", &model, "--share-budget", "both", "--budget", "none"],
        2,
        "error: the shared budget both has no amount\nhint: --budget DOLLARS\n",
    );
}
