//! Netlink by hand: requests in the kernel's own layout, without a runtime and without an external program.
//!
//! Both users are small, the redirect (nf_tables and routing rules) and the laboratory (links and addresses), and both
//! must work in the namespace of the calling thread, synchronously: the kernel answers within the `send`.

mod connection;
mod message;

pub(crate) use connection::{Connection, Protocol};
pub(crate) use message::{Attributes, Message, attribute, attributes, read_u32, read_u32_be, text};

use std::io;

use thiserror::Error;

/// Why a request over netlink failed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// No socket, or nothing came back.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
    /// The kernel understood and said no.
    #[error("cannot {what}: {source}{}", .reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default())]
    Refused {
        /// What was asked for, as the end of "cannot ...".
        what: String,
        /// The kernel's error number.
        source: io::Error,
        /// The kernel's own words, where it gives any.
        reason: Option<String>,
    },
    /// An answer that does not follow the protocol.
    #[error("netlink: malformed answer to the request to {0}")]
    Malformed(String),
}

impl NetlinkError {
    /// The error number, if the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io(error) | Self::Refused { source: error, .. } => error.raw_os_error(),
            Self::Malformed(_) => None,
        }
    }
}
