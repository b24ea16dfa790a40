//! Models, one wire format a file.
//!
//! A [`Choice`] is typed (`anthropic/…`), an [`Endpoint`] is found for it, and a [`Model`] grows a
//! conversation message by message and asks for the next answer.
//!
//! Invariant: an answer goes back byte for byte, and a request only ever grows at its end.

mod anthropic;
mod choice;
mod dialect;
mod endpoint;
mod http;
mod replay;
mod retry;

use std::path::PathBuf;
use std::time::Duration;

pub use self::choice::{Choice, ChoiceError};
pub use self::endpoint::{Endpoint, EndpointError, Looked, Surroundings, look};
pub use self::retry::Pace;

use self::choice::Wire as Format;
use self::dialect::{Brief, Dialect, History};
use self::endpoint::Place;
use self::http::Wire;
use self::replay::Transcript;
use crate::event::Delta;
use crate::message::{Answer, Message, ToolSpec};

/// How long a server that is overloaded or limits the rate is waited for.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What a conversation begins with; fixed for its length, as the provider's cache wants it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which model.
    pub choice: Choice,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The system prompt.
    pub system: String,
    /// The tools, in a stable order.
    pub tools: Vec<ToolSpec>,
    /// What the provider may keep the conversation's cache under: the session's id.
    pub cache_key: String,
    /// Longest answer in tokens; none asks for what is usual for the model.
    pub max_output: Option<u64>,
    /// How hard to think, in the vendor's words (`low`, `medium`, `high` …); none leaves it open.
    pub effort: Option<String>,
    /// How long to go on trying, all in all: [`PATIENCE`].
    pub patience: Duration,
    /// How to go on trying.
    pub pace: Pace,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The HTTP client cannot be built.
    #[error("cannot set up http: {0}")]
    Client(String),
    /// The key holds characters that no header takes.
    #[error("the key holds characters that cannot be sent")]
    KeyUnusable,
    /// Nobody answers at the address.
    #[error("no model server at {address}: {reason}")]
    NotThere {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The server does not take the key.
    #[error("{address} refuses the key: {message}")]
    KeyRefused {
        /// The address.
        address: String,
        /// What the server said.
        message: String,
    },
    /// The conversation no longer fits the model's window.
    #[error("the conversation no longer fits: {0}")]
    ContextTooLong(String),
    /// The server will not do this, however often it is asked.
    #[error("the model server refuses the request ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The server could not do it within the patience.
    #[error("no answer after {tries} tries: {reason}")]
    Unavailable {
        /// How often it was tried.
        tries: u32,
        /// What was said last.
        reason: String,
    },
    /// The transcript cannot be read.
    #[error("cannot read the transcript")]
    Transcript(#[source] std::io::Error),
    /// A line of the transcript is not an event.
    #[error("{}:{line} is not an event", path.display())]
    TranscriptLine {
        /// The transcript.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The transcript holds no further answer.
    #[error("{} ends after {answers} answers", path.display())]
    TranscriptEnded {
        /// The transcript.
        path: PathBuf,
        /// How many it holds.
        answers: usize,
    },
}

/// One conversation with one model.
pub struct Model {
    label: String,
    model: String,
    way: Way,
}

enum Way {
    Server(Box<Server>),
    Replay(Transcript),
}

/// A conversation as a server sees it.
struct Server {
    dialect: Box<dyn Dialect>,
    wire: Wire,
    head: String,
    history: History,
}

impl Model {
    /// Makes ready; nothing is connected yet.
    ///
    /// # Errors
    /// The transcript cannot be opened, or the key cannot be sent.
    pub fn open(setup: Setup) -> Result<Self, ModelError> {
        let Setup { choice, endpoint, patience, pace, .. } = &setup;
        let label = choice.to_string();
        let way = match &endpoint.place {
            Place::Transcript(path) => Way::Replay(Transcript::open(path)?),
            Place::Server { base, key } => {
                let dialect = dialect(choice.provider.wire);
                let brief = Brief {
                    model: &choice.model,
                    system: &setup.system,
                    tools: &setup.tools,
                    cache_key: &setup.cache_key,
                    max_output: setup.max_output,
                    effort: setup.effort.as_deref(),
                    adaptive_thinking: false,
                };
                let head = dialect.head(&brief);
                let wire = Wire::new(base.clone(), key.clone(), &*dialect, *pace, *patience)?;
                let history = History::default();
                Way::Server(Box::new(Server { dialect, wire, head, history }))
            }
        };
        Ok(Self { label, model: setup.choice.model, way })
    }

    /// The choice, written out.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Adds a message to the conversation.
    pub fn push(&mut self, message: &Message) {
        match &mut self.way {
            Way::Server(server) => {
                server.dialect.push(&mut server.history, &self.model, message);
                if let Message::Assistant(answer) = message {
                    server.history.count_calls(answer.calls.len());
                }
            }
            Way::Replay(transcript) => {
                if matches!(message, Message::Assistant(_)) {
                    transcript.pushed();
                }
            }
        }
    }

    /// Asks for the next answer and tells what comes in as it comes. May be dropped at any time:
    /// the conversation is as it was.
    ///
    /// # Errors
    /// There is no answer, and no further try makes sense.
    pub async fn answer(&mut self, on: &mut dyn FnMut(Delta<'_>)) -> Result<Answer, ModelError> {
        match &mut self.way {
            Way::Server(server) => {
                let Server { dialect, wire, head, history } = &mut **server;
                let body = history.body(head, dialect.cache_mark());
                let decoder = || dialect.decoder(&self.model, history.calls());
                wire.answer(body, &decoder, on).await
            }
            Way::Replay(transcript) => transcript.answer(on),
        }
    }
}

fn dialect(wire: Format) -> Box<dyn Dialect> {
    match wire {
        _ => Box::new(anthropic::Anthropic),
    }
}
