//! Model servers that are not there or refuse: before anything is made, and in mid-run.

use serde_json::json;
use tokio::net::TcpSocket;

use super::{PATIENCE, refused_cmd, said};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Fault, Script, Server, Turn};

#[test]
fn nobody_listens() {
    let repo = Repo::new();
    // Held, so that nobody else comes to listen there.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = silent.local_addr().unwrap();
    let cmd = repo
        .cmd(&["start", "say hi", "--model", "openai/m"])
        .env("OPENAI_BASE_URL", format!("http://{free}/v1"))
        .env("OPENAI_API_KEY", "sk-secret");
    let stderr = format!(
        "error: no model server at http://127.0.0.1:{}/v1: Connection refused\n\
         hint: Is the server running? git agent doctor shows which answer here\n",
        free.port()
    );
    let normal = stderr.replace(&free.to_string(), "127.0.0.1:[port]");
    refused_cmd(&repo, cmd, 1, &normal);
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_made() {
    for dialect in Dialect::ALL {
        let repo = Repo::new();
        let server = Server::start(Script::new([]));
        let [(base, url), (key, _)] = server.env(dialect);
        let cmd = repo
            .cmd(&["start", "say hi", "--model", dialect.model()])
            .env(base, &url)
            .env(key, "sk-wrong-and-secret");
        let v1 = if dialect == Dialect::Anthropic { "" } else { "/v1" };
        refused_cmd(
            &repo,
            cmd,
            1,
            &format!(
                "error: http://127.0.0.1:[port]{v1} refuses the key: invalid x-api-key\n\
                 hint: git agent doctor shows where the key comes from\n"
            ),
        );
        server.finish();
    }
}

#[test]
fn a_key_that_is_refused_in_mid_run_waits_for_a_person() {
    let repo = Repo::new();
    let server = Server::start(Script::new([
        Turn::call("write", json!({"path": "new.txt", "content": "new\n"})),
        Turn::text("All is done.").fault(Fault::Status(401), 1),
    ]));
    let start = ["start", "say hi", "--model", "anthropic/claude-test", "--wait"];
    let out = repo.cmd(&start).envs(server.env(Dialect::Anthropic)).run();
    let out = repo.normal(&out);
    assert_eq!(out.code, 3);
    let told = "say-hi-[id] needs input: http://127.0.0.1:[port] refuses the key: ";
    let last: Vec<&str> = out.stderr.lines().rev().take(2).collect();
    assert_eq!(last[0], "hint: git agent resume say-hi-[id] once it is mended");
    assert!(last[1].starts_with(told), "{}", out.stderr);
    let say = ["say", "say-hi", "it is mended"];
    repo.cmd(&say).envs(server.env(Dialect::Anthropic)).run().success();
    let status = repo.wait_state("say-hi", "done", PATIENCE);
    assert_eq!(status["files"], 1);
    server.finish();
    repo.assert_whole();
}

#[test]
fn c09_a_key_is_never_shown() {
    let repo = Repo::new();
    let server = Server::start_keyless(Script::new([Turn::text("Done.")]));
    let secret = "sk-very-secret-0123456789";
    repo.git(&["config", "agent.openai.keyCommand", &format!("echo {secret}")]);
    repo.git(&["config", "agent.openai.baseUrl", &format!("{}/v1", server.url())]);
    for args in [&["doctor"][..], &["doctor", "--json"], &["list", "-vvv"]] {
        let out = repo.cmd(args).env("ANTHROPIC_API_KEY", "sk-ant-secret").run();
        let all = out.stdout + &out.stderr;
        assert!(!all.contains("sk-ant-secret"), "{all}");
        // The command's own text holds it here, which is the user's doing; its value is not told.
        assert!(!all.lines().any(|line| line.contains(secret) && !line.contains("echo")), "{all}");
    }
    said(&repo, &["list"], 0, "", "No sessions.\nhint: git agent start \"…\"\n");
}
