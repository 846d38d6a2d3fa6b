//! Where a control plane is and how it is spoken to, as it is configured and as it is checked.

use crate::fault::ConfigError;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme, Uri};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::path::PathBuf;

/// The header by which a control plane of many clusters knows of which one a caller is (node.md row 70).
const CLUSTER_ID: HeaderName = HeaderName::from_static("clusterid");

/// Whom to believe that it is the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The certificates in this PEM file, read at each connection.
    File(PathBuf),
    /// The certificates in this PEM text.
    Pem(String),
    /// Those that the operating system trusts.
    System,
}

/// A certificate to show to the control plane, read at each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file: the certificate first, then its issuers.
    pub chain: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}

/// Where a control plane is, whom to believe that it is the one, and how to say who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// `https://host[:port]`, or `http://` for one that is reached in clear.
    pub url: String,
    /// Who vouches for the control plane; not used with `http://`.
    pub roots: Roots,
    /// The name that the control plane is asked for in the handshake and that its certificate must bear, in place of the URL's host.
    pub alternative_hostname: Option<String>,
    /// A file with a bearer token, read at each request: projected tokens are rotated. Never sent in clear, but to this machine.
    pub token: Option<PathBuf>,
    /// The cluster that we are of, sent as `clusterid`.
    pub cluster_id: Option<String>,
    /// Further headers of each request.
    pub headers: Vec<(String, String)>,
    /// A certificate of our own, for a control plane that asks for one.
    pub client_certificate: Option<ClientCertificate>,
}

impl ChannelConfig {
    /// The control plane at `url`, believed if the operating system vouches for it, told nothing of who we are.
    pub fn new(url: impl Into<String>) -> ChannelConfig {
        ChannelConfig {
            url: url.into(),
            roots: Roots::System,
            alternative_hostname: None,
            token: None,
            cluster_id: None,
            headers: Vec::new(),
            client_certificate: None,
        }
    }
}

/// A configuration that was found to make sense.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub scheme: Scheme,
    pub authority: Authority,
    /// The host to dial: a name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// Whom the handshake asks for; absent in clear.
    pub server: Option<ServerName<'static>>,
    pub roots: Roots,
    pub token: Option<PathBuf>,
    pub headers: HeaderMap,
    pub client_certificate: Option<ClientCertificate>,
}

impl Endpoint {
    pub(crate) fn new(config: ChannelConfig) -> Result<Endpoint, ConfigError> {
        let bad = |reason: &'static str| ConfigError::Url { url: config.url.clone(), reason };
        let uri: Uri = config.url.parse().map_err(|_| bad("it is no URL"))?;
        let scheme = uri.scheme().cloned().ok_or_else(|| bad("it needs a scheme: https:// or http://"))?;
        let encrypted = match scheme.as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("its scheme is neither https nor http")),
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(bad("a path has no meaning there"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user name has no meaning there"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match (authority.as_str().strip_prefix(authority.host()), encrypted) {
            (Some(""), true) => 443,
            (Some(""), false) => 80,
            // A port that is none would count as absent.
            _ => authority.port_u16().filter(|port| *port != 0).ok_or_else(|| bad("its port is none"))?,
        };
        if config.token.is_some() && !encrypted && !is_loopback(&host) {
            return Err(ConfigError::TokenInClear { url: config.url });
        }
        let server = encrypted.then(|| config.alternative_hostname.unwrap_or_else(|| host.clone()));
        let server =
            server.map(|name| ServerName::try_from(name.clone()).map_err(|_| ConfigError::Hostname(name)));
        Ok(Endpoint {
            scheme,
            authority,
            host,
            port,
            server: server.transpose()?,
            roots: config.roots,
            token: config.token,
            headers: headers(config.cluster_id, config.headers)?,
            client_certificate: config.client_certificate,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn headers(cluster_id: Option<String>, more: Vec<(String, String)>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    if let Some(cluster) = cluster_id {
        let value =
            HeaderValue::try_from(cluster).map_err(|_| ConfigError::Header(CLUSTER_ID.to_string()))?;
        headers.insert(CLUSTER_ID, value);
    }
    for (name, value) in more {
        let parsed = HeaderName::try_from(name.as_str()).ok().filter(|parsed| *parsed != AUTHORIZATION);
        match (parsed, HeaderValue::try_from(value)) {
            (Some(parsed), Ok(value)) => headers.append(parsed, value),
            _ => return Err(ConfigError::Header(name)),
        };
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::new(ChannelConfig::new(url))
    }

    #[test]
    fn urls_say_where_and_how() {
        let secure = endpoint("https://istiod.istio-system.svc:15012").unwrap();
        assert_eq!((secure.host.as_str(), secure.port), ("istiod.istio-system.svc", 15012));
        assert_eq!(secure.server.unwrap().to_str(), "istiod.istio-system.svc");
        let plain = endpoint("http://[::1]").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.server), ("::1", 80, None));
        assert_eq!(endpoint("https://10.0.0.1/").unwrap().port, 443);
    }

    #[test]
    fn urls_that_make_no_sense_are_refused() {
        for url in [
            "",
            "istiod:15012",
            "ftp://a",
            "https://a/b",
            "https://u@a",
            "https://",
            "https://a:99999",
            "https://a:0",
            "https://a:",
        ] {
            assert!(matches!(endpoint(url), Err(ConfigError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn another_name_is_asked_for_when_one_is_given() {
        let mut config = ChannelConfig::new("https://10.0.0.1:15012");
        config.alternative_hostname = Some("istiod.istio-system.svc".into());
        assert_eq!(
            Endpoint::new(config.clone()).unwrap().server.unwrap().to_str(),
            "istiod.istio-system.svc"
        );
        config.alternative_hostname = Some("no name".into());
        assert_eq!(Endpoint::new(config).unwrap_err(), ConfigError::Hostname("no name".into()));
    }

    #[test]
    fn a_token_is_not_sent_in_clear_to_another_machine() {
        let with_token = |url: &str| {
            let mut config = ChannelConfig::new(url);
            config.token = Some("/token".into());
            Endpoint::new(config).map(|_| ())
        };
        assert_eq!(
            with_token("http://10.0.0.1"),
            Err(ConfigError::TokenInClear { url: "http://10.0.0.1".into() })
        );
        assert_eq!(with_token("http://127.0.0.1"), Ok(()));
        assert_eq!(with_token("https://10.0.0.1"), Ok(()));
    }

    #[test]
    fn headers_are_checked_and_may_not_replace_the_token() {
        let with_header = |name: &str, value: &str| {
            let mut config = ChannelConfig::new("http://a");
            config.cluster_id = Some("east".into());
            config.headers.push((name.into(), value.into()));
            Endpoint::new(config).map(|endpoint| endpoint.headers)
        };
        let headers = with_header("x-team", "a b").unwrap();
        assert_eq!(
            (&headers["clusterid"], &headers["x-team"]),
            (&"east".parse().unwrap(), &"a b".parse().unwrap())
        );
        for (name, value) in [("a b", "c"), ("a", "c\n"), ("Authorization", "Bearer x")] {
            assert_eq!(with_header(name, value), Err(ConfigError::Header(name.into())));
        }
    }
}
