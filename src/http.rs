//! Clients for HTTP: how a server is talked to, whoever it is.
//!
//! Invariant: no request follows a redirect, so that what it carries goes only to the address that
//! a person has named.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Url};

/// A client for this address: without proxies and TLS roots where it is this machine.
///
/// # Errors
/// The system's certificates cannot be used.
pub fn client(base: &Url) -> Result<Client, reqwest::Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Loses only against another thread that installs one, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    let mut builder = Client::builder()
        .user_agent(concat!("git-agent/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        builder = builder.no_proxy();
        if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
    }
    builder.build()
}

/// Whether an address is this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// An error with what is behind it: reqwest's own words alone say little.
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        source = deeper.source();
    }
    words
}
