//! Limits, and what people decide about them.
//!
//! Invariant: an answer of [`answer`] uses 11 tokens, of a dollar each where that is known.

use super::*;
use crate::event::{Decision, Limit, LimitChange, LimitMark, QuestionKind, Unfinished, Verdict};

fn steps(count: usize) -> Vec<Answer> {
    let step = |at| answer(&format!("step {at}"), &[bash(&format!("true {at}"))]);
    let answers = (0..count).map(step);
    answers.chain([finish("done")]).collect()
}

fn allow(scene: &mut Scene, limit: Limit, to: f64) {
    scene.allowed = scene.allowed.with(limit, Some(to));
}

fn decide(question: u32, verdict: Verdict) -> Steer {
    let (reason, inbox_id) = (String::new(), Some(format!("{verdict:?}-{question}")));
    Steer::Decide(Decision { question, verdict, reason, inbox_id })
}

fn asked(rest: Rest) -> (String, u32) {
    let Rest::NeedsInput(question) = rest else { panic!("it does not ask: {rest:?}") };
    assert_eq!(question.kind, QuestionKind::Limit);
    (question.text, question.number)
}

fn changes(world: &Memory) -> Vec<(Limit, Option<f64>)> {
    let changes = world.journal.iter().filter_map(|event| match &event.update {
        Update::Limit(LimitChange { limit, to, .. }) => Some((*limit, *to)),
        _ => None,
    });
    changes.collect()
}

fn marks(world: &Memory) -> Vec<(Limit, u8)> {
    let marks = world.journal.iter().filter_map(|event| match &event.update {
        Update::LimitMark(LimitMark { limit, percent, .. }) => Some((*limit, *percent)),
        _ => None,
    });
    marks.collect()
}

#[test]
fn k01_every_limit_asks_before_the_next_request_and_goes_on_with_as_much_again() {
    for (limit, to, text) in [
        (Limit::Steps, 2.0, "the limit of 2 steps is reached; approve adds another 2 steps"),
        (Limit::Tokens, 22.0, "the limit of 22 tokens is reached; approve adds another 22 tokens"),
        (Limit::Budget, 22.0, "the budget of $22.00 is spent; approve adds another $22.00"),
    ] {
        let mut scene = Scene::new(&steps(4));
        allow(&mut scene, limit, to);
        let mut world = Memory { dollar_a_token: true, ..Memory::default() };
        assert_eq!(asked(scene.run(&mut world)), (text.to_owned(), 1));
        assert_eq!(asked(scene.run(&mut world)), (text.to_owned(), 1), "it is asked once");
        world.inbox = vec![decide(1, Verdict::Approved)];
        assert_eq!(asked(scene.run(&mut world)).1, 2);
        assert_eq!(Conversation::replay(&world.journal).step(), 4);
        world.inbox = vec![decide(2, Verdict::Approved)];
        assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
        assert_eq!(changes(&world), [(limit, Some(to * 2.0)), (limit, Some(to * 3.0))]);
        assert_eq!(world.taken, ["Approved-1", "Approved-2"]);
    }
}

#[test]
fn time_at_work_is_added_up_over_runs() {
    let mut scene = Scene::new(&steps(1));
    allow(&mut scene, Limit::Timeout, 60.0);
    let mut world = Memory::default();
    world.record(0, vec![Update::Worked(59_000), Update::Worked(1_500)]).unwrap();
    let (text, _) = asked(scene.run(&mut world));
    assert_eq!(text, "the time of 1 m is over; approve adds another 1 m");
    assert!(Conversation::replay(&world.journal).worked() >= 60_500);
}

#[test]
fn what_is_denied_pauses_and_is_asked_again_by_the_next_run() {
    let mut scene = Scene::new(&steps(2));
    allow(&mut scene, Limit::Steps, 1.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    let reason = "too dear".to_owned();
    let (verdict, inbox_id) = (Verdict::Denied, Some("m1".to_owned()));
    world.inbox = vec![Steer::Decide(Decision { question: 1, verdict, reason, inbox_id })];
    let reason = "the limit of 1 step is reached, and more was denied: too dear".to_owned();
    assert_eq!(scene.run(&mut world), Rest::Paused { reason });
    assert_eq!(asked(scene.run(&mut world)).1, 2);
    assert_eq!(changes(&world), []);
}

#[test]
fn always_lifts_the_limit() {
    let mut scene = Scene::new(&steps(5));
    allow(&mut scene, Limit::Steps, 1.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    world.inbox = vec![decide(1, Verdict::Always)];
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(changes(&world), [(Limit::Steps, None)]);
}

#[test]
fn e15_a_decision_on_an_answered_question_decides_nothing() {
    let mut scene = Scene::new(&steps(4));
    allow(&mut scene, Limit::Steps, 1.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    let again = Decision {
        question: 1,
        verdict: Verdict::Approved,
        reason: String::new(),
        inbox_id: Some("late".to_owned()),
    };
    // The same message twice, as after a crash; and another that was sent for the same question.
    let say = Steer::Say { id: "m1".to_owned(), text: "and be quick".to_owned() };
    world.inbox =
        vec![say, decide(1, Verdict::Approved), decide(1, Verdict::Approved), Steer::Decide(again)];
    assert_eq!(asked(scene.run(&mut world)).1, 2, "it was approved once");
    assert_eq!(world.taken, ["Approved-1", "Approved-1", "late", "m1"]);
    let notices: Vec<_> = world
        .journal
        .iter()
        .filter_map(|event| match &event.update {
            Update::Notice(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notices, ["an answer came when its question had been answered: yes"]);
    assert!(text(&told(&world.journal)).contains("and be quick"));
}

#[test]
fn words_do_not_decide() {
    let mut scene = Scene::new(&steps(2));
    allow(&mut scene, Limit::Steps, 1.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    let answer = |question| {
        let (id, text) = (format!("w{question:?}"), "yes, go on".to_owned());
        Steer::Answer { id, text, question }
    };
    world.inbox = vec![answer(None), answer(Some(1))];
    assert_eq!(asked(scene.run(&mut world)).1, 1);
    assert_eq!(world.taken, ["wSome(1)"], "what was meant for another question is refused");
}

#[test]
fn a_limit_set_by_hand_holds_and_takes_the_question_back() {
    let mut scene = Scene::new(&steps(5));
    allow(&mut scene, Limit::Steps, 2.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    let limit = |id: &str, to| Steer::Limit { id: id.to_owned(), limit: Limit::Steps, to };
    world.inbox = vec![limit("m1", Some(3.0))];
    let (question, number) = asked(scene.run(&mut world));
    assert_eq!(question, "the limit of 3 steps is reached; approve adds another 3 steps");
    assert_eq!((number, Conversation::replay(&world.journal).step()), (2, 3));
    world.inbox = vec![limit("m1", Some(3.0)), limit("m2", None)];
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(changes(&world), [(Limit::Steps, Some(3.0)), (Limit::Steps, None)]);
    let heard = text(&told(&world.journal));
    assert!(heard.contains("There is a new limit: 3 steps; 2 steps used."), "{heard}");
    assert!(heard.contains("There is no limit of steps any more."), "{heard}");
}

#[test]
fn marks_are_told_once_each_over_resumes_too() {
    let mut scene = Scene::new(&steps(9));
    allow(&mut scene, Limit::Steps, 8.0);
    let mut whole = Memory::default();
    asked(scene.run(&mut whole));
    assert_eq!(marks(&whole), [(Limit::Steps, 50), (Limit::Steps, 80)]);
    let heard = text(&told(&whole.journal));
    assert_eq!(heard.matches("50 % of the limit of 8 steps is used: 4 steps.").count(), 1);
    assert_eq!(heard.matches("80 % of the limit of 8 steps is used: 7 steps.").count(), 1);
    for cut in 1..whole.journal.len() {
        let mut world = Memory { journal: whole.journal[..cut].to_vec(), ..Memory::default() };
        asked(scene.run(&mut world));
        assert_eq!(marks(&world), marks(&whole), "cut {cut}");
        let questions = world.journal.iter();
        let questions =
            questions.filter(|event| matches!(event.update, Update::Question(_))).count();
        assert_eq!(questions, 1, "cut {cut}");
    }
}

#[test]
fn the_newest_mark_is_the_last_message() {
    let mut scene = Scene::new(&steps(3));
    allow(&mut scene, Limit::Steps, 2.0);
    let mut world = Memory::default();
    scene.run(&mut world);
    let messages = told(&world.journal);
    let last: Vec<_> = messages[messages.len() - 3..].iter().collect();
    assert!(
        matches!(&last[..], [Message::User(mark), Message::Assistant(_), Message::Results(_)]
            if mark == "50 % of the limit of 2 steps is used: 1 step."),
        "{messages:?}"
    );
}

#[test]
fn without_a_price_money_is_not_counted_and_that_is_said_once() {
    let mut scene = Scene::new(&steps(3));
    allow(&mut scene, Limit::Budget, 11.0);
    let mut world = Memory::default();
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    scene.run(&mut world);
    assert_eq!(marks(&world), [(Limit::Budget, 0)]);
    assert!(!text(&told(&world.journal)).contains("price"), "it is none of the model's business");
}

#[test]
fn a_shared_budget_counts_what_others_have_spent() {
    let mut scene = Scene::new(&steps(2));
    allow(&mut scene, Limit::Budget, 5.0);
    let shared = |spent, to| {
        let allowed = Allowance { to, more: 5.0 };
        Some(Shared { name: "shop".to_owned(), spent, allowed })
    };
    let mut world = Memory { dollar_a_token: true, shared: shared(4.75, 5.0), ..Memory::default() };
    // The spending of the session itself is booked by the world, which does nothing here.
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    let mut world = Memory { dollar_a_token: true, shared: shared(5.0, 5.0), ..Memory::default() };
    let text = "the shared budget shop of $5.00 is spent; approve adds another $5.00".to_owned();
    assert_eq!(asked(scene.run(&mut world)), (text, 1));
    // Somebody else has raised it meanwhile.
    world.shared = shared(5.0, 10.0);
    assert_eq!(scene.run(&mut world), Rest::Done { summary: "done".to_owned() });
    assert_eq!(changes(&world), []);
}

#[test]
fn a_permission_lets_its_call_run_or_gives_it_a_reason() {
    let calls = answer("", &[bash("true"), bash("echo two")]);
    let [first, second] = [0, 1].map(|at| calls.calls[at].clone());
    let ask = |call: &ToolCall| {
        Update::Question(Question {
            text: "may it run?".to_owned(),
            call_id: Some(call.id.clone()),
            kind: QuestionKind::Permission,
            ..Question::default()
        })
    };
    let decided = |question, verdict, reason: &str| {
        let reason = reason.to_owned();
        Update::Decision(Decision { question, verdict, reason, inbox_id: None })
    };
    let updates = [
        Update::AgentMessage(calls),
        Update::ToolCall(first.clone()),
        ask(&first),
        Update::ToolCall(second.clone()),
        ask(&second),
        decided(2, Verdict::Approved, "not its turn"),
        decided(1, Verdict::Approved, ""),
        decided(2, Verdict::Denied, "no network"),
    ];
    let mut conversation = Conversation::default();
    updates.iter().for_each(|update| conversation.apply(update));
    assert_eq!(conversation.asked(), None);
    let permits = |call: &ToolCall, text| conversation.is_permitted(&call.id, text);
    assert!(permits(&first, "may it run?") && !permits(&second, "may it run?"));
    assert!(!permits(&first, "may it run by now?"), "something else is asked");
    assert_eq!(conversation.next(), Next::Call);
    assert_eq!(conversation.next_calls(|_| false), std::slice::from_ref(&first));
    let result = ToolResult { call_id: first.id, output: "ok".to_owned(), is_error: false };
    conversation.apply(&Update::ToolCallUpdate(ToolEnd {
        result,
        title: String::new(),
        millis: 0,
    }));
    let messages: Vec<_> = conversation.take_messages().1.collect();
    let Some(Message::Results(results)) = messages.last() else { panic!("{messages:?}") };
    let denied = "Not run: the person who watches this session denied it: no network";
    assert_eq!([&*results[0].output, &*results[1].output], ["ok", denied]);
}

#[test]
fn what_was_begun_is_told_with_the_words_that_cut_it_short_and_never_run() {
    let usage = Usage { input: 7, ..Usage::default() };
    let cut = Update::Unfinished(Unfinished { text: "I shall use".to_owned(), usage });
    let say = |text: &str| {
        let (from, text) = (Origin::Person, text.to_owned());
        Update::UserMessage(UserMessage { from, text, inbox_id: None })
    };
    let told = |updates: &[Update]| {
        let mut conversation = Conversation::default();
        updates.iter().for_each(|update| conversation.apply(update));
        (conversation.usage().input, {
            let messages: Vec<_> = conversation.take_messages().1.cloned().collect();
            text(&messages)
        })
    };
    let (input, heard) = told(&[cut.clone(), say("tabs"), say("and more")]);
    let begun = "Your last answer was cut short by what follows. You had begun to say:\\n\\n\
                 I shall use";
    assert_eq!(input, 7);
    assert_eq!(heard, format!(r#"[{{"user":"{begun}"}},{{"user":"tabs"}},{{"user":"and more"}}]"#));
    // Answered since: it is said and done.
    let (input, heard) = told(&[cut, Update::AgentMessage(answer("hm", &[])), say("tabs")]);
    assert!(input == 17 && !heard.contains("I shall use"), "{heard}");
}

#[test]
fn what_is_said_while_the_last_call_runs_is_one_more_reason_to_go_on() {
    let finished = finish("one");
    let call_id = finished.calls[0].id.clone();
    let say = UserMessage { from: Origin::Person, text: "and more".to_owned(), inbox_id: None };
    let result = ToolResult { call_id, output: "ok\n".to_owned(), is_error: false };
    let end = ToolEnd { result, title: String::new(), millis: 0 };
    let mut conversation = Conversation::default();
    for update in
        [Update::AgentMessage(finished), Update::UserMessage(say), Update::ToolCallUpdate(end)]
    {
        conversation.apply(&update);
    }
    assert_eq!(conversation.next(), Next::Ask, "the model has not read it yet");
}
