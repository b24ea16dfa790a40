//! Calls that a rule asks about or forbids.
//!
//! Invariant: what a command leaves on disk tells whether it ran.

use super::*;
use serde_json::json;

use crate::event::{Decision, QuestionKind, Verdict};

fn decide(question: u32, verdict: Verdict, reason: &str) -> Steer {
    let (reason, inbox_id) = (reason.to_owned(), Some(format!("{verdict:?}-{question}")));
    Steer::Decide(Decision { question, verdict, reason, inbox_id })
}

fn rules(texts: &[&str]) -> Rules {
    Rules::parse(texts, &crate::tool::names()).unwrap()
}

/// Two commands, the second of which leaves a mark; then it is done.
fn scene(texts: &[&str]) -> Scene {
    let calls = [bash("true"), bash("echo x >> mark")];
    Scene { rules: rules(texts), ..Scene::new(&[answer("", &calls), finish("done")]) }
}

fn mark(scene: &Scene) -> String {
    scene.content("mark")
}

fn results(world: &Memory) -> Vec<String> {
    let ends = world.journal.iter().filter_map(|event| match &event.update {
        Update::ToolCallUpdate(end) => Some(end.result.output.clone()),
        _ => None,
    });
    ends.collect()
}

fn begun(world: &Memory) -> usize {
    let begun = |event: &&Event| matches!(event.update, Update::ToolCall(_));
    world.journal.iter().filter(begun).count()
}

fn done() -> Rest {
    Rest::Done { summary: "done".to_owned() }
}

const ASK: &str = "ask bash(echo*)";

#[test]
fn x14_a_call_is_asked_about_before_it_begins_and_runs_once_by_a_yes() {
    let (scene, mut world) = (scene(&[ASK]), Memory::default());
    let Rest::NeedsInput(question) = scene.run(&mut world) else { panic!("it asks") };
    assert_eq!(question.text, "may it run echo x >> mark? (ask bash(echo*))");
    assert_eq!(question.kind, QuestionKind::Permission);
    assert_eq!(question.always.as_deref(), Some("allow bash(echo x >> mark)"));
    assert_eq!((begun(&world), mark(&scene)), (1, String::new()));
    // Killed and run again: the question stays, and is not asked twice.
    let told = world.journal.len();
    assert_eq!(scene.run(&mut world), Rest::NeedsInput(question));
    assert_eq!(world.journal.len(), told);
    world.inbox.push(decide(1, Verdict::Approved, ""));
    assert_eq!((scene.run(&mut world), mark(&scene)), (done(), "x\n".to_owned()));
}

#[test]
fn a_no_is_the_result_of_the_call() {
    let (scene, mut world) = (scene(&[ASK]), Memory::default());
    scene.run(&mut world);
    world.inbox.push(decide(1, Verdict::Denied, "no marks"));
    assert_eq!((scene.run(&mut world), mark(&scene)), (done(), String::new()));
    let heard =
        text(&Conversation::replay(&world.journal).take_messages().1.cloned().collect::<Vec<_>>());
    assert!(heard.contains("denied it: no marks"), "{heard}");
}

#[test]
fn x14_a_yes_is_void_where_the_rules_are_others_by_now() {
    let (mut scene, mut world) = (scene(&[ASK]), Memory::default());
    scene.run(&mut world);
    scene.rules = rules(&["ask bash(echo x*)"]);
    world.inbox.push(decide(1, Verdict::Approved, ""));
    let Rest::NeedsInput(again) = scene.run(&mut world) else { panic!("it asks again") };
    assert_eq!((again.number, mark(&scene)), (2, String::new()));
    scene.rules = rules(&["deny bash(echo*)"]);
    world.inbox.push(decide(2, Verdict::Approved, ""));
    assert_eq!((scene.run(&mut world), mark(&scene)), (done(), String::new()));
}

#[test]
fn a_yes_for_good_is_for_the_same_again() {
    let call = || bash("echo x >> mark");
    let answers = [answer("", &[call()]), answer("once more", &[call()]), finish("done")];
    let scene = Scene { rules: rules(&[ASK]), ..Scene::new(&answers) };
    let mut world = Memory::default();
    scene.run(&mut world);
    world.inbox.push(decide(1, Verdict::Always, ""));
    assert_eq!((scene.run(&mut world), mark(&scene)), (done(), "x\nx\n".to_owned()));
}

#[test]
fn x17_what_a_rule_forbids_is_told_and_never_begins() {
    let (scene, mut world) = (scene(&["deny bash(echo*)"]), Memory::default());
    assert_eq!((scene.run(&mut world), mark(&scene)), (done(), String::new()));
    let forbidden = "Not run: the rule `deny bash(echo*)` of this session forbids it. The same by \
                     another way is forbidden too; go on without it, or say at the end what it kept \
                     you from.\n";
    assert_eq!(results(&world)[1], forbidden);
    assert_eq!(begun(&world), 2, "that and finish");
}

#[test]
fn a_path_out_of_bounds_is_not_written_and_a_guarded_one_is_asked_about_once() {
    let write = |path: &str| ("write", json!({"file_path": path, "content": "x"}));
    let answers = [answer("", &[write("out"), write("./sub/../key")]), finish("done")];
    let scene = Scene::new(&answers);
    let finding = |rule: &str, path: &str, why: &str| {
        let [rule, path, why] = [rule, path, why].map(str::to_owned);
        Finding { rule, path, why, content: None }
    };
    let findings = vec![
        finding("scope", "out", "is outside the scope"),
        finding("protect", "key", "is protected by key"),
    ];
    let mut world = Memory { findings, ..Memory::default() };
    let Rest::NeedsInput(question) = scene.run(&mut world) else { panic!("it asks") };
    assert_eq!(question.text, "may it write key? (it is protected by key)");
    assert_eq!(question.always, None, "no rule allows what is guarded");
    assert!(results(&world)[0].starts_with("Not written: out is outside the scope."));
    world.findings.retain(|it| it.rule == "protect");
    world.inbox.push(decide(1, Verdict::Approved, ""));
    assert_eq!(scene.run(&mut world), done());
    assert!(scene.tree().join("key").exists() && !scene.tree().join("out").exists());
    let asked = world.journal.iter().filter(|it| matches!(it.update, Update::Question(_)));
    assert_eq!(asked.count(), 1);
}
