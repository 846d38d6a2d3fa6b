//! h2's connection in its three shapes, polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use h2::server::SendResponse;
use h2::{Error, PingPong, Reason, RecvStream, client, server};
use http::Request;

use super::config::{MAX_WINDOW, MuxConfig};
use super::pipe::Pipe;
use super::wake::Payload;

pub(super) enum Session {
    /// Established from the start: a client may send at once.
    Client {
        connection: Box<client::Connection<Pipe, Payload>>,
        /// Given up when no new streams are wanted; h2 closes once this and every stream is gone.
        requests: Option<client::SendRequest<Payload>>,
    },
    /// A server that waits for the client's preface.
    Handshake(Pin<Box<server::Handshake<Pipe, Payload>>>),
    Over,
    Server(Box<server::Connection<Pipe, Payload>>),
}

/// What one poll came to.
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made")]
pub(super) enum Progress {
    Accepted(Request<RecvStream>, SendResponse<Payload>),
    Ended(Result<(), Error>),
    Established,
    Pending,
}

impl Session {
    pub(super) fn client(config: &MuxConfig, pipe: Pipe, cx: &mut Context<'_>) -> Session {
        let builder = config.client_builder();
        let mut handshake = Box::pin(builder.handshake::<Pipe, Payload>(pipe));
        // Writing the preface is all a client's handshake does, and an empty pipe takes it whole.
        match handshake.as_mut().poll(cx) {
            Poll::Ready(Ok((requests, connection))) => {
                Session::Client { connection: Box::new(connection), requests: Some(requests) }
            }
            Poll::Ready(Err(_)) | Poll::Pending => Session::Over,
        }
    }

    pub(super) fn server(config: &MuxConfig, pipe: Pipe) -> Session {
        Session::Handshake(Box::pin(config.server_builder().handshake(pipe)))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Progress {
        match self {
            Session::Client { connection, .. } => match Pin::new(connection).poll(cx) {
                Poll::Ready(result) => Progress::Ended(result),
                Poll::Pending => Progress::Pending,
            },
            Session::Handshake(handshake) => match handshake.as_mut().poll(cx) {
                Poll::Ready(Ok(connection)) => {
                    *self = Session::Server(Box::new(connection));
                    Progress::Established
                }
                Poll::Ready(Err(error)) => Progress::Ended(Err(error)),
                Poll::Pending => Progress::Pending,
            },
            Session::Over => Progress::Pending,
            Session::Server(connection) => match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => Progress::Accepted(request, respond),
                Poll::Ready(Some(Err(error))) => Progress::Ended(Err(error)),
                Poll::Ready(None) => Progress::Ended(Ok(())),
                Poll::Pending => Progress::Pending,
            },
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Session::Over)
    }

    pub(super) fn take_pings(&mut self) -> Option<PingPong> {
        match self {
            Session::Client { connection, .. } => connection.ping_pong(),
            Session::Server(connection) => connection.ping_pong(),
            Session::Handshake(_) | Session::Over => None,
        }
    }

    /// The peer's limit of streams as it is now.
    pub(super) fn peer_max_streams(&self) -> usize {
        match self {
            Session::Client { connection, .. } => connection.max_concurrent_send_streams(),
            Session::Server(connection) => connection.max_concurrent_send_streams(),
            Session::Handshake(_) | Session::Over => 0,
        }
    }

    pub(super) fn set_connection_window(&mut self, target: u32) {
        let target = target.min(MAX_WINDOW);
        match self {
            Session::Client { connection, .. } => connection.set_target_window_size(target),
            Session::Server(connection) => connection.set_target_window_size(target),
            Session::Handshake(_) | Session::Over => (),
        }
    }

    /// Sends SETTINGS with another initial window; false while the last SETTINGS are not acknowledged.
    pub(super) fn set_stream_window(&mut self, window: u32) -> bool {
        let window = window.min(MAX_WINDOW);
        match self {
            Session::Client { connection, .. } => connection.set_initial_window_size(window).is_ok(),
            Session::Server(connection) => connection.set_initial_window_size(window).is_ok(),
            Session::Handshake(_) => false,
            Session::Over => true,
        }
    }

    /// Takes no new streams, ends when there are none; false if it is too early to say so.
    pub(super) fn drain(&mut self) -> bool {
        match self {
            Session::Client { requests, .. } => *requests = None,
            Session::Server(connection) => connection.graceful_shutdown(),
            Session::Handshake(_) => return false,
            Session::Over => (),
        }
        true
    }

    /// Lets h2 say GOAWAY and end; false if it has no way to.
    pub(super) fn abort(&mut self, code: u32) -> bool {
        match self {
            Session::Server(connection) => {
                connection.abrupt_shutdown(Reason::from(code));
                true
            }
            Session::Client { .. } | Session::Handshake(_) | Session::Over => false,
        }
    }
}
