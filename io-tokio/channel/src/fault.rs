//! Why there is no channel, or no answer on one.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A header whose name or value cannot be sent, or that would replace the token.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// What no certificate can be for.
    #[error("{0:?} is neither a host name nor an address")]
    Hostname(String),
    /// The token would be sent in clear to another machine.
    #[error("a token is not sent in clear to {url}")]
    TokenInClear {
        /// The control plane.
        url: String,
    },
    /// No place to connect to.
    #[error("{url:?} is no control plane's URL: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a connection was waiting for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first frames of HTTP/2.
    Http2,
    /// The name's resolution and the TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Http2 => "the first frames of HTTP/2",
            Stage::Tcp => "the TCP connection",
            Stage::Tls => "the TLS handshake",
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Our own certificate cannot be used.
    #[error("the client certificate in {} cannot be used: {reason}", path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// HTTP/2 could not be started.
    #[error("HTTP/2 could not be started: {0}")]
    Http2(#[source] hyper::Error),
    /// There is nobody who could vouch for the control plane.
    #[error("no root certificate in {0}")]
    NoRoots(String),
    /// The cryptography that was given cannot make this session.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
    /// The control plane cannot be reached.
    #[error("cannot connect to {host}:{port}: {source}")]
    Tcp {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Time ran out.
    #[error("waited too long for {0}")]
    Timeout(Stage),
    /// The handshake failed: most often, nobody trusted vouches for the control plane under the name that was asked for.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// Root certificates cannot be read.
    #[error("cannot read root certificates from {from}: {reason}")]
    UnreadableRoots {
        /// The file, or what else they were to come from.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a request was not sent, or its answer not received. Under tonic it is found by [`RequestError::of`].
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection failed.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
    /// The token cannot be read.
    #[error("cannot read the token {}: {source}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token's file holds what cannot be sent.
    #[error("{} holds no token", path.display())]
    TokenText {
        /// The file.
        path: PathBuf,
    },
}

impl RequestError {
    /// The failure of a channel that a failed call is due to.
    pub fn of(status: &tonic::Status) -> Option<&RequestError> {
        let mut next = std::error::Error::source(status);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
