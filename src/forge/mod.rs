//! Forges: pull requests, their checks and their comments, at GitHub, GitLab, Forgejo and Gitea.
//!
//! | file | what |
//! |---|---|
//! | `place.rs` | from a remote's address to host, project and kind |
//! | `probe.rs` | what an unknown host speaks |
//! | `token.rs` | what lets us in |
//! | `client.rs` | requests: headers, waits, pages |
//! | `github.rs`, `gitlab.rs`, `forgejo.rs` | one interface each; Forgejo's is GitHub's in part |
//! | `words.rs` | what forges say when they refuse |
//!
//! Invariant: what comes from a forge is text of strangers; nothing here runs or believes it.

mod client;
mod error;
mod forgejo;
mod github;
mod gitlab;
pub mod place;
mod probe;
pub mod token;
mod words;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use client::{Client, Query};
pub use client::{PATIENCE, Wait};
pub use error::ForgeError;
use place::{Address, Kind, Place};
pub use probe::probe;
use token::Token;

/// Most of a check's log that is read: its end, in bytes.
const LOG: usize = 64 << 10;

/// A forge, and the project that is meant there.
pub struct Forge<'a> {
    place: Place,
    client: Client<'a>,
}

/// A pull request as it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The project that the branch is in, where that is another (a fork).
    pub from: Option<&'a Address>,
    /// The branch.
    pub branch: &'a str,
    /// The branch it is for.
    pub into: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Its description, in Markdown.
    pub body: &'a str,
    /// Whether it is not to be merged yet.
    pub is_draft: bool,
}

/// What is to be changed of a pull request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Its title.
    pub title: Option<&'a str>,
    /// Its description.
    pub body: Option<&'a str>,
    /// The branch it is for.
    pub into: Option<&'a str>,
}

/// A pull request as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: String,
    /// The branch it is for.
    pub into: String,
    /// The commit that it is at, in hex.
    pub head: String,
    /// What became of it.
    pub standing: Standing,
}

/// What became of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Open,
    /// It is in.
    Merged,
    /// It was put away.
    Closed,
}

impl Standing {
    /// The word in files and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }
}

/// One check of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What it says in short; may be empty.
    pub said: String,
    /// Its page; may be empty.
    pub url: String,
    /// What its log is asked for by; none where there is no log to be had.
    pub log: Option<String>,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has not ended.
    Pending,
    /// Nothing is wrong, or it does not count.
    Passed,
    /// Something is wrong.
    Failed,
}

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What it is known by at the forge, with its kind.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// The file and line that it is about.
    pub at: Option<String>,
    /// What it says.
    pub text: String,
}

impl<'a> Forge<'a> {
    /// Nothing is asked yet. `on_wait` is told when the forge limits the rate.
    ///
    /// # Errors
    /// The token holds what no header can, or there is no HTTP on this machine.
    pub fn open(
        place: Place,
        token: &Token,
        patience: Duration,
        on_wait: Box<dyn Fn(&Wait) + 'a>,
    ) -> Result<Self, ForgeError> {
        let headers = headers(place.kind, Some(token));
        let headers = headers.ok_or_else(|| ForgeError::BadToken(token.source.clone()))?;
        let source = token.source.clone();
        let client = Client::new(&place.api, headers, source, patience, on_wait)?;
        Ok(Self { place, client })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The open pull request for a branch, if there is one.
    ///
    /// # Errors
    /// The forge cannot be asked.
    pub async fn find(
        &self,
        from: Option<&Address>,
        branch: &str,
    ) -> Result<Option<Pull>, ForgeError> {
        let from = self.fork(from);
        match self.place.kind {
            Kind::GitHub => github::find(self, from.as_ref(), branch).await,
            Kind::GitLab => gitlab::find(self, from.as_ref(), branch).await,
            Kind::Forgejo => forgejo::find(self, from.as_ref(), branch).await,
        }
    }

    /// The pull request of this number.
    ///
    /// # Errors
    /// There is none, or the forge cannot be asked.
    pub async fn pull(&self, number: u64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        match self.place.kind {
            Kind::GitHub | Kind::Forgejo => github::pull(self, &number).await,
            Kind::GitLab => gitlab::pull(self, &number).await,
        }
    }

    /// Opens one.
    ///
    /// # Errors
    /// The forge refuses.
    pub async fn create(&self, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
        let from = self.fork(draft.from);
        let draft = Draft { from: from.as_ref(), ..*draft };
        match self.place.kind {
            Kind::GitHub => github::create(self, &draft).await,
            Kind::GitLab => gitlab::create(self, &draft).await,
            Kind::Forgejo => forgejo::create(self, &draft).await,
        }
    }

    /// Changes one.
    ///
    /// # Errors
    /// The forge refuses.
    pub async fn change(&self, number: u64, change: &Change<'_>) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        match self.place.kind {
            Kind::GitHub => github::change(self, &number, change).await,
            Kind::GitLab => gitlab::change(self, &number, change).await,
            Kind::Forgejo => forgejo::change(self, &number, change).await,
        }
    }

    /// Asks these people to look at it too; where a group can be asked, it is `owner/group`.
    ///
    /// # Errors
    /// The forge refuses, or does not know one of them.
    pub async fn ask(&self, number: u64, reviewers: &[String]) -> Result<(), ForgeError> {
        let number = number.to_string();
        match self.place.kind {
            Kind::GitHub | Kind::Forgejo => github::ask(self, &number, reviewers).await,
            Kind::GitLab => gitlab::ask(self, &number, reviewers).await,
        }
    }

    /// The checks of a commit, as far as they are known by now.
    ///
    /// # Errors
    /// The forge cannot be asked.
    pub async fn checks(&self, commit: &str) -> Result<Vec<Check>, ForgeError> {
        match self.place.kind {
            Kind::GitHub => github::checks(self, commit).await,
            Kind::GitLab => gitlab::checks(self, commit).await,
            Kind::Forgejo => forgejo::checks(self, commit).await,
        }
    }

    /// The end of a check's log; none where the forge does not give it.
    ///
    /// # Errors
    /// The forge cannot be asked.
    pub async fn log(&self, check: &Check) -> Result<Option<String>, ForgeError> {
        let Some(id) = &check.log else { return Ok(None) };
        let text = match self.place.kind {
            Kind::GitHub => github::log(self, id).await,
            Kind::GitLab => gitlab::log(self, id).await,
            Kind::Forgejo => forgejo::log(self, id).await,
        };
        match text {
            // A log expires, or is not for this token: the check has failed all the same.
            Err(ForgeError::NotFound { .. } | ForgeError::Refused { .. }) => Ok(None),
            text => text.map(Some),
        }
    }

    /// What people, and programs, have said about it, oldest first within its kinds; without what
    /// is settled by now, where the forge tells that.
    ///
    /// # Errors
    /// The forge cannot be asked.
    pub async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let number = number.to_string();
        let mut comments = match self.place.kind {
            Kind::GitHub => github::comments(self, &number).await?,
            Kind::GitLab => gitlab::comments(self, &number).await?,
            Kind::Forgejo => forgejo::comments(self, &number).await?,
        };
        comments.retain(|comment| !comment.text.trim().is_empty());
        Ok(comments)
    }

    /// Merges it, if it is still at this commit.
    ///
    /// # Errors
    /// The forge refuses.
    pub async fn merge(&self, number: u64, commit: &str) -> Result<(), ForgeError> {
        let number = number.to_string();
        let mut pauses = client::PAUSES.into_iter();
        loop {
            let done = match self.place.kind {
                Kind::GitHub => github::merge(self, &number, commit).await,
                Kind::GitLab => gitlab::merge(self, &number, commit).await,
                Kind::Forgejo => forgejo::merge(self, &number, commit).await,
            };
            let is_not_ready = matches!(done, Err(ForgeError::Refused { status: 405, .. }));
            // A forge finds out in its own time whether it can be merged, and says no until then.
            match pauses.next().filter(|_| is_not_ready) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return done,
            }
        }
    }

    /// The project that a branch is in, where that is another than the one it is for.
    fn fork(&self, from: Option<&Address>) -> Option<Address> {
        let from = from?.below(&self.place.address.web);
        (from.path != self.place.address.path).then_some(from)
    }

    /// What a `GET` gives, by a reader of it.
    async fn get<T>(
        &self,
        path: &[&str],
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ForgeError> {
        self.read(&self.client.get(path, &[]).await?, read)
    }

    /// What a listing gives, by a reader of its items.
    async fn list<T>(
        &self,
        path: &[&str],
        query: Query<'_>,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, ForgeError> {
        self.read_all(&self.client.list(path, query, None).await?, read)
    }

    /// What a request gives that does something, by a reader of it.
    async fn send<T>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ForgeError> {
        self.read(&self.client.send(method, path, body).await?, read)
    }

    /// A title, for the pull request there: at forges where the title says that it is a draft, it
    /// stays one.
    async fn titled(&self, path: &[&str], title: &str, mark: &str) -> Result<String, ForgeError> {
        let is_draft = |it: &Value| it["draft"] == true || text(it, "title").starts_with(mark);
        let is_draft = self.get(path, |it| Some(is_draft(it))).await?;
        Ok(if is_draft { format!("{mark}{title}") } else { title.to_owned() })
    }

    fn read<T>(&self, value: &Value, read: impl Fn(&Value) -> Option<T>) -> Result<T, ForgeError> {
        read(value).ok_or_else(|| self.client.odd("a field is missing"))
    }

    fn read_all<T>(
        &self,
        values: &[Value],
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, ForgeError> {
        values.iter().map(|value| self.read(value, &read)).collect()
    }
}

fn headers(kind: Kind, token: Option<&Token>) -> Option<HeaderMap> {
    let secret = token.map(Token::secret);
    let bearer = secret.map(|secret| match kind {
        Kind::GitHub | Kind::GitLab => format!("Bearer {secret}"),
        Kind::Forgejo => format!("token {secret}"),
    });
    match kind {
        Kind::GitHub => client::headers(
            "application/vnd.github+json",
            &[("x-github-api-version", "2022-11-28")],
            bearer.as_deref(),
        ),
        // A log is a text.
        Kind::GitLab | Kind::Forgejo => {
            client::headers("application/json, text/plain", &[], bearer.as_deref())
        }
    }
}

/// The fields that are to be changed.
fn fields<const N: usize>(of: [(&str, Option<&str>); N]) -> Value {
    let of = of.into_iter().filter_map(|(key, value)| Some((key, value?)));
    of.map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

/// The text of a field; empty where there is none.
fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `src/a.rs:12`.
fn at(path: Option<&str>, line: Option<u64>) -> Option<String> {
    let path = path.filter(|path| !path.is_empty())?;
    Some(line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}")))
}
