//! The tool `finish`: the model says that it is done.
//!
//! Invariant: it ends nothing itself; whether the work is accepted is the loop's decision.

use super::arguments::{Arguments, Key, Kind, Shape};
use super::{Done, Effect, output};

pub(super) static SHAPE: Shape = Shape {
    name: "finish",
    about: "Say that the task is done and checked. Ends the work once accepted.",
    keys: &[
        Key {
            name: "summary",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["message", "result", "text", "answer"],
        },
        Key {
            name: "checks",
            kind: Kind::Text,
            required: false,
            about: "what was run and what it showed",
            aliases: &["tests", "verification"],
        },
    ],
};

pub(super) fn call(arguments: &Arguments) -> Result<Done, String> {
    let summary = arguments.text("summary")?;
    let checks = arguments.text("checks")?;
    let title = format!("finish: {}", output::line(&summary, 72));
    Ok(Done {
        output: "ok\n".to_owned(),
        title,
        effect: Effect::Finish { summary, checks },
        ..Done::default()
    })
}
