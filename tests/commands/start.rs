//! What keeps a session from being started: one line, a hint, the exit code, and nothing left.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::{patient, quick, refused, refused_cmd, said, transcript};
use crate::support::home::Home;
use crate::support::repo::{Repo, Shape};

#[test]
fn no_model_is_chosen() {
    let repo = Repo::new();
    refused(
        &repo,
        &["start", "do it"],
        1,
        "error: no model is chosen: neither --model nor agent.model is set; no key in \
         ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, OPENAI_API_KEY, OPENROUTER_API_KEY, \
         agent.<provider>.keyCommand or git's credentials\n\
         hint: git agent start \"…\" --model ollama/<model> asks a local server\n\
         hint: git agent doctor shows what this machine has; git agent demo needs no model\n",
    );
    // A key that is found is named, and not shown.
    refused_cmd(
        &repo,
        repo.cmd(&["start", "do it"]).env("ANTHROPIC_API_KEY", "sk-ant-secret"),
        1,
        "error: no model is chosen: neither --model nor agent.model is set\n\
         hint: git config --global agent.model anthropic/<model> uses ANTHROPIC_API_KEY\n\
         hint: git agent doctor shows what this machine has; git agent demo needs no model\n",
    );
}

#[test]
fn a_model_that_there_is_none_of() {
    let repo = Repo::new();
    let known = "the known ones are anthropic, openai, chat, openrouter, ollama, lmstudio, \
                 llamacpp, vllm, replay, exec";
    let choose = "hint: git config --global agent.model anthropic/<model>, or --model";
    refused(
        &repo,
        &["start", "x", "--model", "antropic/x"],
        2,
        &format!(
            "error: provider 'antropic' is not known; {known}\nhint: Did you mean anthropic/…?\n"
        ),
    );
    refused(
        &repo,
        &["start", "x", "--model", "foo/x"],
        2,
        &format!("error: provider 'foo' is not known; {known}\n{choose}\n"),
    );
    refused(
        &repo,
        &["start", "x", "--model", "gpt-9"],
        2,
        &format!(
            "error: model 'gpt-9' names no provider; write it as provider/model, e.g. openai/gpt-9\n{choose}\n"
        ),
    );
    refused(
        &repo,
        &["start", "x", "--model", "openai/"],
        2,
        &format!("error: 'openai/' names no model\n{choose}\n"),
    );
    repo.git(&["config", "agent.model", "nothing"]);
    refused(
        &repo,
        &["start", "x"],
        2,
        &format!(
            "error: model 'nothing' names no provider; write it as provider/model, e.g. ollama/nothing\n{choose}\n"
        ),
    );
}

#[test]
fn a_transcript_that_is_not_there() {
    let repo = Repo::new();
    refused(
        &repo,
        &["start", "x", "--model", "replay/nope.jsonl"],
        2,
        "error: cannot read the transcript: failed to open file `[ROOT]/shop/nope.jsonl`: No such \
         file or directory\nhint: git agent log SESSION --record FILE writes one\n",
    );
}

#[test]
fn a_key_that_is_nowhere() {
    let repo = Repo::new();
    refused(
        &repo,
        &["start", "x", "--model", "anthropic/m"],
        1,
        "error: no key for anthropic at https://api.anthropic.com; looked for ANTHROPIC_API_KEY, \
         ANTHROPIC_AUTH_TOKEN, agent.anthropic.keyCommand, git credential for \
         https://api.anthropic.com\n\
         hint: Set ANTHROPIC_API_KEY; git agent doctor shows what there is\n",
    );
    repo.git(&["config", "agent.openai.keyCommand", "echo nothing >&2; exit 7"]);
    let out = repo.agent(&["start", "x", "--model", "openai/m"]);
    assert_eq!(out.code, 1);
    assert!(out.stderr.contains("agent.openai.keyCommand"), "{}", out.stderr);
    assert!(
        out.stderr.contains("\nhint: git config --show-origin --get agent.openai.keyCommand\n")
    );
}

/// `start` on this model, with these arguments.
fn by<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["start", "--model", model], more].concat()
}

#[test]
fn a_place_that_is_taken() {
    let repo = Repo::new();
    let model = quick(&repo);
    repo.git(&["branch", "taken"]);
    refused(
        &repo,
        &by(&model, &["x", "--branch", "taken"]),
        2,
        "error: branch 'taken' exists\n\
         hint: --branch NAME names another; git branch --list shows them\n",
    );
    repo.git(&["worktree", "add", "-q", "../elsewhere", "taken"]);
    refused(
        &repo,
        &by(&model, &["x", "--branch", "taken"]),
        2,
        "error: branch 'taken' exists, checked out at [ROOT]/elsewhere\n\
         hint: --branch NAME names another; git branch --list shows them\n",
    );
    refused(
        &repo,
        &by(&model, &["x", "--branch", "main"]),
        2,
        "error: branch 'main' exists, checked out at [ROOT]/shop\n\
         hint: --branch NAME names another; git branch --list shows them\n",
    );
    refused(
        &repo,
        &by(&model, &["x", "--branch", "taken/part"]),
        2,
        "error: branch 'taken/part' cannot be made beside branch 'taken'\n\
         hint: --branch NAME names another; agent.branchPrefix sets one for all sessions\n",
    );
    fs::create_dir_all(repo.home().root().join("shop.worktrees/full")).unwrap();
    refused(
        &repo,
        &by(&model, &["x", "--worktree", "full"]),
        2,
        "error: [ROOT]/shop.worktrees/full exists\n\
         hint: --worktree NAME names another; nothing there was touched\n",
    );
    let names = [("a..b", "it contains '..'"), ("-x", "it begins with '-'")];
    for (name, why) in names {
        refused(
            &repo,
            &by(&model, &["x", &format!("--branch={name}")]),
            2,
            &format!(
                "error: \"{name}\" is not a valid name: {why}\nhint: Letters, digits, - and . are always fine\n"
            ),
        );
    }
    refused(
        &repo,
        &by(&model, &["x", "--worktree", "../out"]),
        2,
        "error: \"../out\" is not a valid name: it contains '/'\n\
         hint: Letters, digits, - and . are always fine\n",
    );
}

#[test]
fn a_branch_named_agent_is_in_nobodys_way() {
    let repo = Repo::new();
    let model = quick(&repo);
    repo.git(&["branch", "agent"]);
    let out = repo.agent(&["start", "say hi", "--model", &model, "--wait"]);
    assert_eq!(
        repo.normal(&out).stdout,
        "Started say-hi-[id]  (branch agent-say-hi, worktree ../shop.worktrees/say-hi)\n"
    );
    repo.assert_whole();
}

#[test]
fn a_base_that_is_none() {
    let repo = Repo::new();
    let model = quick(&repo);
    for base in ["nope", "HEAD~99", "HEAD:README.md", "--upload-pack=x", "@{-1}"] {
        refused(
            &repo,
            &["start", "x", "--model", &model, &format!("--base={base}")],
            2,
            &format!("error: '{base}' is not a commit\nhint: git log --oneline --all\n"),
        );
    }
}

#[test]
fn no_commit_no_repository_no_folder() {
    let home = Arc::new(Home::new());
    let repo = Repo::in_home(Arc::clone(&home), Shape::Plain);
    let model = quick(&repo);
    let empty = home.root().join("empty");
    fs::create_dir(&empty).unwrap();
    for verb in [&["list"][..], &["status"], &["start", "x", "--model", &model], &["say", "x", "y"]]
    {
        refused_cmd(
            &repo,
            repo.cmd(verb).dir(&empty),
            2,
            "error: not a git repository: [ROOT]/empty\n\
             hint: cd to a repository, or name it with -C DIR; git init makes one\n",
        );
    }
    home.git(&empty, &["init", "-q"]);
    refused_cmd(
        &repo,
        repo.cmd(&["start", "x", "--model", &model]).dir(&empty),
        1,
        "error: there is no commit to start from yet\n\
         hint: git commit --allow-empty -m \"Begin\" makes the first\n",
    );
    refused_cmd(
        &repo,
        repo.cmd(&["-C", "../nowhere", "list"]),
        2,
        "error: cannot change to '../nowhere': No such file or directory\n\
         hint: -C takes a folder that is there\n",
    );
}

#[test]
fn nobody_to_commit_as() {
    let repo = Repo::new();
    let model = quick(&repo);
    fs::write(repo.home().root().join("home/.gitconfig"), "[user]\n\tuseConfigOnly = true\n")
        .unwrap();
    refused(
        &repo,
        &["start", "x", "--model", &model],
        1,
        "error: the author of commits is not known: no email was given and auto-detection is \
         disabled\n\
         hint: git config --global user.name \"…\"; git config --global user.email …\n",
    );
}

#[test]
fn a_task_that_is_no_text() {
    let repo = Repo::new();
    let model = quick(&repo);
    let how = "hint: Give it as an argument, with -F FILE, or with - on standard input\n";
    let empty = format!("error: the text is empty, so nothing was done\n{how}");
    refused(&repo, &by(&model, &[""]), 2, &empty);
    refused(&repo, &by(&model, &[" \n "]), 2, &empty);
    refused(&repo, &by(&model, &["-"]), 2, &empty);
    refused(&repo, &by(&model, &[]), 2, &format!("error: there is no text\n{how}"));
    refused(
        &repo,
        &by(&model, &["-F", "nope.md"]),
        2,
        "error: failed to open file `nope.md`: No such file or directory\n\
         hint: -F - reads standard input\n",
    );
    fs::write(repo.home().root().join("latin1"), b"caf\xe9").unwrap();
    refused(
        &repo,
        &by(&model, &["-F", "../latin1"]),
        2,
        "error: the text is not UTF-8, from byte 4 on\n\
         hint: iconv -f LATIN1 -t UTF-8 FILE converts it; name what it is in, if not Latin-1\n",
    );
    fs::write(repo.home().root().join("long"), "a".repeat((1 << 20) + 1)).unwrap();
    refused(
        &repo,
        &by(&model, &["-F", "../long"]),
        2,
        "error: the text is longer than 1 MiB\n\
         hint: Name the file in a short text instead: the agent can read it\n",
    );
}

#[test]
fn a_setup_that_fails_or_is_killed() {
    let repo = Repo::new();
    let model = quick(&repo);
    let nothing = "hint: git config --show-origin --get agent.setup; nothing was kept\n";
    let cases = [
        ("echo all; echo broken >&2; touch made; exit 3", "exit code 3: broken"),
        ("kill -9 $$", "exit code 137"),
    ];
    for (setup, how) in cases {
        repo.git(&["config", "agent.setup", setup]);
        refused(
            &repo,
            &["start", "x", "--model", &model],
            1,
            &format!("error: agent.setup ended with {how}\n{nothing}"),
        );
    }
    repo.assert_whole();
}

#[test]
fn settings_that_make_no_sense() {
    let repo = Repo::new();
    let model = quick(&repo);
    repo.git(&["config", "agent.maxSteps", "few"]);
    refused(
        &repo,
        &["start", "x", "--model", &model],
        2,
        "error: bad value 'few' for agent.maxSteps (file:[ROOT]/shop/.git/config): expected a number \
         of steps from 1, or none\nhint: git config --show-origin --get-all agent.maxSteps\n",
    );
    repo.git(&["config", "--unset", "agent.maxSteps"]);
    repo.git(&["config", "agent.worktreePath", "all/in/one"]);
    refused(
        &repo,
        &["start", "x", "--model", &model],
        2,
        "error: bad value 'all/in/one' for agent.worktreePath (file:[ROOT]/shop/.git/config): \
         expected a path with {name} in it, so that each session has its own\n\
         hint: git config --show-origin --get-all agent.worktreePath\n",
    );
    repo.git(&["config", "--unset", "agent.worktreePath"]);
    repo.git(&["config", "agent.verfy", "true"]);
    said(
        &repo,
        &["start", "x", "--model", &model, "--dry-run"],
        0,
        &format!(
            "Would start a session on branch agent/x, in ../shop.worktrees/x\n  \
             base     main ([oid])\n  model    replay/quick.jsonl at [ROOT]/quick.jsonl\n  \
             verify   none\n  sandbox  {}\n  limits   budget $5.00, 2 h, 200 steps\n",
            "[level]"
        ),
        "warning: unknown setting agent.verfy (file:[ROOT]/shop/.git/config); did you mean \
         agent.verify?\n",
    );
}

#[test]
fn plain_http_to_another_machine() {
    let repo = Repo::new();
    let cmd = repo
        .cmd(&["start", "x", "--model", "anthropic/m"])
        .env("ANTHROPIC_BASE_URL", "http://example.org")
        .env("ANTHROPIC_API_KEY", "sk-ant-secret");
    refused_cmd(
        &repo,
        cmd,
        2,
        "error: ANTHROPIC_BASE_URL is plain http to example.org; only this machine itself is talked \
         to without TLS\nhint: An address begins with https://, or http:// on this machine\n",
    );
}

#[test]
fn what_is_not_copied_is_said_and_the_session_starts() {
    let repo = Repo::new();
    repo.write(".worktreeinclude", "*.tmp\n[z-a\nREADME.md\n");
    repo.commit("Include");
    repo.write("kept.tmp", "kept\n");
    let model = patient(&repo);
    let out = repo.agent(&["start", "say hi", "--model", &model]);
    super::go(&repo);
    let out = repo.normal(&out);
    assert_eq!(out.code, 0);
    assert!(out.stderr.contains("\n  copied kept.tmp\n"), "{}", out.stderr);
    assert!(out.stderr.contains("\nwarning: .worktreeinclude, line 2"), "{}", out.stderr);
    repo.wait_state("say-hi", "done", super::PATIENCE);
}

#[test]
fn a_dry_run_and_a_start_say_what_they_do() {
    let repo = Repo::new();
    let model = transcript(&repo, "one.jsonl", &[json!("Nothing to do.")]);
    let started = "Started say-hi-[id]  (branch agent/say-hi, worktree ../shop.worktrees/say-hi)\n";
    said(
        &repo,
        &["start", "say", "hi", "--model", &model, "--wait"],
        0,
        started,
        "  base main ([oid]) · model replay/one.jsonl · sandbox [level]\n\
         \x20 budget $5.00, 2 h, 200 steps\n\
         \x20 no price is known for replay/one.jsonl: tokens are counted, money is not\n\
         hint: git agent log -f say-hi-[id]    git agent status say-hi-[id]\n\
         say-hi-[id] is done\n",
    );
    repo.assert_whole();
}
