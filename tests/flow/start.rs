//! `start --wait`: what it tells its caller.
//!
//! Invariant: the exit code says whether it is done, was given up, or needs a person.

use serde_json::json;

use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn};

fn waited(turns: impl IntoIterator<Item = Turn>, args: &[&str]) -> (i32, String) {
    let repo = Repo::new();
    let server = Server::start(Script::new(turns));
    let dialect = Dialect::Responses;
    let start = ["start", "Mend the shop", "--wait", "--model", dialect.model()];
    let out = repo.cmd(&[&start, args].concat()).envs(server.env(dialect)).run();
    let said = repo.normal(&out);
    repo.assert_whole();
    server.finish();
    let end = said.stderr.lines().find(|line| line.starts_with("mend-the-shop-[id] "));
    (out.code, end.unwrap_or_default().replace("mend-the-shop-[id] ", ""))
}

#[test]
fn wait_tells_how_it_ended() {
    let done = || Turn::text("Done.");
    assert_eq!(waited([done()], &[]), (0, "is done".to_owned()));
    let failed = waited([done(), done(), done(), done()], &["--verify", "exit 7"]);
    let reason = "is failed: verify still fails: exit 7 (exit 7)";
    assert_eq!(failed, (1, reason.to_owned()));
    let asked = waited([Turn::call("ask", json!({"question": "Which one?"}))], &[]);
    assert_eq!(asked, (3, "needs input: Which one?".to_owned()));
    let read = || Turn::call("read", json!({"file_path": "README.md"}));
    let limited = waited([read(), read()], &["--max-steps", "2"]);
    let reason = "needs input: the limit of 2 steps is reached; approve adds another 2 steps";
    assert_eq!(limited, (3, reason.to_owned()));
}
