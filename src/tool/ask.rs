//! The tool `ask`: a question to the person who attends the session.
//!
//! Invariant: it exists only where someone can answer.

use super::arguments::{Arguments, Key, Kind, Shape};
use super::{Done, Effect, output};

pub(super) static SHAPE: Shape = Shape {
    name: "ask",
    about: "Ask the person a question that only they can answer, and wait.",
    keys: &[
        Key {
            name: "question",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["text", "message", "prompt"],
        },
        Key {
            name: "options",
            kind: Kind::Texts,
            required: false,
            about: "",
            aliases: &["choices", "answers"],
        },
    ],
};

pub(super) fn call(arguments: &Arguments) -> Result<Done, String> {
    let question = arguments.text("question")?;
    if question.trim().is_empty() {
        return Err("the question is empty.".to_owned());
    }
    let options = arguments.list("options")?;
    let options = options.iter().map(|option| match option.as_str() {
        Some(text) => text.to_owned(),
        // Some send objects with a label.
        None => option["label"].as_str().map_or_else(|| option.to_string(), str::to_owned),
    });
    let options = options.collect();
    let title = format!("ask: {}", output::line(&question, 72));
    Ok(Done {
        output: "asked\n".to_owned(),
        title,
        effect: Effect::Ask { question, options },
        ..Done::default()
    })
}
