//! What lets us in at a forge: the vendor's variable, git's own credentials, the vendor's program.
//!
//! Invariant: a token goes only where it is for. One from a variable goes to the vendor's own host
//! or one that a setting names; git and the vendors' programs are asked for the host. None is shown,
//! and none is an argument of a program.

use secrecy::{ExposeSecret, SecretString};

use super::ForgeError;
use super::place::{Kind, Place};
use crate::git::credential;
use crate::process::Cmd;
use crate::redact;

/// What tokens are looked up in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// git as the push runs it, so that the same helpers are asked.
    pub git: &'a dyn Fn() -> Cmd,
}

/// A token, and where it is from. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Token {
    secret: SecretString,
    /// The place it was found in, by name.
    pub source: String,
}

/// What there is.
#[derive(Clone, Debug)]
pub enum Found {
    /// A token.
    Token(Token),
    /// None; the names of all places that were looked at.
    Nothing(Vec<String>),
}

impl Token {
    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// Looks for a token for this place.
///
/// # Errors
/// git cannot be run.
pub fn find(place: &Place, around: &Surroundings<'_>) -> Result<Found, ForgeError> {
    let mut looked_for = Vec::new();
    let found = |secret: SecretString, source: String| {
        redact::learn([("forge-token", secret.expose_secret())]);
        Ok(Found::Token(Token { secret, source }))
    };
    for name in variables(place) {
        looked_for.push((*name).to_owned());
        let value = (around.env)(name).map(|value| value.trim().to_owned());
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            return found(value.into(), (*name).to_owned());
        }
    }
    let project = place.address.web.join(&place.address.path);
    let url = project.map_or_else(|_| place.address.web.to_string(), String::from);
    let name = format!("git credential for {}", place.address.host);
    if let Some(secret) = credential::fill((around.git)(), &url)? {
        return found(secret, name);
    }
    looked_for.push(name);
    if let Some((cmd, name)) = program(place) {
        if let Some(secret) = printed(&cmd) {
            return found(secret, name.to_owned());
        }
        looked_for.push(name.to_owned());
    }
    Ok(Found::Nothing(looked_for))
}

/// The variables that are for this place.
fn variables(place: &Place) -> &'static [&'static str] {
    let host = place.address.host.as_str();
    match (place.kind, place.is_named) {
        (_, false) => &[],
        (Kind::GitHub, _) if host == "github.com" || host.ends_with(".ghe.com") => {
            &["GH_TOKEN", "GITHUB_TOKEN"]
        }
        (Kind::GitHub, _) => {
            &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"]
        }
        (Kind::GitLab, _) => &["GITLAB_TOKEN"],
        (Kind::Forgejo, _) => &["FORGEJO_TOKEN", "GITEA_TOKEN"],
    }
}

/// The vendor's program, which prints the token of who is logged in.
fn program(place: &Place) -> Option<(Cmd, &'static str)> {
    let host = &place.address.host;
    match place.kind {
        Kind::GitHub => {
            let cmd = Cmd::new("gh").args(["auth", "token", "--hostname", host]);
            Some((cmd, "gh auth token"))
        }
        Kind::GitLab => {
            let cmd = Cmd::new("glab").args(["config", "get", "token", "--host", host]);
            Some((cmd, "glab config get token"))
        }
        Kind::Forgejo => None,
    }
}

/// What it prints; a program that is not there, or nobody is logged in with, prints nothing.
fn printed(cmd: &Cmd) -> Option<SecretString> {
    let done = cmd.clone().dir("/").run().ok().filter(|done| done.exit == 0)?;
    let text = SecretString::from(String::from_utf8_lossy(&done.stdout).into_owned());
    let line = text.expose_secret().lines().next().map(str::trim).unwrap_or_default();
    (!line.is_empty()).then(|| line.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::super::place::{Address, Named};
    use super::*;

    fn place(remote: &str, kind: Option<Kind>) -> Place {
        let address = Address::parse(remote).unwrap();
        Place::known(&address, &Named { kind, api: None }).unwrap().unwrap()
    }

    /// Where a token is found; what git is told goes to `sh`.
    fn look(
        place: &Place,
        env: &[(&str, &str)],
        git: &str,
    ) -> Result<(String, String), Vec<String>> {
        let around = Surroundings {
            env: &|name| env.iter().find(|(key, _)| *key == name).map(|it| it.1.to_owned()),
            git: &|| Cmd::new("sh").args(["-c", git]),
        };
        match find(place, &around).unwrap() {
            Found::Token(token) => {
                assert!(!format!("{token:?}").contains("t0ken"));
                Ok((token.secret().to_owned(), token.source))
            }
            Found::Nothing(looked_for) => Err(looked_for),
        }
    }

    #[test]
    fn a_variable_goes_to_the_vendors_host_or_one_that_is_named() {
        let env =
            [("GH_TOKEN", "t0ken-a"), ("GITLAB_TOKEN", "t0ken-b"), ("GITEA_TOKEN", "t0ken-c")];
        let is = |token: &str, source: &str| Ok((token.to_owned(), source.to_owned()));
        let github = place("git@github.com:a/b", None);
        assert_eq!(look(&github, &env, "exit 1"), is("t0ken-a", "GH_TOKEN"));
        let named = place("git@git.example:a/b", Some(Kind::GitLab));
        assert_eq!(look(&named, &env, "exit 1"), is("t0ken-b", "GITLAB_TOKEN"));
        let forgejo = place("git@codeberg.org:a/b", None);
        assert_eq!(look(&forgejo, &env, "exit 1"), is("t0ken-c", "GITEA_TOKEN"));
        // What was but probed gets nothing that is for somebody else.
        let probed = Place { is_named: false, ..forgejo };
        let places = vec!["git credential for codeberg.org".to_owned()];
        assert_eq!(look(&probed, &env, "exit 1"), Err(places));
    }

    #[test]
    fn git_is_asked_by_the_project() {
        let forgejo = place("https://codeberg.org/ada/shop.git", None);
        let script = "read line; echo \"password=t0ken of ${line#url=}\"";
        let source = "git credential for codeberg.org".to_owned();
        let token = "t0ken of https://codeberg.org/ada/shop".to_owned();
        assert_eq!(look(&forgejo, &[], script), Ok((token, source)));
        let empty = look(&forgejo, &[], "echo password=").unwrap_err();
        let places = ["FORGEJO_TOKEN", "GITEA_TOKEN", "git credential for codeberg.org"];
        assert_eq!(empty, places);
    }
}
