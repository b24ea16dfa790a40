//! Several attempts at one task: made, compared, gated, and one of them picked.
//!
//! Invariant: what became of an attempt is read with git, and what it measured from what it wrote.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::journey::{plainly, run, told};
use super::play::Play;
use super::worktree::bash_script;
use crate::commands::transcript;
use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn};

const PATIENCE: Duration = Duration::from_secs(60);

/// Three attempts at one task, each by an approach of its own, and what the second does is right.
fn three(repo: &Repo) -> (Out, Server) {
    let attempt = |needle: &str, command: &str| {
        let script = bash_script(command);
        script.for_task(&format!("Take this approach: {needle}"))
    };
    let server = Server::start_many(vec![
        attempt("shout", "echo HELLO >greeting && echo loud >>README.md"),
        attempt("whisper", "echo hello >greeting"),
        attempt("mumble", "echo h... >greeting && echo x >other"),
    ]);
    let dialect = Dialect::Anthropic;
    let start = ["start", "Write a greeting", "--model", dialect.model(), "--wait"];
    let approaches = ["--approach", "shout", "--approach", "whisper", "--approach", "mumble"];
    let verify = ["--verify", "echo 'test result: ok. 2 passed; 0 failed;'"];
    let args = [&start[..], &approaches, &verify].concat();
    let out = repo.cmd(&args).envs(server.env(dialect)).run();
    (out, server)
}

#[test]
fn ctrl_c_leaves_all_attempts_at_work() {
    let repo = Repo::new();
    let go = repo.home().root().join("go");
    let wait = format!(
        "touch ../begun-$(basename $PWD); until test -e '{}'; do sleep 0.02; done",
        go.display()
    );
    let answers = [json!(["bash", {"command": wait}]), json!("Done.")];
    let model = transcript(&repo, "model.jsonl", &answers);
    // What sh runs beside itself heeds no Ctrl-C before it has said what to do about one.
    let script =
        "\"$@\" & until test $(ls ../shop.worktrees | grep -c begun-) = 3; do sleep 0.05; done
        while kill -INT $! 2>/dev/null; do sleep 0.2; done; wait $!";
    let program = repo.home().program().to_str().expect("a path of ours");
    let start = ["start", "Wait here", "-n", "3", "--model", &model, "--wait"];
    let args = [&["-c", script, "sh", program][..], &start].concat();
    let out = repo.normal(&repo.home().cmd("sh").dir(repo.dir()).args(&args).run());
    assert_eq!(out.code, 130, "{out:#?}");
    let left = "Left the view; wait-here-[id], wait-here-[id], wait-here-[id] go on\n\
                hint: git agent list    git agent pause wait-here-[id] wait-here-[id] \
                wait-here-[id]\n";
    assert!(out.stderr.ends_with(left), "{out:#?}");
    fs::write(go, "").expect("a new file");
    for id in ids(&repo) {
        repo.wait_state(&id, "done", PATIENCE);
    }
}

#[test]
fn the_page_is_shown_in_the_browser_that_git_or_the_environment_names() {
    let repo = Repo::new();
    let (out, server) = three(&repo);
    server.finish();
    assert_eq!(out.code, 0, "{out:#?}");
    let root = repo.home().root();
    let seen = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let browser = |name: &str| format!("echo >{}/{name}", root.display());
    let page = repo.common_dir().join("agent/compare.html");
    let wrote = format!("Wrote {} (3 attempts)\n", page.display());
    let web = |cmd: Cmd| {
        let out = cmd.run();
        assert_eq!(out.code, 0, "{out:#?}");
        assert!(out.stderr.starts_with(&wrote), "{out:#?}");
    };
    let args = ["compare", "write-a-greeting", "--web"];
    web(repo.cmd(&args).env("BROWSER", browser("named") + ":other"));
    assert_eq!(seen("named"), format!("{}\n", page.display()));
    assert!(fs::read_to_string(&page).expect("it is written").starts_with("<!doctype html>"));
    // What git is told goes first, as for git help --web.
    repo.git(&["config", "web.browser", "mine"]);
    repo.git(&["config", "browser.mine.cmd", &browser("git")]);
    web(repo.cmd(&args).env("BROWSER", "false"));
    assert_eq!(seen("git"), format!("{}\n", page.display()));
    // Without one the path is said all the same.
    repo.git(&["config", "browser.mine.cmd", "false"]);
    let out = repo.agent(&args);
    assert_eq!(out.code, 1, "{out:#?}");
    let hint = format!("error: git knows no browser here\nhint: Open {} in one\n", page.display());
    assert!(out.stderr.contains(&hint), "{out:#?}");
}

fn compared(repo: &Repo, args: &[&str]) -> Value {
    let out = repo.agent(&[&["compare", "--json"], args].concat());
    assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{out:#?}");
    serde_json::from_str(&out.stdout).expect("JSON")
}

fn ids(repo: &Repo) -> Vec<String> {
    let list = repo.agent(&["list", "--json"]).success();
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let sessions = list["sessions"].as_array().expect("a list");
    sessions.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn three_attempts_are_compared_and_one_is_picked() {
    let repo = Repo::new();
    let (out, server) = three(&repo);
    server.finish();
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(
        out.stderr.starts_with("Making 3 attempts at one task: Write a greeting\n"),
        "{out:#?}"
    );
    assert_eq!(out.stdout.lines().count(), 3, "{out:#?}");
    let names = ["write-a-greeting", "write-a-greeting-2", "write-a-greeting-3"];
    let attempts = names.map(|name| told(&repo, name)["attempt"].clone());
    let group = attempts[0]["group"].as_str().expect("a group").to_owned();
    let attempt = |number: u32, approach: &str| json!({"group": group, "number": number, "of": 3, "approach": approach});
    let approaches = [attempt(1, "shout"), attempt(2, "whisper"), attempt(3, "mumble")];
    assert_eq!(attempts, approaches);

    // The group, one of them, and all by name: the same is compared.
    let said = compared(&repo, &[&group]);
    assert_eq!(said["format"], 1);
    assert_eq!(compared(&repo, &names[..1]), said);
    assert_eq!(compared(&repo, &names), said);
    let sides = said["sides"].as_array().expect("a list");
    let fact = |key: &str| sides.iter().map(|side| side[key].clone()).collect::<Vec<_>>();
    assert_eq!(fact("files"), [json!(2), json!(1), json!(2)]);
    assert_eq!(fact("tests"), vec![json!({"passed": 2, "failed": 0}); 3]);
    assert_eq!(fact("target"), vec![json!("main"); 3]);
    let with = |side: &Value| {
        let conflicts = side["conflicts"].as_array().expect("a list").iter();
        conflicts.map(|it| (it["with"].clone(), it["files"].clone())).collect::<Vec<_>>()
    };
    let all = ids(&repo);
    assert_eq!(with(&sides[1]), [&all[0], &all[2]].map(|id| (json!(id), json!(["greeting"]))));
    let table = repo.agent(&["compare", &group]);
    assert_eq!(table.code, 0, "{table:#?}");
    assert!(table.stdout.contains("\napproach   shout"), "{table:#?}");
    assert!(table.stdout.contains("\ngreeting   +1"), "{table:#?}");
    assert!(table.stderr.contains("git agent pick SESSION lands one"), "{table:#?}");

    // Nothing is done before it is meant.
    let tip = repo.git(&["rev-parse", "main"]);
    let would = repo.agent(&["pick", names[1], "--dry-run"]);
    assert_eq!(would.code, 0, "{would:#?}");
    assert!(would.stdout.contains(&format!("Would put away {}, {}", all[0], all[2])), "{would:#?}");
    assert_eq!((repo.git(&["rev-parse", "main"]), ids(&repo)), (tip.clone(), all.clone()));

    let out = repo.agent(&["pick", names[1], "--json"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let picked: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(picked["landing"]["session"], json!(all[1]));
    assert_eq!(picked["put_away"], json!([all[0], all[2]]));
    assert_eq!(picked["kept"], json!([]));
    assert_eq!(repo.git(&["show", "main:greeting"]), "hello");
    assert_eq!(repo.git(&["rev-list", "--count", &format!("{tip}..main")]), "1");
    assert_eq!(ids(&repo), [all[1].clone()]);
    let worktrees = repo.git(&["worktree", "list"]);
    assert!(!worktrees.contains("write-a-greeting-3"), "{worktrees}");
    assert_eq!(told(&repo, names[1])["state"], "landed");

    // What was put away comes back with all it did.
    repo.agent(&["restore", &all[2]]).success();
    let greeting = repo.home().root().join("shop.worktrees/write-a-greeting-3/greeting");
    assert_eq!(fs::read_to_string(greeting).expect("a file"), "h...\n");
    repo.agent(&["merge", "--undo", names[1]]).success();
    assert_eq!(repo.git(&["rev-parse", "main"]), tip);
    repo.assert_whole();
}

#[test]
fn the_page_shows_all_sides_and_holds_no_script_whatever_they_wrote() {
    let repo = Repo::new();
    let evil = "f='<img src=x onerror=alert(1)>.txt'; \
                printf '<script>alert(2)</script>\\n\\342\\200\\256\\033[2J\\n' >\"$f\"";
    for (name, command) in [("one", evil), ("two", "echo \"a & b\" >plain.txt")] {
        let out = run(&repo, &plainly, bash_script(command), &[name]);
        assert_eq!(out.code, 0, "{out:#?}");
    }
    let page = repo.home().root().join("page.html");
    let out = repo.agent(&["compare", "one", "two", "--html", page.to_str().expect("a path")]);
    assert_eq!(out.code, 0, "{out:#?}");
    let page = fs::read_to_string(page).expect("a page");
    for part in [
        "&lt;img src=x onerror=alert(1)&gt;.txt",
        "+&lt;script&gt;alert(2)&lt;/script&gt;",
        "+&lt;U+202E&gt;^[[2J",
        "+a &amp; b",
        "default-src 'none'",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    for part in ["<script", "<img", "src=\"", "href", "url(", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(part), "{part}\n{page}");
    }
    // Worktrees can be named by their paths, a person's own too.
    let mine = repo.home().root().join("mine");
    let mine = mine.to_str().expect("a path");
    repo.git(&["worktree", "add", "-q", "-b", "mine", mine]);
    fs::write(repo.home().root().join("mine/plain.txt"), "mine\n").expect("a file");
    repo.home().git(mine.as_ref(), &["add", "-A"]);
    repo.home().git(mine.as_ref(), &["commit", "-qm", "Mine"]);
    fs::write(repo.home().root().join("mine/left"), "left\n").expect("a file");
    let two = "../shop.worktrees/two";
    let out = repo.agent(&["compare-worktrees", mine, two, "--json"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let said: Value = serde_json::from_str(&out.stdout).expect("JSON");
    let (a, b) = (&said["sides"][0], &said["sides"][1]);
    assert_eq!((&a["session"], &a["branch"]), (&Value::Null, &json!("mine")));
    assert_eq!((&a["files"], &a["uncommitted"]), (&json!(1), &json!(1)));
    assert_eq!(b["branch"], json!("agent/two"));
    assert_eq!(a["conflicts"], json!([{"with": b["name"], "files": ["plain.txt"]}]));
}

#[test]
fn what_does_not_go_together_starts_nothing() {
    let repo = Repo::new();
    // Needs no key.
    let model = "ollama/test";
    let refused = |args: &[&str], said: &str| {
        let out = repo.agent(&[&["start", "Do it"], args].concat());
        assert_eq!(out.code, 2, "{args:?} {out:#?}");
        assert!(out.stderr.contains(said) && out.stderr.contains("hint: "), "{args:?} {out:#?}");
    };
    let models = ["--models", "ollama/a,ollama/b"];
    refused(&["-n", "0", "--model", model], "0 is not in 1..=32");
    refused(&["-n", "x"], "invalid value 'x'");
    refused(&[&models[..], &["-n", "3"]].concat(), "cannot be shared out evenly");
    refused(&[&models[..], &["--approach", "x"]].concat(), "--models names 2");
    refused(&[&models[..], &["--model", model]].concat(), "cannot be used with");
    refused(&["--models", "a,,b"], "a value is required");
    refused(&["-n", "2", "--model", model, "--branch", "b"], "--branch is for one session");
    refused(&["-n", "2", "--model", model, "--attach"], "--attach is for one session");
    refused(&["--model", model, "--min-coverage", "90"], "needs a verify command");
    refused(&["--model", model, "--min-coverage", "0"], "expected a share above 0");
    refused(&["--model", model, "--max-slowdown", "5"], "--bench");
    refused(&["--model", model, "--coverage-report", "x"], "--min-coverage");
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    let out = repo.agent(&["compare", "nobody"]);
    assert_eq!(out.code, 2, "{out:#?}");
    assert_eq!(repo.git(&["for-each-ref", "refs/agent", "refs/heads/agent"]), "");
}

#[test]
fn where_one_attempt_cannot_be_made_none_is() {
    let repo = Repo::new();
    // The set-up works once.
    repo.git(&["config", "agent.setup", "mkdir \"$GIT_AGENT_ROOT/../once\""]);
    let server = Server::start(Script::new([]));
    let args = ["start", "Do it", "--model", Dialect::Anthropic.model(), "-n", "3"];
    let dry = repo.cmd(&[&args[..], &["--dry-run"]].concat());
    let dry = dry.envs(server.env(Dialect::Anthropic)).run().success();
    assert!(dry.starts_with("Would start 3 attempts, the first on branch agent/do-it"), "{dry}");
    let out = repo.cmd(&args).envs(server.env(Dialect::Anthropic)).run();
    assert_eq!(out.code, 1, "{out:#?}");
    assert_eq!(out.stdout, "", "{out:#?}");
    assert!(repo.home().root().join("once").exists());
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    assert_eq!(repo.git(&["for-each-ref", "refs/agent", "refs/heads/agent"]), "");
    assert!(!repo.home().root().join("shop.worktrees").exists());
    repo.assert_whole();
}

#[test]
fn attempts_take_a_model_each_and_are_put_away_only_at_rest() {
    let repo = Repo::new();
    let server = Server::start_many(vec![Script::new([Turn::text("Nothing to do.")])]);
    let models = Dialect::ALL.map(Dialect::model).join(",");
    let mut start = repo.cmd(&["start", "Do it", "--wait", "--models", &models]);
    for dialect in Dialect::ALL {
        start = start.envs(server.env(dialect));
    }
    let out = start.run();
    assert_eq!(out.code, 0, "{out:#?}");
    server.finish();
    let said = compared(&repo, &["do-it"]);
    let sides = said["sides"].as_array().expect("a list");
    let told: Vec<_> = sides.iter().filter_map(|side| side["model"].as_str()).collect();
    assert_eq!(told, Dialect::ALL.map(Dialect::model));
    // One that waits may change at any moment.
    let folder = repo.common_dir().join("agent/sessions").join(&ids(&repo)[2]);
    let path = folder.join("state.toml");
    let state = fs::read_to_string(&path).expect("a state");
    fs::write(&path, state.replacen("phase = \"done\"", "phase = \"queued\"", 1)).expect("a file");
    let out = repo.agent(&["pick", "do-it"]);
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stderr.contains("is queued") && out.stderr.contains("--keep-others"), "{out:#?}");
    let alone = run(&repo, &plainly, bash_script("echo x >x"), &["Alone"]);
    assert_eq!(alone.code, 0, "{alone:#?}");
    let out = repo.agent(&["pick", "alone"]);
    assert_eq!(out.code, 2, "{out:#?}");
    assert!(out.stderr.contains("hint: git agent merge alone-"), "{out:#?}");
}

#[test]
fn a_judge_is_named_and_told_no_names() {
    let repo = Repo::new();
    let (out, server) = three(&repo);
    assert_eq!(out.code, 0, "{out:#?}");
    server.finish();
    let verdict = "Here:\n{\"ranking\":[{\"attempt\":\"B\",\"reason\":\"It greets.\"},\
        {\"attempt\":\"A\",\"reason\":\"Loud.\"},{\"attempt\":\"C\",\"reason\":\"Unclear.\"}]}";
    for dialect in Dialect::ALL {
        let server = Server::start(Script::new([Turn::text(verdict)]));
        let args = ["compare", "write-a-greeting", "--json", "--judge", dialect.model()];
        let out = repo.cmd(&args).envs(server.env(dialect)).run();
        assert_eq!(out.code, 0, "{out:#?}");
        let said: Value = serde_json::from_str(&out.stdout).expect("JSON");
        let all = ids(&repo);
        let ranked = [(1, "It greets."), (0, "Loud."), (2, "Unclear.")];
        let ranking = ranked.map(|(at, reason)| json!({"name": all[at], "reason": reason}));
        assert_eq!(said["judge"]["ranking"], json!(ranking));
        let body = server.bodies().concat();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("HELLO") && !body.contains(&all[0]), "{body}");
        server.finish();
    }
    let server = Server::start(Script::new([Turn::text("I like all of them.")]));
    let args = ["compare", "write-a-greeting", "--judge", Dialect::Anthropic.model()];
    let out = repo.cmd(&args).envs(server.env(Dialect::Anthropic)).run();
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stderr.contains("gave no ranking"), "{out:#?}");
}

/// A report of so many lines run of ten.
fn report(run: usize) -> String {
    format!("printf 'SF:a\\nLF:10\\nLH:{run}\\nend_of_record\\n' >cov")
}

#[test]
fn coverage_is_measured_before_and_after_and_what_cannot_be_read_stays_shut() {
    let repo = Repo::new();
    repo.write("cov", &report(5));
    repo.write(".gitignore", "lcov.info\n");
    repo.commit("Measure");
    let better = [8, 9].map(|run| {
        Turn::call("bash", json!({ "command": format!("cat >cov <<'E'\n{}\nE", report(run)) }))
    });
    let [first, second] = better;
    let script = Script::new([first, Turn::text("Done."), second, Turn::text("Better.")]);
    let verify = ["--verify", "sed 's/>cov$/>lcov.info/' cov | sh"];
    let args = [&verify[..], &["--min-coverage", "90"]].concat();
    let play = Play::start_in(repo, Dialect::Anthropic, script, &args);
    let status = play.rests("done");
    let gate = json!({
        "kind": "coverage",
        "after": {"median": 90.0, "least": 90.0, "most": 90.0, "runs": 1},
        "before": {"median": 50.0, "least": 50.0, "most": 50.0, "runs": 1},
        "limit": 90.0,
    });
    assert_eq!(status["gates"], json!([gate]));
    let records = play.told("verify");
    let exits: Vec<_> = records.iter().map(|it| (&it["command"], &it["exit"])).collect();
    let (command, name) = (json!(verify[1]), json!("coverage of at least 90 %"));
    let expected =
        [(&command, &json!(0)), (&name, &json!(1)), (&command, &json!(0)), (&name, &json!(0))];
    assert_eq!(exits, expected);
    let shown = play.run("status", &[]).success();
    assert!(shown.contains("coverage 90.0 % (+40.0)"), "{shown}");
    // There is something else on the branch by now: with it, it is measured again.
    play.repo.write("docs/guide.md", "New.\n");
    play.repo.commit("Go on");
    let out = play.run("merge", &["--json"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let landing: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(landing["landing"]["verified"], json!(true));
    let note = play.repo.git(&["notes", "--ref=agent", "show", "main"]);
    assert!(note.contains("Verify: coverage of at least 90 %\nVerify-Exit: 0\n"), "{note}");
    play.repo.assert_whole();
}

#[test]
fn a_report_that_makes_no_sense_fails_the_session() {
    let script = Script::new([
        Turn::call("bash", json!({ "command": "echo x >x" })),
        Turn::text("Done."),
        Turn::text("Still done."),
        Turn::text("Still done."),
        Turn::text("Still done."),
    ]);
    let args = ["--verify", "echo nonsense >lcov.info", "--min-coverage", "1"];
    let play = Play::start(Dialect::Anthropic, script, &args);
    let status = play.rests("failed");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("verify still fails: coverage of at least 1 %"), "{status:#}");
    let said = play.told("verify").pop().expect("a record");
    let output = said["output"].as_str().expect("text");
    assert!(output.starts_with("the coverage is not known: lcov.info is no report"), "{output}");
    let refused = play.run("merge", &[]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("coverage of at least 1 %"), "{refused:#?}");
}

#[test]
fn a_benchmark_tells_what_has_become_slower() {
    let repo = Repo::new();
    repo.write("delay", "0.02\n");
    repo.commit("Wait a little");
    let slower =
        |delay: &str| Turn::call("bash", json!({ "command": format!("echo {delay} >delay") }));
    let script =
        Script::new([slower("0.3"), Turn::text("Done."), slower("0.01"), Turn::text("Quicker.")]);
    let args = ["--bench", "sleep $(cat delay)", "--max-slowdown", "50%"];
    let play = Play::start_in(repo, Dialect::Anthropic, script, &args);
    let status = play.rests("done");
    let gate = &status["gates"][0];
    assert_eq!((&gate["kind"], &gate["limit"]), (&json!("bench"), &json!(50.0)));
    assert_eq!((&gate["before"]["runs"], &gate["after"]["runs"]), (&json!(5), &json!(5)));
    let records = play.told("verify");
    let outputs: Vec<_> = records.iter().filter_map(|it| it["output"].as_str()).collect();
    let [red, _] = outputs.as_slice() else { panic!("{outputs:#?}") };
    assert!(red.contains("% slower\nit may be 50 % slower at most"), "{red}");
    assert!(play.repo.git(&["worktree", "list"]).lines().count() == 2);
    assert_eq!(play.run("merge", &[]).code, 0);
    play.repo.assert_whole();
}

#[test]
fn an_experiment_lands_only_by_force() {
    let repo = Repo::new();
    let out = run(&repo, &plainly, bash_script("echo x >x"), &["Try it", "--experiment"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(told(&repo, "try-it")["experiment"], json!(true));
    for args in [&["merge", "try-it"][..], &["merge", "try-it", "--dry-run", "--no-verify"]] {
        let out = repo.agent(args);
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(
            out.stderr.contains("is an experiment") && out.stderr.contains("--force"),
            "{out:#?}"
        );
    }
    let out = repo.agent(&["merge", "try-it", "--force"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(repo.git(&["show", "main:x"]), "x");
}

#[test]
fn who_changes_the_same_lines_is_told_once() {
    let repo = Repo::new();
    let edit = |text: &str| format!("printf 'one\\n{text}\\nthree\\n' >src/lib.txt");
    let out = run(&repo, &plainly, bash_script(&edit("zwei")), &["First"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let second = Script::new([
        Turn::call("bash", json!({ "command": edit("due") })),
        Turn::text("Done."),
        Turn::call("bash", json!({ "command": edit("deux") })),
        Turn::text("Done again."),
    ]);
    let play = Play::start_in(repo, Dialect::Anthropic, second, &[]);
    play.rests("done");
    play.run("say", &["In French"]).success();
    play.rests("done");
    let first = ids(&play.repo).into_iter().find(|id| id.starts_with("first")).expect("a session");
    let notices = play.told("notice");
    assert_eq!(notices, [json!(format!("changes the same as {first}: src/lib.txt:2"))]);
}
