//! The least that any agent must do: ask, run the command, ask again. No git, no journal, no
//! sandbox, one thread, one connection.
//!
//! Invariant: it speaks to the same server and runs the same commands as the program.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use git_agent::process::Cmd;
use serde_json::{Value, json};

use crate::testing::home::Home;
use crate::testing::server::{Dialect, Server};

/// All steps, timed from the connection to the last answer.
pub(crate) fn run(server: &Server, home: &Home, steps: usize) -> Duration {
    let folder = tempfile::tempdir_in(home.root()).unwrap();
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut body = json!({"model": "test", "stream": true,
        "messages": [{"role": "user", "content": "Count."}]})
    .to_string();
    body.truncate(body.len() - 2);
    for step in 1..=steps {
        let answer = ask(&mut stream, &format!("{body}]}}"));
        let id = field(&answer, "\"id\":\"call").expect("the answer has a call");
        let command = crate::command(step);
        let ran = Cmd::new("sh").args(["-c", &command]).dir(folder.path()).run().unwrap();
        let arguments = json!({ "command": command }).to_string();
        let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": id,
            "type": "function", "function": {"name": "bash", "arguments": arguments}}]});
        let output = String::from_utf8_lossy(&ran.stdout);
        let result = json!({"role": "tool", "tool_call_id": id, "content": output});
        write!(body, ",{call},{result}").unwrap();
    }
    ask(&mut stream, &format!("{body}]}}"));
    started.elapsed()
}

fn ask(stream: &mut TcpStream, body: &str) -> String {
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        Dialect::Chat.key(),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(answer).unwrap()
}

/// The id of the call: the JSON text that begins with `start`.
fn field(answer: &str, start: &str) -> Option<String> {
    let from = answer.find(start)? + start.rfind(':')? + 1;
    let text = serde_json::Deserializer::from_str(&answer[from..]).into_iter::<Value>().next()?;
    text.ok()?.as_str().map(str::to_owned)
}
