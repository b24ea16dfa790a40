//! Changes that wait for a person before they are committed.
//!
//! Invariant: the world is in memory; what the gate finds stays until it is put back.

use super::*;
use crate::event::{Decision, PutBack, Verdict};

fn decide(verdict: Verdict) -> Steer {
    let (reason, inbox_id) = ("not yours".to_owned(), Some(format!("{verdict:?}")));
    Steer::Decide(Decision { question: 1, verdict, reason, inbox_id })
}

/// A session that has changed a protected path, up to the question.
fn held() -> (Scene, Memory) {
    let scene = Scene::new(&[answer("", &[bash("touch key")]), finish("done")]);
    let (rule, why) = ("protect".to_owned(), "is protected by key".to_owned());
    let finding = Finding { rule, path: "key".to_owned(), why, content: Some("1".to_owned()) };
    let mut world =
        Memory { is_changed: true, findings: vec![finding.clone()], ..Memory::default() };
    let Rest::NeedsInput(question) = scene.run(&mut world) else { panic!("it asks") };
    let text = "keep these changes? key is protected by key; deny puts them back";
    assert_eq!((question.text.as_str(), question.findings), (text, vec![finding]));
    assert_eq!(world.commits.len(), 0, "nothing is committed");
    (scene, world)
}

#[test]
fn what_waits_is_not_asked_twice_and_goes_through_by_a_yes() {
    let (scene, mut world) = held();
    let told = world.journal.len();
    assert!(matches!(scene.run(&mut world), Rest::NeedsInput(_)), "and waits on");
    assert_eq!(world.journal.len(), told);
    world.inbox.push(decide(Verdict::Approved));
    // Its finding stays as it is: the memory of this world has no trees.
    let Rest::NeedsInput(again) = scene.run(&mut world) else { panic!("the next step is another") };
    assert_eq!(world.commits, [(1, Changed::Anything)]);
    world.inbox.push(Steer::Decide(Decision {
        question: again.number,
        verdict: Verdict::Always,
        reason: String::new(),
        inbox_id: Some("always".to_owned()),
    }));
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
}

#[test]
fn what_is_denied_is_put_back_before_anything_is_committed() {
    let (scene, mut world) = held();
    world.inbox.push(decide(Verdict::Denied));
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    let put_back = world.journal.iter().filter_map(|event| match &event.update {
        Update::PutBack(put_back) => Some(put_back.clone()),
        _ => None,
    });
    let wanted = PutBack {
        paths: vec!["key".to_owned()],
        reason: "not yours".to_owned(),
        kept: Some("kept".to_owned()),
    };
    assert_eq!(put_back.collect::<Vec<_>>(), [wanted]);
    let mut told = Conversation::replay(&world.journal);
    let heard = text(&told.take_messages().1.cloned().collect::<Vec<_>>());
    assert!(heard.contains("does not allow your changes to key: not yours"), "{heard}");
}

#[test]
fn a_denial_that_was_cut_off_is_carried_out_by_the_next_run() {
    let (scene, mut world) = held();
    let Steer::Decide(decision) = decide(Verdict::Denied) else { unreachable!() };
    world.record(1, vec![Update::Decision(decision)]).unwrap();
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(world.findings, []);
}
