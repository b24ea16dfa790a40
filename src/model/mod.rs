//! Models, one wire format a file.
//!
//! A [`Choice`] is typed (`anthropic/…`), an [`Endpoint`] is found for it, and a [`Model`] grows a
//! conversation message by message and asks for the next answer.
//!
//! Invariant: an answer goes back byte for byte, and a request only ever grows at its end.

mod anthropic;
mod anthropic_stream;
mod choice;
mod dialect;
mod endpoint;
mod exec;
mod http;
mod openai_chat;
mod openai_responses;
mod price;
mod replay;
mod retry;
#[cfg(test)]
mod testing;
mod window;
mod wire_error;

use std::path::PathBuf;
use std::time::Duration;

pub use self::choice::{Choice, ChoiceError};
pub use self::endpoint::{Endpoint, EndpointError, Looked, Surroundings, look};
pub use self::retry::Pace;

use self::choice::Wire as Format;
use self::dialect::{Brief, Dialect, History};
use self::endpoint::Place;
use self::exec::Command;
use self::http::Wire;
use self::price::Known;
use self::replay::Transcript;
pub use crate::config::PATIENCE;
use crate::event::Delta;
use crate::message::{Answer, Message, ToolSpec, Usage};

/// How long a server may take to answer a knock before it is believed to be there.
const KNOCK: Duration = Duration::from_secs(2);

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
    /// The window in tokens; none takes what is known of the model.
    pub window: Option<u64>,
    /// How long to go on trying, all in all.
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
    /// The command that was to do the work did not.
    #[error("'{command}' has failed: {said}")]
    CommandFailed {
        /// The command.
        command: String,
        /// How it ended.
        said: String,
    },
    /// The command has done what it can.
    #[error("'{command}' has run, and can do no more")]
    CommandOver {
        /// The command.
        command: String,
    },
}

/// Whether there is something behind an endpoint that would answer, as far as a look can tell; for
/// before anything is made for a session.
///
/// # Errors
/// Nobody is there, the key is refused, or the transcript cannot be opened.
pub async fn knock(endpoint: &Endpoint) -> Result<(), ModelError> {
    match &endpoint.place {
        Place::Transcript(path) => Transcript::open(path).map(drop),
        Place::Command(_) => Ok(()),
        Place::Server { base, key, wire } => {
            let (base, key) = (base.clone(), key.clone());
            let wire = Wire::new(base, key, dialect(*wire), Pace::default(), PATIENCE)?;
            wire.knock(KNOCK).await
        }
    }
}

/// Whether the price of a model is known.
pub fn is_priced(choice: &Choice) -> bool {
    choice.provider.prices.is_some_and(|vendor| Known::find(vendor, choice.model()).is_some())
}

fn dialect(format: Format) -> &'static dyn Dialect {
    match format {
        Format::Anthropic => &anthropic::Anthropic,
        Format::Responses => &openai_responses::Responses,
        Format::Chat => &openai_chat::Chat,
    }
}

/// What a model's tokens cost, where that is known.
#[derive(Clone, Debug)]
pub struct Pricing(Option<Known>);

impl Pricing {
    /// Of a model, `provider/model`; nothing is known of what is no model's name.
    pub fn of(name: &str) -> Self {
        Self(name.parse().ok().and_then(|choice| known(&choice)))
    }

    /// Dollars for the tokens of one answer. Add up costs, not tokens: some models charge more for
    /// long prompts.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        self.0.as_ref().map(|known| known.cost(usage))
    }
}

fn known(choice: &Choice) -> Option<Known> {
    Known::find(choice.provider.prices?, choice.model())
}

/// One conversation with one model.
pub struct Model {
    setup: Setup,
    label: String,
    known: Option<Known>,
    way: Way,
}

enum Way {
    Server(Box<Server>),
    Replay(Box<Transcript>),
    Exec(Command),
}

/// A conversation as a server sees it.
struct Server {
    dialect: &'static dyn Dialect,
    wire: Wire,
    head: String,
    history: History,
}

impl Model {
    /// Makes ready; nothing is connected yet.
    ///
    /// # Errors
    /// The transcript cannot be opened, or the key cannot be sent.
    pub fn open(mut setup: Setup) -> Result<Self, ModelError> {
        let label = setup.choice.label();
        let known = known(&setup.choice);
        let way = match &setup.endpoint.place {
            Place::Transcript(path) => Way::Replay(Box::new(Transcript::open(path)?)),
            Place::Command(command) => Way::Exec(Command::new(command)),
            Place::Server { base, key, wire } => {
                let dialect = dialect(*wire);
                if setup.max_output.is_none() {
                    setup.max_output =
                        dialect.max_output(known.as_ref().map(|known| known.max_output));
                }
                let head = dialect.head(&brief(&setup, known.as_ref()));
                let (base, key) = (base.clone(), key.clone());
                let wire = Wire::new(base, key, dialect, setup.pace, setup.patience)?;
                Way::Server(Box::new(Server { dialect, wire, head, history: History::default() }))
            }
        };
        Ok(Self { setup, label, known, way })
    }

    /// The choice, written out.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The choice as it is typed, for [`Choice`] to read.
    pub fn name(&self) -> String {
        self.setup.choice.to_string()
    }

    /// Where its address and key are from, by name.
    pub fn sources(&self) -> &[String] {
        self.setup.endpoint.sources()
    }

    /// Whether it can mend what it is told of.
    pub fn can_mend(&self) -> bool {
        !matches!(self.way, Way::Exec(_))
    }

    /// The window that is counted with, in tokens; a transcript has none that could be full.
    pub fn context_window(&self) -> Option<u64> {
        let known = self.known.as_ref().map(|known| known.context);
        let usual = match &self.way {
            Way::Replay(_) | Way::Exec(_) => None,
            Way::Server(_) => Some(window::window(&self.setup.choice, known)),
        };
        self.setup.window.or(usual)
    }

    /// Lets answers be as long as the model can, after one was cut. False where they already may.
    pub fn raise_output_limit(&mut self) -> bool {
        let (Some(limit), Some(known), Way::Server(server)) =
            (self.setup.max_output, &self.known, &mut self.way)
        else {
            return false;
        };
        if limit >= known.max_output {
            return false;
        }
        self.setup.max_output = Some(known.max_output);
        server.head = server.dialect.head(&brief(&self.setup, Some(known)));
        true
    }

    /// Goes on with another key or address of the same provider, e.g. after a key has run out.
    /// False where it is the same as before.
    ///
    /// # Errors
    /// The key cannot be sent.
    pub fn reconnect(&mut self, endpoint: Endpoint) -> Result<bool, ModelError> {
        if endpoint.place.opens_as(&self.setup.endpoint.place) {
            return Ok(false);
        }
        if let (Way::Server(server), Place::Server { base, key, .. }) =
            (&mut self.way, &endpoint.place)
        {
            let (base, key) = (base.clone(), key.clone());
            let Setup { pace, patience, .. } = self.setup;
            server.wire = Wire::new(base, key, server.dialect, pace, patience)?;
        }
        self.setup.endpoint = endpoint;
        Ok(true)
    }

    /// Forgets the conversation, so that another is told. Of what was in it, so many answers and
    /// calls are not told again.
    pub fn restart(&mut self, answers: usize, calls: usize) {
        match &mut self.way {
            Way::Server(server) => {
                server.history = History::default();
                server.history.count_calls(calls);
            }
            Way::Replay(transcript) => transcript.restart(answers),
            Way::Exec(command) => command.restart(answers),
        }
    }

    /// Adds a message to the conversation.
    pub fn push(&mut self, message: &Message) {
        match (&mut self.way, message) {
            (Way::Server(server), message) => {
                let model = self.setup.choice.model();
                server.dialect.push(&mut server.history, model, message);
                if let Message::Assistant(answer) = message {
                    server.history.count_calls(answer.calls.len());
                }
            }
            (Way::Replay(transcript), Message::Assistant(_)) => transcript.pushed(),
            (Way::Replay(_), _) => {}
            (Way::Exec(command), message) => command.push(message),
        }
    }

    /// Asks for the next answer, with something said aside that is no part of the conversation,
    /// and tells what comes in as it comes. May be dropped at any time: the conversation is as it
    /// was.
    ///
    /// # Errors
    /// There is no answer, and no further try makes sense.
    pub async fn answer(
        &mut self,
        aside: Option<&Message>,
        on: &mut dyn FnMut(Delta<'_>),
    ) -> Result<Answer, ModelError> {
        let model = self.setup.choice.model();
        match &mut self.way {
            Way::Server(server) => {
                let Server { dialect, wire, head, history } = &mut **server;
                let body = match aside {
                    None => history.body(head, dialect.cache_mark()),
                    Some(aside) => {
                        let mut history = history.clone();
                        dialect.push(&mut history, model, aside);
                        history.body(head, dialect.cache_mark())
                    }
                };
                let decoder = || dialect.decoder(model, history.calls());
                wire.answer(body, &decoder, on).await
            }
            Way::Replay(transcript) => transcript.answer(on),
            Way::Exec(command) => command.answer(),
        }
    }
}

fn brief<'a>(setup: &'a Setup, known: Option<&Known>) -> Brief<'a> {
    Brief {
        model: setup.choice.model(),
        system: &setup.system,
        tools: &setup.tools,
        cache_key: &setup.cache_key,
        max_output: setup.max_output,
        effort: setup.effort.as_deref(),
        adaptive_thinking: known.is_some_and(Known::thinks_adaptively),
    }
}
