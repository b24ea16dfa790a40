//! A model that says again what a transcript holds: for the demo, for tests, for bug reports.
//!
//! Invariant: the answer given is the one that follows the answers already in the history, so a
//! resumed session goes on where it was.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use fs_err::File;

use super::ModelError;
use crate::event::{Delta, Event, Update};
use crate::message::Answer;

/// An open transcript: any JSON lines of events; its `agent_message` updates are the answers.
#[derive(Debug)]
pub(super) struct Transcript {
    path: PathBuf,
    lines: BufReader<File>,
    line: usize,
    /// Answers read from the file.
    read: usize,
    /// Answers in the history.
    pushed: usize,
    /// The last one read.
    current: Option<Answer>,
}

impl Transcript {
    /// Opens one.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::Transcript)?;
        let lines = BufReader::new(file);
        Ok(Self { path: path.to_owned(), lines, line: 0, read: 0, pushed: 0, current: None })
    }

    /// Books an answer that is in the history.
    pub(super) fn pushed(&mut self) {
        self.pushed += 1;
    }

    /// Goes back to a history that begins behind so many answers.
    pub(super) fn restart(&mut self, answers: usize) {
        self.pushed = answers;
    }

    /// The next answer.
    pub(super) fn answer(&mut self, on: &mut dyn FnMut(Delta<'_>)) -> Result<Answer, ModelError> {
        while self.read <= self.pushed {
            self.current = Some(self.read_answer()?);
            self.read += 1;
        }
        let answer = self.current.clone().ok_or_else(|| self.ended())?;
        if !answer.thought.is_empty() {
            on(Delta::Thought(&answer.thought));
        }
        if !answer.text.is_empty() {
            on(Delta::Text(&answer.text));
        }
        for call in &answer.calls {
            on(Delta::Call(&call.name));
        }
        Ok(answer)
    }

    fn read_answer(&mut self) -> Result<Answer, ModelError> {
        let mut text = String::new();
        loop {
            text.clear();
            if self.lines.read_line(&mut text).map_err(ModelError::Transcript)? == 0 {
                return Err(self.ended());
            }
            self.line += 1;
            if text.trim().is_empty() {
                continue;
            }
            match Event::parse(text.trim()) {
                Ok(Event { update: Update::AgentMessage(answer), .. }) => return Ok(answer),
                Ok(_) => {}
                // Torn by a crash of who wrote it: what is before it is whole.
                Err(_) if !text.ends_with('\n') => return Err(self.ended()),
                Err(source) => {
                    let (path, line) = (self.path.clone(), self.line);
                    return Err(ModelError::TranscriptLine { path, line, source });
                }
            }
        }
    }

    fn ended(&self) -> ModelError {
        ModelError::TranscriptEnded { path: self.path.clone(), answers: self.read }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, Endpoint, Model, Pace, Setup, Surroundings};
    use super::*;
    use crate::message::{Message, RawContent, StopReason, ToolCall, Usage};

    fn line(step: u32, update: Update) -> String {
        Event::now(step, update).to_line().unwrap() + "\n"
    }

    fn answer(text: &str) -> Answer {
        let call = ToolCall { id: "c".into(), name: "bash".into(), arguments: "{\"a\": 1}".into() };
        let content = serde_json::value::RawValue::from_string("[ {\"b\" :1.50} ]".into()).unwrap();
        Answer {
            text: text.to_owned(),
            thought: "hm".to_owned(),
            calls: vec![call],
            stop: StopReason::ToolUse,
            usage: Usage { input: 5, cached: 2, cache_write: 1, output: 3 },
            raw: Some(RawContent { dialect: "anthropic".into(), model: "m".into(), content }),
        }
    }

    fn open(transcript: &str) -> (tempfile::TempDir, Result<Model, ModelError>) {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("t.jsonl"), transcript).unwrap();
        let choice: Choice = "replay/t.jsonl".parse().unwrap();
        let around = Surroundings { env: &|_| None, config: &|_| None, cwd: dir.path() };
        let endpoint = Endpoint::resolve(&choice, &around).unwrap();
        let model = Model::open(Setup {
            choice,
            endpoint,
            system: String::new(),
            tools: Vec::new(),
            cache_key: String::new(),
            max_output: None,
            effort: None,
            window: None,
            patience: super::super::PATIENCE,
            pace: Pace::default(),
        });
        (dir, model)
    }

    #[tokio::test]
    async fn answers_come_in_order_and_as_recorded() {
        let transcript = [
            line(0, Update::Notice("begin".into())),
            line(1, Update::AgentMessage(answer("one"))),
            "{\"format\":9,\"time\":\"2026-01-01T00:00:00Z\",\"step\":1,\"update\":{\"newer\":1}}\n".into(),
            line(2, Update::AgentMessage(answer("two"))),
            "{\"torn".into(),
        ];
        let (_dir, model) = open(&transcript.concat());
        let mut model = model.unwrap();
        let mut told = super::super::testing::Told::default();
        let one = model.answer(None, &mut |delta| told.hear(delta)).await.unwrap();
        assert_eq!(told.0, ["thought hm", "text one", "call bash"]);
        let json = |answer: &Answer| serde_json::to_string(answer).unwrap();
        assert_eq!(json(&one), json(&answer("one")));
        // Asked again without a push: the same one.
        assert_eq!(model.answer(None, &mut |_| {}).await.unwrap().text, "one");
        model.push(&Message::Assistant(one));
        model.push(&Message::Results(Vec::new()));
        let two = model.answer(None, &mut |_| {}).await.unwrap();
        assert_eq!(two.text, "two");
        model.push(&Message::Assistant(two));
        let error = model.answer(None, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, ModelError::TranscriptEnded { answers: 2, .. }), "{error}");
        assert_eq!(super::super::Pricing::of(&model.name()).cost(&Usage::default()), None);
    }

    #[tokio::test]
    async fn a_resumed_session_skips_what_it_has() {
        let lines: String =
            (0..3).map(|n| line(n, Update::AgentMessage(answer(&n.to_string())))).collect();
        let (_dir, model) = open(&lines);
        let mut model = model.unwrap();
        model.push(&Message::Assistant(answer("0")));
        model.push(&Message::Assistant(answer("1")));
        assert_eq!(model.answer(None, &mut |_| {}).await.unwrap().text, "2");
    }

    #[tokio::test]
    async fn a_bad_line_is_named_and_a_missing_file_too() {
        let (_dir, model) = open("{}\n");
        let error = model.unwrap().answer(None, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, ModelError::TranscriptLine { line: 1, .. }), "{error}");
        let error = Transcript::open(Path::new("/nowhere/t.jsonl")).unwrap_err();
        assert!(matches!(error, ModelError::Transcript(_)));
    }
}
