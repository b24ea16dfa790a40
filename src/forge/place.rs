//! Where a remote is: its host, its project there, and which forge it is.
//!
//! Invariant: an address of an interface is on the host of the remote, or the vendor's own for it;
//! and it is https, or this machine itself.

use reqwest::Url;

use super::ForgeError;
pub use crate::config::ForgeHost as Named;
pub use crate::config::ForgeKind as Kind;
use crate::http::is_loopback;

impl Kind {
    /// The word in settings, files and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Forgejo => "forgejo",
        }
    }

    /// What it calls a pull request.
    pub fn noun(self) -> &'static str {
        if self == Self::GitLab { "merge request" } else { "pull request" }
    }

    /// The kind of a host that everybody knows.
    fn of_known(host: &str) -> Option<Self> {
        match host {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "codeberg.org" | "gitea.com" => Some(Self::Forgejo),
            host if host.ends_with(".ghe.com") => Some(Self::GitHub),
            _ => None,
        }
    }
}

/// A remote's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, in lower case.
    pub host: String,
    /// Where its pages are: `https://host[:port]/`, and below that where the forge is not alone
    /// there.
    pub web: Url,
    /// The project: `owner/name`, at GitLab with all its groups; without `.git`.
    pub path: String,
}

/// A project on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What speaks there.
    pub kind: Kind,
    /// Where.
    pub address: Address,
    /// The address of its interface, with a slash at the end.
    pub api: Url,
    /// Whether the host is the vendor's own, or a person has named it in a setting: then the
    /// vendor's variables are for it too.
    pub is_named: bool,
}

impl Address {
    /// Takes a remote's address apart; none where it is a path of this machine, or no address.
    pub fn parse(remote: &str) -> Option<Self> {
        let remote = remote.trim();
        if let Some((scheme, _)) = remote.split_once("://") {
            let url = Url::parse(remote).ok()?;
            let host = url.host_str().filter(|host| !host.is_empty())?;
            return match scheme {
                "https" | "http" => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    let scheme = if is_loopback(&url) { scheme } else { "https" };
                    // A port of plain http says nothing of where https is.
                    let port = if url.scheme() == scheme { port } else { String::new() };
                    Self::at(&format!("{scheme}://{host}{port}/"), url.path())
                }
                "ssh" | "git" | "git+ssh" | "ssh+git" => {
                    Self::at(&format!("https://{}/", web_host(host)), url.path())
                }
                _ => None,
            };
        }
        // As scp has it: a colon before any slash.
        let (host, path) = remote.split_once(':').filter(|(host, _)| !host.contains('/'))?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let is_drive = host.len() < 2;
        if is_drive { None } else { Self::at(&format!("https://{}/", web_host(host)), path) }
    }

    fn at(web: &str, path: &str) -> Option<Self> {
        let web = Url::parse(web).ok()?;
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        let host = web.host_str()?.to_ascii_lowercase();
        (!path.is_empty()).then(|| Self { host, web, path: path.to_owned() })
    }

    /// The same project, at a forge whose pages are below this address: where the remote has that
    /// in its path, as over https, it is no part of the project.
    #[must_use]
    pub fn below(&self, web: &Url) -> Self {
        let root = web.path().trim_start_matches('/');
        let rest = self.path.strip_prefix(root).filter(|rest| rest.contains('/'));
        let path = rest.unwrap_or(&self.path).to_owned();
        Self { host: self.host.clone(), web: web.clone(), path }
    }

    /// The last two parts of the path: what GitHub and Forgejo know a project by.
    pub fn owner_and_name(&self) -> (&str, &str) {
        let mut parts = self.path.rsplit('/');
        let name = parts.next().unwrap_or_default();
        (parts.next().unwrap_or_default(), name)
    }
}

/// The hosts that forges take ssh at on port 443 are others than those of their pages.
fn web_host(host: &str) -> &str {
    match host {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        host => host,
    }
}

impl Place {
    /// The forge of a remote, as far as it is known without asking anybody.
    ///
    /// # Errors
    /// What is set for the host makes no sense.
    pub fn known(address: &Address, named: &Named) -> Result<Option<Self>, ForgeError> {
        let vendors = Kind::of_known(&address.host);
        let Some(kind) = named.kind.or(vendors) else { return Ok(None) };
        let is_named = named.kind.is_some() || vendors.is_some();
        Self::of(address, kind, named.api.as_deref(), is_named).map(Some)
    }

    /// A forge of this kind there.
    ///
    /// # Errors
    /// The address of its interface makes no sense.
    pub fn of(
        address: &Address,
        kind: Kind,
        api: Option<&str>,
        is_named: bool,
    ) -> Result<Self, ForgeError> {
        let bad = |why: &str| ForgeError::BadAddress {
            key: format!("agent.forge.{}.api", address.host),
            why: why.to_owned(),
        };
        let mut api = match api {
            Some(api) => Url::parse(api.trim()).map_err(|error| bad(&error.to_string()))?,
            None => usual(address, kind).map_err(|why| bad(&why))?,
        };
        let host = api.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_below = host.strip_suffix(&address.host).is_some_and(|before| before.ends_with('.'));
        if host != address.host && !is_below {
            return Err(bad(&format!("{host} is another host than that of the remote")));
        }
        match api.scheme() {
            "https" => {}
            "http" if is_loopback(&api) => {}
            _ => return Err(bad("it must begin with https://")),
        }
        if !api.path().ends_with('/') {
            api.set_path(&format!("{}/", api.path()));
        }
        let pages = pages(&api, kind).filter(|_| host == address.host);
        let address = pages.map_or_else(|| address.clone(), |pages| address.below(&pages));
        Ok(Self { kind, address, api, is_named })
    }

    /// The page where a person opens a pull request for a branch.
    pub fn compare_url(&self, into: &str, branch: &str) -> String {
        let Address { web, path, .. } = &self.address;
        let mut url = web.clone();
        let mut page = |parts: &str| {
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(path.split('/')).extend(parts.split('/'));
            }
        };
        match self.kind {
            Kind::GitHub => {
                page(&format!("compare/{into}...{branch}"));
                url.query_pairs_mut().append_pair("expand", "1");
            }
            Kind::Forgejo => page(&format!("compare/{into}...{branch}")),
            Kind::GitLab => {
                page("-/merge_requests/new");
                url.query_pairs_mut()
                    .append_pair("merge_request[source_branch]", branch)
                    .append_pair("merge_request[target_branch]", into);
            }
        }
        url.into()
    }
}

/// Where the interface of such a forge usually is.
fn usual(address: &Address, kind: Kind) -> Result<Url, String> {
    let found = match (kind, address.host.as_str()) {
        (Kind::GitHub, "github.com") => Url::parse("https://api.github.com/"),
        (Kind::GitHub, host) if host.ends_with(".ghe.com") => {
            Url::parse(&format!("https://api.{host}/"))
        }
        _ => address.web.join(below_pages(kind)),
    };
    found.map_err(|error| error.to_string())
}

/// Where the pages are of which the interface is in its usual place.
fn pages(api: &Url, kind: Kind) -> Option<Url> {
    let mut pages = api.clone();
    pages.set_path(api.path().strip_suffix(below_pages(kind))?);
    Some(pages)
}

fn below_pages(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "api/v3/",
        Kind::GitLab => "api/v4/",
        Kind::Forgejo => "api/v1/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(remote: &str) -> Option<(String, String)> {
        Address::parse(remote).map(|it| (it.web.to_string(), it.path))
    }

    fn at(web: &str, path: &str) -> Option<(String, String)> {
        Some((web.to_owned(), path.to_owned()))
    }

    #[test]
    fn addresses_of_remotes_in_each_form() {
        let github = at("https://github.com/", "ada/shop");
        for remote in [
            "https://github.com/ada/shop.git",
            "https://ada:t0ken@github.com/ada/shop/",
            "git@github.com:ada/shop.git",
            "github.com:/ada/shop",
            "ssh://git@github.com:22/ada/shop.git",
            "ssh://git@ssh.github.com:443/ada/shop.git",
            "http://github.com:8080/ada/shop",
        ] {
            assert_eq!(parsed(remote), github, "{remote}");
        }
        let local = at("http://127.0.0.1:3000/", "x/ada/shop");
        assert_eq!(parsed("http://127.0.0.1:3000/x/ada/shop.git"), local);
        assert_eq!(parsed("https://git.example:8443/a/b"), at("https://git.example:8443/", "a/b"));
        let address = Address::parse("git@gitlab.com:group/sub/shop.git").unwrap();
        assert_eq!(address.path, "group/sub/shop");
        assert_eq!(address.owner_and_name(), ("sub", "shop"));
        for none in ["/srv/shop.git", "../shop", "file:///srv/shop", "C:/shop", "https://x/", ""] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }

    #[test]
    fn hosts_that_are_known_have_their_interfaces() {
        let api = |remote: &str, named: Named| {
            let place = Place::known(&Address::parse(remote).unwrap(), &named).unwrap();
            place.map(|place| (place.kind, place.api.to_string()))
        };
        let known = |remote: &str| api(remote, Named::default());
        let is = |kind, api: &str| Some((kind, api.to_owned()));
        assert_eq!(known("github.com:a/b"), is(Kind::GitHub, "https://api.github.com/"));
        assert_eq!(known("git@gitlab.com:a/b"), is(Kind::GitLab, "https://gitlab.com/api/v4/"));
        assert_eq!(known("codeberg.org:a/b"), is(Kind::Forgejo, "https://codeberg.org/api/v1/"));
        assert_eq!(known("git@my.ghe.com:a/b"), is(Kind::GitHub, "https://api.my.ghe.com/"));
        assert_eq!(known("git@git.example:a/b"), None);
        let named = Named { kind: Some(Kind::GitHub), api: None };
        let enterprise = is(Kind::GitHub, "https://git.example/api/v3/");
        assert_eq!(api("git@git.example:a/b", named), enterprise);
    }

    #[test]
    fn an_interface_is_on_the_host_of_the_remote_and_not_in_the_clear() {
        let address = Address::parse("git@git.example:a/b").unwrap();
        let of = |api: &str| {
            Place::of(&address, Kind::GitLab, Some(api), true)
                .map(|place| place.api.to_string())
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("https://git.example/x/api/v4"), Ok("https://git.example/x/api/v4/".into()));
        assert_eq!(of("https://api.git.example/"), Ok("https://api.git.example/".into()));
        let bad = |why: &str| Err(format!("agent.forge.git.example.api makes no sense: {why}"));
        assert_eq!(
            of("https://evil.example/"),
            bad("evil.example is another host than that of the remote")
        );
        assert_eq!(
            of("https://evilgit.example/"),
            bad("evilgit.example is another host than that of the remote")
        );
        assert_eq!(of("http://git.example/"), bad("it must begin with https://"));
    }

    #[test]
    fn a_forge_may_be_below_its_host_and_at_a_port() {
        let api = "https://git.example:8443/lab/api/v4";
        let is = |remote: &str, path: &str| {
            let address = Address::parse(remote).unwrap();
            let place = Place::of(&address, Kind::GitLab, Some(api), true).unwrap();
            let (web, project) = (place.address.web.as_str(), place.address.path.as_str());
            assert_eq!((web, project), ("https://git.example:8443/lab/", path), "{remote}");
            let page = place.compare_url("main", "x");
            let below = format!("https://git.example:8443/lab/{path}/-/merge_requests/new?");
            assert!(page.starts_with(&below), "{page}");
        };
        is("https://git.example:8443/lab/group/sub/a.b.git", "group/sub/a.b");
        is("ssh://git@git.example:2222/group/sub/a.b.git", "group/sub/a.b");
        is("git@git.example:group/a.b.git", "group/a.b");
        // A group may be called so too.
        is("git@git.example:lab/a.git", "lab/a");
    }

    #[test]
    fn a_person_can_open_one_by_hand() {
        let url = |remote: &str| {
            let address = Address::parse(remote).unwrap();
            let place = Place::known(&address, &Named::default()).unwrap().unwrap();
            place.compare_url("main", "agent/add it-7f3k")
        };
        assert_eq!(
            url("git@github.com:a/b.git"),
            "https://github.com/a/b/compare/main...agent/add%20it-7f3k?expand=1"
        );
        assert_eq!(
            url("git@gitlab.com:g/a/b.git"),
            "https://gitlab.com/g/a/b/-/merge_requests/new?merge_request%5Bsource_branch%5D=\
             agent%2Fadd+it-7f3k&merge_request%5Btarget_branch%5D=main"
        );
        assert_eq!(
            url("git@codeberg.org:a/b.git"),
            "https://codeberg.org/a/b/compare/main...agent/add%20it-7f3k"
        );
    }
}
