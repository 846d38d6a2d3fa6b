//! Why there is no certificate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use culvert_channel::ConnectError;
use culvert_core::identity::{IdentityFault, SpiffeId};

/// Why a source could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its thread or runtime could not be made.
    #[error("cannot start what fetches certificates: {0}")]
    Runtime(#[source] io::Error),
}

/// Why a certificate could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The answer is none that can be used.
    #[error("the authority's answer is refused: {0}")]
    Answer(#[from] AnswerError),
    /// There is no connection to the authority.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The authority says no, or the connection ended.
    #[error("the authority answered {code}: {message}")]
    Refused {
        /// gRPC's code.
        code: String,
        /// What it says.
        message: String,
    },
    /// No key or request could be made.
    #[error("cannot make a request: {0}")]
    Request(String),
    /// The root file cannot be used.
    #[error("cannot read roots from {}: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Time ran out.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Why an answer is none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The leaf's key is not the one that was asked for.
    #[error("the certificate is for another key")]
    Key,
    /// The leaf is no X.509-SVID.
    #[error("{0}")]
    Leaf(IdentityFault),
    /// There is no root behind the leaf.
    #[error("there is no root behind the certificate")]
    NoRoot,
    /// The leaf is for somebody else.
    #[error("the certificate is for {found}, not for {wanted}")]
    OtherIdentity {
        /// Who was asked for.
        wanted: SpiffeId,
        /// Who it is for.
        found: SpiffeId,
    },
    /// An entry is no certificate in PEM.
    #[error("entry {index} is no certificate in PEM")]
    Pem {
        /// Which, from 0.
        index: usize,
    },
}
