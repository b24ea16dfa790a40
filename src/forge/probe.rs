//! What an unknown host speaks: each kind of forge tells its version, or that it wants a token.
//!
//! Invariant: no token is sent.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Url};
use serde_json::Value;

use super::ForgeError;
use super::place::{Address, Kind, Place};
use crate::http::{chain, client};

/// How long a host may take to say what it is.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks a host what it is, and then what is below it by the first part of the project's path; none
/// where it is no forge that is known here.
///
/// # Errors
/// There is no HTTP on this machine.
pub async fn probe(address: &Address) -> Result<Option<Place>, ForgeError> {
    let client = client(&address.web).map_err(|error| ForgeError::Client(chain(&error)))?;
    for address in [Some(address.clone()), one_below(address)].into_iter().flatten() {
        for kind in [Kind::Forgejo, Kind::GitLab, Kind::GitHub] {
            if speaks(&client, &address, kind).await {
                return Place::of(&address, kind, None, false).map(Some);
            }
        }
    }
    Ok(None)
}

/// A forge that is not alone on its host: `https://host/forge/owner/name`.
fn one_below(address: &Address) -> Option<Address> {
    let (first, rest) = address.path.split_once('/')?;
    let web = address.web.join(&format!("{first}/")).ok()?;
    rest.contains('/').then(|| address.below(&web))
}

async fn speaks(client: &Client, address: &Address, kind: Kind) -> bool {
    let path = match kind {
        Kind::Forgejo => "api/v1/version",
        Kind::GitLab => "api/v4/version",
        Kind::GitHub => "api/v3/meta",
    };
    let Ok(url) = address.web.join(path) else { return false };
    match ask(client, url).await {
        Some((status, headers, body)) => is_its_answer(kind, status, &headers, &body),
        // One that cannot be reached is no forge for us.
        None => false,
    }
}

async fn ask(client: &Client, url: Url) -> Option<(u16, HeaderMap, Value)> {
    let response = client.get(url).timeout(LIMIT).send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.ok()?;
    Some((status, headers, serde_json::from_slice(&body).unwrap_or_default()))
}

fn is_its_answer(kind: Kind, status: u16, headers: &HeaderMap, body: &Value) -> bool {
    match kind {
        Kind::Forgejo => status == 200 && body["version"].is_string(),
        Kind::GitLab => match status {
            200 => body["version"].is_string() && body["revision"].is_string(),
            401 => body["message"] == "401 Unauthorized",
            _ => false,
        },
        Kind::GitHub => {
            headers.contains_key("x-github-request-id")
                || headers.contains_key("x-github-enterprise-version")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_forge_may_be_one_below_its_host() {
        let below = |remote: &str| {
            let below = one_below(&Address::parse(remote).unwrap());
            below.map(|it| (it.web.to_string(), it.path))
        };
        let lab = ("https://git.example:8443/lab/".to_owned(), "ada/shop".to_owned());
        assert_eq!(below("https://git.example:8443/lab/ada/shop.git"), Some(lab));
        assert_eq!(below("https://git.example/ada/shop.git"), None);
    }

    #[test]
    fn each_kind_is_known_by_its_answer() {
        let is = |kind, status, body: Value| is_its_answer(kind, status, &HeaderMap::new(), &body);
        assert!(is(Kind::Forgejo, 200, json!({"version": "13.0.1+gitea-1.22.0"})));
        assert!(!is(Kind::Forgejo, 404, json!({"message": "no"})));
        assert!(is(Kind::GitLab, 200, json!({"version": "18.5.0", "revision": "abc"})));
        assert!(is(Kind::GitLab, 401, json!({"message": "401 Unauthorized"})));
        assert!(!is(Kind::GitLab, 401, json!({"error": "login"})));
        assert!(!is(Kind::GitHub, 200, json!({})));
        let headers = [(reqwest::header::HeaderName::from_static("x-github-request-id"), "1")];
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
        assert!(is_its_answer(Kind::GitHub, 401, &HeaderMap::from_iter(headers), &json!({})));
    }
}
