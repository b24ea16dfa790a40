//! The tools together, on real files and processes.
//!
//! Invariant: every file and process is of the test that made it.

use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;

/// A worktree with some files, and the tools for it.
pub(super) struct Fixture {
    pub(super) folder: tempfile::TempDir,
    pub(super) tools: Toolbox,
}

pub(super) fn fixture() -> Fixture {
    fixture_with(&[])
}

pub(super) fn fixture_with(env: &[(&str, &str)]) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    fs::create_dir_all(root.join("src")).unwrap();
    let mut caller: Vec<(std::ffi::OsString, std::ffi::OsString)> = Vec::new();
    caller.extend(std::env::vars_os().filter(|(key, _)| key == "PATH"));
    caller.extend(env.iter().map(|(key, value)| (key.into(), value.into())));
    caller.push(("TMPDIR".into(), folder.path().into()));
    let setup = Setup {
        sandbox: Sandbox::new(&root, &caller).unwrap(),
        out_dir: folder.path().join("out"),
        root,
        attended: false,
        guard: None,
    };
    Fixture { folder, tools: Toolbox::new(setup).unwrap() }
}

impl Fixture {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    pub(super) fn content(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) async fn call(&self, name: &str, arguments: serde_json::Value) -> Called {
        self.tools.call(&call(name, &arguments.to_string())).await
    }

    /// What the model reads of a call that must succeed.
    pub(super) async fn good(&self, name: &str, arguments: serde_json::Value) -> String {
        let called = self.call(name, arguments).await;
        assert!(!called.is_error, "{}", called.output);
        called.output
    }

    /// What the model reads of a call that must fail.
    pub(super) async fn bad(&self, name: &str, arguments: serde_json::Value) -> String {
        let called = self.call(name, arguments).await;
        assert!(called.is_error, "{}", called.output);
        called.output
    }
}

pub(super) fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[tokio::test]
async fn the_tools_are_sorted_small_and_without_ask_where_nobody_answers() {
    let fixture = fixture();
    let specs = fixture.tools.specs();
    let names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["bash", "edit", "finish", "plan", "read", "search", "write"]);
    let all: usize = Tool::ALL
        .iter()
        .map(|tool| tool.shape().spec())
        .map(|spec| {
            let frame = r#"{"name":"","description":"","input_schema":},"#.len();
            spec.name.len() + spec.description.len() + spec.parameters.to_string().len() + frame
        })
        .sum();
    println!("tool definitions: {all} bytes");
    assert!(all <= 3200, "all definitions together take {all} bytes");
    let read = specs.into_iter().find(|spec| spec.name == "read").unwrap();
    assert!(
        read.parameters.to_string().starts_with(r#"{"type":"object","required":["file_path"]"#)
    );
}

#[tokio::test]
async fn what_is_no_call_is_answered_in_words() {
    let fixture = fixture();
    for name in ["shell", "ask"] {
        assert_eq!(
            fixture.bad(name, serde_json::json!({})).await,
            format!(
                "there is no tool {name}; there are bash, edit, finish, plan, read, search, \
                 write.\n"
            )
        );
    }
    let called = fixture.tools.call(&call("edit", r#"{"file_path":"a"}"#)).await;
    assert_eq!(
        called,
        Called::failed(
            "arguments of edit: no old_string; it takes file_path, old_string, new_string, \
             replace_all.\n"
                .to_owned(),
            "edit".to_owned()
        )
    );
}

#[tokio::test]
async fn a_title_says_what_is_going_to_happen_in_one_line() {
    let tools = fixture().tools;
    for (name, arguments, title) in [
        ("bash", r#"{"command":"cargo test\nmore"}"#, "cargo test…"),
        ("bash", r#"{"command":"","job":"3"}"#, "job 3"),
        ("bash", r#"{"command":"printf '\u001b[2J'"}"#, "printf '\u{fffd}[2J'"),
        ("Read", r#"{"path":"src/a.rs"}"#, "read src/a.rs"),
        ("search", r#"{"query":"fn main"}"#, "search fn main"),
        ("edit", "{", "edit"),
        ("no\nsuch", "{}", "no…"),
    ] {
        assert_eq!(tools.title(&call(name, arguments)), title);
    }
    assert!(tools.reads_only(&call("read", "{}")) && tools.reads_only(&call("search", "{}")));
    assert!(!tools.reads_only(&call("bash", "{}")) && !tools.reads_only(&call("none", "{}")));
}

#[tokio::test]
async fn finish_and_plan_are_for_the_loop() {
    let fixture = fixture();
    let called = fixture
        .call("finish", serde_json::json!({"summary": "all done", "checks": "cargo test: ok"}))
        .await;
    let effect =
        Effect::Finish { summary: "all done".to_owned(), checks: "cargo test: ok".to_owned() };
    assert_eq!((called.effect, called.changed), (effect, Changed::Nothing));
    let items =
        serde_json::json!([{"text": "a", "status": "done"}, {"text": "b", "status": "doing"}]);
    let called = fixture.call("plan", serde_json::json!({"items": items})).await;
    assert_eq!((called.output.as_str(), called.title.as_str()), ("ok\n", "plan · 1/2"));
}

#[tokio::test]
async fn no_tool_follows_a_link_out_of_the_worktree() {
    let fixture = fixture();
    fs::write(fixture.folder.path().join("secret"), "token=1\n").unwrap();
    symlink(fixture.folder.path().join("secret"), fixture.path("link")).unwrap();
    symlink(fixture.folder.path(), fixture.path("up")).unwrap();
    let escape = "leads out of the worktree through a symbolic link";
    for (tool, arguments) in [
        ("read", r#"{"path":"link"}"#),
        ("read", r#"{"path":"up/secret"}"#),
        ("edit", r#"{"path":"link","old":"token","new":"x"}"#),
        ("write", r#"{"path":"up/secret","content":"x"}"#),
        ("write", r#"{"path":"up/new","content":"x"}"#),
        ("search", r#"{"pattern":"token","path":"up"}"#),
        ("search", r#"{"pattern":"token","path":"link"}"#),
        ("bash", r#"{"command":"ls","cwd":"up"}"#),
    ] {
        let called = fixture.tools.call(&call(tool, arguments)).await;
        assert!(called.is_error && called.output.contains(escape), "{tool}: {}", called.output);
    }
    let found = fixture.good("search", serde_json::json!({"pattern": "token"})).await;
    assert_eq!(found, "nothing found\n");
    assert_eq!(fs::read_to_string(fixture.folder.path().join("secret")).unwrap(), "token=1\n");
    assert!(!fixture.folder.path().join("new").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_calls_leave_nothing_behind() {
    let fixture = fixture();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    fixture.good("bash", serde_json::json!({"command": "true"})).await;
    let before = open();
    let start = Instant::now();
    for _ in 0..200 {
        fixture.good("bash", serde_json::json!({"command": "true"})).await;
    }
    println!("a call of bash: {:?}", start.elapsed() / 200);
    // Other tests of this process open files of their own at the same time.
    assert!(open() < before + 100, "{} files open, {before} before", open());
    assert_eq!(fs::read_dir(fixture.folder.path().join("out")).unwrap().count(), 0);
}
