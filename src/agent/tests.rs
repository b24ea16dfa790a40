//! The loop with a recorded model, real tools and a world in memory.
//!
//! Invariant: no test here knows a repository or a network.

mod hold;
mod limits;
mod permit;

use std::ffi::OsString;
use std::path::Path;

use super::*;
use crate::event::{Checkpoint, Delta, Event, Finding, VerifyRecord};
use crate::message::{Answer, Message, StopReason, Usage};
use crate::model::{Choice, Endpoint, PATIENCE, Pace, Setup, Surroundings};
use crate::sandbox::Sandbox;

/// A world in memory: what it was told, and what it is to answer.
#[derive(Default)]
struct Memory {
    journal: Vec<Event>,
    commits: Vec<(u32, Changed)>,
    /// Exit codes of the verify runs to come.
    verify: Vec<i32>,
    inbox: Vec<Steer>,
    taken: Vec<String>,
    /// Whether a token has a price.
    dollar_a_token: bool,
    shared: Option<Shared>,
    /// Whether each step leaves the tree changed.
    is_changed: bool,
    /// What the gate finds.
    findings: Vec<Finding>,
}

impl World for Memory {
    fn record(&mut self, step: u32, updates: Vec<Update>) -> Result<(), Fault> {
        self.journal.extend(updates.into_iter().map(|update| Event::now(step, update)));
        Ok(())
    }

    fn checkpoint(
        &mut self,
        words: &StepWords,
        changed: &Changed,
        _: Moment,
        consent: &Consent,
    ) -> Result<Taken, Fault> {
        let waiting = self.findings.iter().filter(|it| !consent.covers(it, changed));
        let held: Vec<_> = waiting.cloned().collect();
        if self.is_changed && !held.is_empty() {
            return Ok(Taken { held, ..Taken::default() });
        }
        self.commits.push((words.step, changed.clone()));
        let made = Checkpoint {
            commit: None,
            tree: format!("after {}", words.step),
            subject: String::new(),
            paths: Vec::new(),
            insertions: 1,
            deletions: 0,
            left_out: Vec::new(),
            by_person: None,
        };
        let made: Vec<_> = self.is_changed.then_some(made).into_iter().collect();
        self.record(words.step, made.iter().cloned().map(Update::Checkpoint).collect())?;
        Ok(Taken { told: made, held: Vec::new() })
    }

    fn put_back(&mut self, paths: &[String]) -> Result<Option<String>, Fault> {
        self.findings.retain(|finding| !paths.contains(&finding.path));
        Ok(Some("kept".to_owned()))
    }

    fn guard(&self, path: &str) -> Option<Guarded> {
        let finding = self.findings.iter().find(|finding| finding.path == path)?.clone();
        Some(Guarded { is_denied: finding.rule == "scope", finding })
    }

    async fn verify(&mut self) -> Result<Vec<VerifyRecord>, Fault> {
        let record = |exit| VerifyRecord {
            command: "check".to_owned(),
            exit,
            millis: 1,
            tree: "t".to_owned(),
            output: format!("exit {exit}"),
            gate: None,
        };
        Ok(if self.verify.is_empty() { Vec::new() } else { vec![record(self.verify.remove(0))] })
    }

    fn inbox(&mut self, _: Moment) -> Result<Vec<Steer>, Fault> {
        Ok(std::mem::take(&mut self.inbox))
    }

    fn delivered(&mut self, id: &str) -> Result<(), Fault> {
        self.taken.push(id.to_owned());
        Ok(())
    }

    fn money(&self) -> Result<Money, Fault> {
        let usages = self.journal.iter().filter_map(|event| match &event.update {
            Update::AgentMessage(answer) => Some(answer.usage),
            Update::Unfinished(unfinished) => Some(unfinished.usage),
            _ => None,
        });
        let dollars = usages.filter_map(|usage| self.price(&usage)).sum();
        Ok(Money { dollars, shared: self.shared.clone() })
    }

    fn price(&self, usage: &Usage) -> Option<f64> {
        self.dollar_a_token.then(|| f64::from(u32::try_from(usage.input + usage.output).unwrap()))
    }

    fn show(&mut self, _: Delta<'_>) {}

    fn busy(&mut self, _: &[String]) {}
}

/// One model, one key.
struct NoOther;

impl Models for NoOther {
    fn renew(&mut self, _: &mut Model) -> Result<bool, Fault> {
        Ok(false)
    }

    fn instead_of(&mut self, _: &Model) -> Result<Option<Model>, Fault> {
        Ok(None)
    }
}

/// A folder to work in, and a model that says these answers.
struct Scene {
    folder: tempfile::TempDir,
    tools: Toolbox,
    signals: Signals,
    /// The model's window, in tokens.
    window: Option<u64>,
    allowed: Allowances,
    rules: Rules,
}

impl Scene {
    fn new(answers: &[Answer]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let lines: Vec<_> = answers
            .iter()
            .map(|answer| Event::now(1, Update::AgentMessage(answer.clone())).to_line().unwrap())
            .collect();
        std::fs::write(folder.path().join("answers"), lines.join("\n") + "\n").unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let sandbox = Sandbox::new(&tree, &[(OsString::from("PATH"), path)]).unwrap();
        let tools = Toolbox::new(crate::tool::Setup {
            root: tree,
            out_dir: folder.path().join("out"),
            sandbox,
            attended: true,
            guard: None,
        });
        let (signals, allowed) = (Signals::default(), Allowances::default());
        let rules = Rules::default();
        Self { folder, tools: tools.unwrap(), signals, window: None, allowed, rules }
    }

    fn tree(&self) -> std::path::PathBuf {
        self.folder.path().join("tree")
    }

    /// What is in a file; nothing where there is none.
    fn content(&self, name: &str) -> String {
        std::fs::read_to_string(self.tree().join(name)).unwrap_or_default()
    }

    /// Runs on from what this journal tells.
    fn run(&self, world: &mut Memory) -> Rest {
        let choice: Choice = "replay/answers".parse().unwrap();
        let (env, config) = (|_: &str| None, |_: &str| None);
        let around = Surroundings { env: &env, config: &config, cwd: self.folder.path() };
        let endpoint = Endpoint::resolve(&choice, &around).unwrap();
        let mut model = Model::open(Setup {
            choice,
            endpoint,
            system: String::new(),
            tools: Vec::new(),
            cache_key: String::new(),
            max_output: None,
            effort: None,
            window: self.window,
            patience: PATIENCE,
            pace: Pace::default(),
        })
        .unwrap();
        let mut conversation = Conversation::replay(&world.journal);
        if conversation.is_new() {
            let text = "the task".to_owned();
            let task = UserMessage { from: Origin::Task, text, inbox_id: None };
            conversation.apply(&Update::UserMessage(task.clone()));
            world.record(0, vec![Update::UserMessage(task)]).unwrap();
        }
        let mut agent = Agent {
            model: &mut model,
            models: &mut NoOther,
            is_renewed: false,
            tools: &self.tools,
            world,
            signals: &self.signals,
            conversation,
            limits: Limits { allowed: self.allowed, ..Limits::default() },
            is_held: false,
            rules: &self.rules,
            lap: Instant::now(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agent.run())
    }
}

fn answer(text: &str, calls: &[(&str, serde_json::Value)]) -> Answer {
    let call = |(index, (name, arguments)): (usize, &(&str, serde_json::Value))| ToolCall {
        id: format!("{name}-{index}-{}", text.len()),
        name: (*name).to_owned(),
        arguments: arguments.to_string(),
    };
    Answer {
        text: text.to_owned(),
        thought: String::new(),
        calls: calls.iter().enumerate().map(call).collect(),
        stop: if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse },
        usage: Usage { input: 10, output: 1, ..Usage::default() },
        raw: None,
    }
}

fn bash(command: &str) -> (&'static str, serde_json::Value) {
    ("bash", serde_json::json!({ "command": command }))
}

fn finish(summary: &str) -> Answer {
    answer("", &[("finish", serde_json::json!({ "summary": summary }))])
}

/// All that a model is told, as it would be told it.
fn told<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Message> {
    Conversation::replay(events).take_messages().1.cloned().collect()
}

fn text(messages: &[Message]) -> String {
    serde_json::to_string(messages).unwrap()
}

fn write(path: &Path) -> (&'static str, serde_json::Value) {
    bash(&format!("echo once >> {}", path.display()))
}

#[test]
fn other_words_of_the_loop_do_not_say_that_it_goes_round_in_a_circle() {
    let mut conversation = Conversation::default();
    let say = |text: &str| {
        Update::UserMessage(UserMessage {
            from: Origin::Loop,
            text: text.to_owned(),
            inbox_id: None,
        })
    };
    for round in 0..3 {
        let answer = answer(&"x".repeat(round), &[bash("ls")]);
        let call_id = answer.calls[0].id.clone();
        conversation.apply(&Update::AgentMessage(answer));
        let result = ToolResult { call_id, output: "a".to_owned(), is_error: false };
        let end = ToolEnd { result, title: String::new(), millis: 0 };
        conversation.apply(&Update::ToolCallUpdate(end));
    }
    conversation.apply(&say("A person has moved your branch."));
    assert_eq!(conversation.next(), Next::Nudge(prompt::IN_A_CIRCLE));
    conversation.apply(&say(prompt::IN_A_CIRCLE));
    assert_eq!(conversation.next(), Next::Ask);
}

#[test]
fn a_red_check_goes_back_and_a_green_one_ends_it() {
    let scene = Scene::new(&[
        answer("one", &[bash("touch a")]),
        finish("half"),
        answer("two", &[bash("touch b")]),
        finish("whole"),
    ]);
    let mut world = Memory { verify: vec![1, 0], ..Memory::default() };
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "whole".to_owned() });
    assert!(scene.tree().join("b").exists());
    let heard = text(&told(&world.journal));
    assert!(heard.contains("The check `check` failed with exit code 1"), "{heard}");
    let steps: Vec<_> = world.commits.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 2, 2, 3, 4, 4], "each step, and each end of a turn");
}

#[test]
fn a_check_that_stays_red_has_failed_after_three_more_tries() {
    let scene = Scene::new(&vec![finish("done"); 9]);
    let mut world = Memory { verify: vec![1; 9], ..Memory::default() };
    let reason = "verify still fails: check (exit 1)".to_owned();
    assert_eq!(scene.run(&mut world), Rest::Failed { reason });
    assert_eq!(world.verify.len(), 5, "four runs: the first, and one after each try to mend it");
}

#[test]
fn a_question_waits_for_its_answer_which_is_the_result_of_the_call() {
    let ask = ("ask", serde_json::json!({ "question": "which one?" }));
    let scene = Scene::new(&[answer("", &[bash("touch a"), ask]), finish("done")]);
    let mut world = Memory::default();
    let Rest::NeedsInput(question) = scene.run(&mut world) else { panic!("it does not ask") };
    assert_eq!(question.text, "which one?");
    assert_eq!(scene.run(&mut world), Rest::NeedsInput(question), "it goes on waiting");
    world.inbox = vec![
        Steer::Say { id: "m0".to_owned(), text: "too early".to_owned() },
        Steer::Answer { id: "m1".to_owned(), text: "the first".to_owned(), question: None },
    ];
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(world.taken, ["m1", "m0"]);
    let messages = told(&world.journal);
    let Message::Results(results) = &messages[2] else { panic!("{messages:?}") };
    assert_eq!(results[1].output, "the first");
}

#[test]
fn a_message_is_heard_once_even_if_the_inbox_gives_it_twice() {
    let scene = Scene::new(&[finish("one"), finish("two")]);
    let mut world = Memory::default();
    scene.run(&mut world);
    let say = || vec![Steer::Say { id: "m1".to_owned(), text: "and more".to_owned() }];
    world.inbox = say();
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "two".to_owned() });
    world.inbox = say();
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "two".to_owned() });
    assert_eq!(text(&told(&world.journal)).matches("and more").count(), 1);
    assert_eq!(world.taken, ["m1", "m1"]);
}

#[test]
fn nothing_of_an_answer_that_was_cut_off_is_run() {
    let cut = Answer { stop: StopReason::MaxTokens, ..answer("", &[bash("touch a")]) };
    let scene = Scene::new(&[cut, finish("done")]);
    let mut world = Memory::default();
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert!(!scene.tree().join("a").exists());
    assert!(text(&told(&world.journal)).contains("hit its length limit"));
}

#[test]
fn answers_of_no_use_end_in_a_pause() {
    let empty = answer(" ", &[]);
    let senseless = answer("", &[("fly", serde_json::json!({}))]);
    for answers in [vec![empty; 5], vec![senseless; 5]] {
        let scene = Scene::new(&answers);
        let mut world = Memory::default();
        let Rest::Paused { reason } = scene.run(&mut world) else { panic!("it goes on") };
        assert_eq!(reason, "3 answers in a row were empty, cut off or unreadable");
    }
}

#[test]
fn a_call_whose_end_a_damaged_journal_lacks_has_a_result_all_the_same() {
    let scene = Scene::new(&[
        answer("one", &[bash("true"), bash("echo two")]),
        answer("more", &[bash("true")]),
        finish("done"),
    ]);
    let mut world = Memory::default();
    scene.run(&mut world);
    let whole = told(&world.journal);
    let is_end = |event: &Event| matches!(event.update, Update::ToolCallUpdate(_));
    let lost = world.journal.iter().position(is_end).unwrap();
    world.journal.remove(lost);
    let told = told(&world.journal);
    assert_eq!(told.len(), whole.len());
    for pair in told.windows(2) {
        if let [Message::Assistant(answer), Message::Results(results)] = pair {
            let called: Vec<_> = answer.calls.iter().map(|call| &call.id).collect();
            assert_eq!(results.iter().map(|result| &result.call_id).collect::<Vec<_>>(), called);
        }
    }
}

#[test]
fn wherever_it_was_interrupted_it_ends_the_same_and_runs_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let answers = [
        answer("look", &[("read", serde_json::json!({ "file_path": "." })), write(&log)]),
        answer("more", &[write(&log), write(&log)]),
        finish("done"),
    ];
    let scene = Scene::new(&answers);
    let mut whole = Memory { verify: vec![0], ..Memory::default() };
    assert_eq!(scene.run(&mut whole), Rest::Done { summary: "done".to_owned() });
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "once\n".repeat(3));
    let undisturbed = told(&whole.journal);

    for cut in 1..=whole.journal.len() {
        let journal = whole.journal[..cut].to_vec();
        let repeatable = |call: &ToolCall| scene.tools.is_repeatable(call);
        let begun = Conversation::replay(&journal).lost_calls(repeatable).len();
        let ended = journal.iter().filter(|event| {
            matches!(&event.update, Update::ToolCallUpdate(end) if end.title.starts_with("echo"))
        });
        std::fs::write(&log, "once\n".repeat(ended.count())).unwrap();
        let mut world = Memory { journal, verify: vec![0], ..Memory::default() };
        assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() }, "cut {cut}");
        let lost = text(&told(&world.journal)).matches("Interrupted:").count();
        assert_eq!(lost, begun, "cut {cut}: what had begun is said to be lost");
        let lines = std::fs::read_to_string(&log).unwrap().lines().count();
        assert!(lines <= 3 && lines + lost >= 3, "cut {cut}: {lines} lines, {lost} lost");
        if lost == 0 {
            assert_eq!(told(&world.journal).len(), undisturbed.len(), "cut {cut}");
        }
    }
}

#[test]
fn m07_a_conversation_that_was_shortened_is_told_the_same_wherever_it_was_interrupted() {
    let full = Usage { input: 900, output: 1, ..Usage::default() };
    let look = |step: usize| {
        let read = ("read", serde_json::json!({ "file_path": "big", "offset": step }));
        Answer { usage: full, ..answer(&"w".repeat(step), &[read]) }
    };
    let answers: Vec<_> = (1..=26).map(look).chain([finish("done")]).collect();
    let scene = Scene { window: Some(1000), ..Scene::new(&answers) };
    std::fs::write(scene.tree().join("big"), "0123456789\n".repeat(90)).unwrap();
    let mut whole = Memory::default();
    assert_eq!(scene.run(&mut whole), Rest::Done { summary: "done".to_owned() });
    let made = whole.journal.iter().filter_map(|event| match &event.update {
        Update::Compaction(made) => Some((made.results_to > 0, made.summary.is_some(), event.step)),
        _ => None,
    });
    let made: Vec<_> = made.collect();
    assert!(made.len() >= 2 && made.windows(2).all(|pair| pair[0].2 + 10 <= pair[1].2), "{made:?}");
    let asked = whole.journal.iter().map(|event| match &event.update {
        Update::AgentMessage(answer) => answer.usage.input,
        Update::Compaction(made) => made.usage.input,
        _ => 0,
    });
    let asked: u64 = asked.sum();
    assert_eq!(Conversation::replay(&whole.journal).usage().input, asked);
    let undisturbed = text(&told(&whole.journal));
    for cut in 1..=whole.journal.len() {
        let journal = whole.journal[..cut].to_vec();
        let mut world = Memory { journal, ..Memory::default() };
        assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() }, "cut {cut}");
        assert_eq!(text(&told(&world.journal)), undisturbed, "cut {cut}");
    }
}

#[test]
fn what_is_said_while_calls_are_open_comes_after_their_results() {
    let calls = answer("", &[bash("true")]);
    let say = UserMessage { from: Origin::Person, text: "hold".to_owned(), inbox_id: None };
    let result =
        ToolResult { call_id: calls.calls[0].id.clone(), output: String::new(), is_error: false };
    let end = ToolEnd { result, title: String::new(), millis: 0 };
    let events =
        [Update::AgentMessage(calls), Update::UserMessage(say), Update::ToolCallUpdate(end)];
    let events: Vec<_> = events.into_iter().map(|update| Event::now(1, update)).collect();
    let messages = told(&events);
    assert!(
        matches!(&messages[..], [Message::Assistant(_), Message::Results(_), Message::User(said)] if said == "hold"),
        "{messages:?}"
    );
}

#[test]
fn calls_that_go_round_in_a_circle_are_told_then_not_run_and_then_for_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let same = answer("", &[write(&log)]);
    let mut answers = vec![same; 7];
    answers.push(finish("done"));
    let scene = Scene::new(&answers);
    let mut world = Memory::default();
    let reason = "the same calls give the same results again and again".to_owned();
    assert_eq!(scene.run(&mut world), Rest::Paused { reason });
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "once\n".repeat(4), "the fifth is not run");
    let heard = text(&told(&world.journal));
    assert_eq!(heard.matches(prompt::IN_A_CIRCLE).count(), 1, "{heard}");
    assert_eq!(heard.matches("Not run again").count(), 3, "{heard}");
    // A person's word lets it go on.
    world.inbox = vec![Steer::Say { id: "m1".to_owned(), text: "Leave it.".to_owned() }];
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
}

#[test]
fn the_same_call_is_no_circle_while_the_tree_changes() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut answers = vec![answer("", &[write(&log)]); 9];
    answers.push(finish("done"));
    let scene = Scene::new(&answers);
    let mut world = Memory { is_changed: true, ..Memory::default() };
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "once\n".repeat(9));
    assert!(!text(&told(&world.journal)).contains(prompt::IN_A_CIRCLE));
}
