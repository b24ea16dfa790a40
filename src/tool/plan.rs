//! The tool `plan`: what is to be done, and how far it is.
//!
//! Invariant: a plan is always told whole, so that the last one is all there is to know.

use serde_json::Value;

use super::arguments::{Arguments, Key, Kind, Shape};
use super::{Done, Effect};
use crate::message::{PlanItem, PlanStatus};

pub(super) static SHAPE: Shape = Shape {
    name: "plan",
    about: "Replace the plan that the person sees; for tasks of several parts. Keep one doing.",
    keys: &[Key {
        name: "items",
        kind: Kind::Items(&["pending", "doing", "done", "dropped"]),
        required: true,
        about: "",
        aliases: &["plan", "todos", "tasks", "steps", "entries"],
    }],
};

pub(super) fn call(arguments: &Arguments) -> Result<Done, String> {
    let list = arguments.list("items")?;
    let items = list.iter().map(|value| item(arguments, value)).collect::<Result<Vec<_>, _>>()?;
    let done = items.iter().filter(|item| item.status == PlanStatus::Done).count();
    let dropped = items.iter().filter(|item| item.status == PlanStatus::Dropped).count();
    Ok(Done {
        output: "ok\n".to_owned(),
        title: format!("plan · {done}/{}", items.len() - dropped),
        effect: Effect::Plan(items),
        ..Done::default()
    })
}

fn item(arguments: &Arguments, value: &Value) -> Result<PlanItem, String> {
    const WANTED: &str = "an object of text and status";
    if let Some(line) = value.as_str() {
        return Ok(from_line(line));
    }
    let named = |names: &[&str]| names.iter().find_map(|name| value[*name].as_str());
    let Some(text) = named(&["text", "content", "step", "title", "task", "description"]) else {
        return Err(arguments.wrong("items", value, WANTED));
    };
    let status = match named(&["status", "state"]).unwrap_or("pending") {
        "pending" | "todo" | "open" | "not_started" => PlanStatus::Pending,
        "doing" | "in_progress" | "in progress" | "active" | "started" => PlanStatus::Doing,
        "done" | "completed" | "complete" | "finished" => PlanStatus::Done,
        "dropped" | "cancelled" | "canceled" | "skipped" => PlanStatus::Dropped,
        _ => {
            let wanted = "of status pending, doing, done or dropped";
            return Err(arguments.wrong("items", value, wanted));
        }
    };
    Ok(PlanItem { text: text.to_owned(), status })
}

/// `- [x] text`, as some models write lists.
fn from_line(line: &str) -> PlanItem {
    let line = line.trim().trim_start_matches(['-', '*']).trim_start();
    let (status, text) = match line.get(..3) {
        Some("[x]" | "[X]") => (PlanStatus::Done, &line[3..]),
        Some("[~]" | "[>]") => (PlanStatus::Doing, &line[3..]),
        Some("[ ]") => (PlanStatus::Pending, &line[3..]),
        _ => (PlanStatus::Pending, line),
    };
    PlanItem { text: text.trim().to_owned(), status }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(raw: &str) -> Result<Vec<(String, PlanStatus)>, String> {
        match call(&Arguments::parse(&SHAPE, raw)?)?.effect {
            Effect::Plan(items) => Ok(items.into_iter().map(|i| (i.text, i.status)).collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_is_read_from_what_models_send() {
        let meant = Ok(vec![
            ("read".to_owned(), PlanStatus::Done),
            ("write".to_owned(), PlanStatus::Doing),
            ("test".to_owned(), PlanStatus::Pending),
        ]);
        for raw in [
            r#"{"items":[{"text":"read","status":"done"},{"text":"write","status":"doing"},{"text":"test","status":"pending"}]}"#,
            r#"{"todos":[{"content":"read","status":"completed"},{"content":"write","status":"in_progress"},{"content":"test"}]}"#,
            r#"{"plan":"[{\"step\":\"read\",\"status\":\"done\"},{\"step\":\"write\",\"status\":\"doing\"},{\"step\":\"test\",\"status\":\"todo\"}]"}"#,
            r#"{"items":"- [x] read\n- [>] write\n- [ ] test"}"#,
        ] {
            assert_eq!(items(raw), meant, "{raw}");
        }
        assert_eq!(
            items(r#"{"items":[{"text":"a","status":"soon"}]}"#).unwrap_err(),
            r#"arguments of plan: items is {"text":"a","status":"soon"}, not of status pending, doing, done or dropped; it takes items."#
        );
        assert!(items(r#"{"items":[7]}"#).unwrap_err().contains("an object of text and status"));
    }
}
