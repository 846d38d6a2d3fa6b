//! What an errno of `accept` or `connect` means for the one who called.

use std::io;

use thiserror::Error;

/// The process, the machine or the port range has run out of something; waiting helps, spinning does not.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Why `accept` gave no connection, by what the caller must do next (node.md row B9).
#[derive(Debug, Error)]
pub enum AcceptError {
    /// This one connection is lost, the listener is well: accept again at once.
    #[error("a connection was lost before it was accepted: {0}")]
    Transient(#[source] io::Error),
    /// No descriptor or memory is left: pause, keep every living connection, then accept again.
    #[error("cannot accept for want of descriptors or memory: {0}")]
    Exhausted(#[source] io::Error),
    /// The listener itself is unusable: accepting again will fail the same way.
    #[error("the listener is broken: {0}")]
    Fatal(#[source] io::Error),
}

impl From<io::Error> for AcceptError {
    /// Sorts an error of `accept`. Linux also hands out pending network errors of the new connection, which accept(2)
    /// says to treat as "try again".
    fn from(error: io::Error) -> Self {
        if is_exhaustion(&error) {
            return Self::Exhausted(error);
        }
        match error.raw_os_error() {
            Some(
                libc::EAGAIN
                | libc::EINTR
                | libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
                | libc::EPERM,
            ) => Self::Transient(error),
            _ => Self::Fatal(error),
        }
    }
}

/// Why a connection could not be made, at its start or later.
#[derive(Debug, Error)]
pub enum DialError {
    /// No descriptor, memory or local port is left: back off and try again (node.md row B9).
    #[error("cannot dial for want of descriptors, memory or ports: {0}")]
    Exhausted(#[source] io::Error),
    /// The target's host answers that nobody listens.
    #[error("connection refused: {0}")]
    Refused(#[source] io::Error),
    /// No route, no neighbour, no answer in time.
    #[error("target unreachable: {0}")]
    Unreachable(#[source] io::Error),
    /// A filter or a missing capability forbids it.
    #[error("dialling is not permitted: {0}")]
    Denied(#[source] io::Error),
    /// Anything else: a mistake in the arguments, a family the kernel lacks.
    #[error("cannot dial: {0}")]
    Invalid(#[source] io::Error),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        if is_exhaustion(&error) {
            return Self::Exhausted(error);
        }
        match error.raw_os_error() {
            // A connect that finds no free port says EADDRNOTAVAIL, or EAGAIN where the port was left to it.
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Self::Exhausted(error),
            Some(libc::ECONNREFUSED | libc::ECONNRESET) => Self::Refused(error),
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::ENONET
                | libc::ETIMEDOUT,
            ) => Self::Unreachable(error),
            Some(libc::EPERM | libc::EACCES) => Self::Denied(error),
            _ => Self::Invalid(error),
        }
    }
}

impl DialError {
    /// The kernel's own error.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Denied(io)
            | Self::Exhausted(io)
            | Self::Invalid(io)
            | Self::Refused(io)
            | Self::Unreachable(io) => io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(errno: i32) -> AcceptError {
        io::Error::from_raw_os_error(errno).into()
    }

    fn dial(errno: i32) -> DialError {
        io::Error::from_raw_os_error(errno).into()
    }

    #[test]
    fn want_of_resources_is_neither_fatal_nor_the_connections_fault() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(matches!(accept(errno), AcceptError::Exhausted(_)), "{errno}");
            assert!(matches!(dial(errno), DialError::Exhausted(_)), "{errno}");
        }
        assert!(matches!(dial(libc::EADDRNOTAVAIL), DialError::Exhausted(_)));
    }

    #[test]
    fn an_aborted_connection_does_not_break_the_listener() {
        assert!(matches!(accept(libc::ECONNABORTED), AcceptError::Transient(_)));
        assert!(matches!(accept(libc::EPERM), AcceptError::Transient(_)));
        assert!(matches!(accept(libc::EBADF), AcceptError::Fatal(_)));
        assert!(matches!(accept(libc::EINVAL), AcceptError::Fatal(_)));
    }

    #[test]
    fn dial_errors_keep_their_errno() {
        for (errno, text) in [
            (libc::ECONNREFUSED, "connection refused"),
            (libc::EHOSTUNREACH, "target unreachable"),
            (libc::EPERM, "dialling is not permitted"),
            (libc::EAFNOSUPPORT, "cannot dial"),
        ] {
            let error = dial(errno);
            assert!(error.to_string().starts_with(text), "{error}");
            assert_eq!(error.io().raw_os_error(), Some(errno));
        }
    }
}
