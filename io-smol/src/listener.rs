//! A listener on async-io.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use culvert_linux::driver::{Listen, Token};
use culvert_linux::socket::{AcceptError, accept};
use smol::Async;

/// A listener as drivers want it.
#[derive(Debug)]
pub struct SmolListener {
    listener: Async<TcpListener>,
    waker: Waker,
}

impl SmolListener {
    pub(crate) fn new(listener: TcpListener, token: &Arc<Token>) -> io::Result<SmolListener> {
        let listener = Async::new_nonblocking(listener)?;
        Ok(SmolListener { listener, waker: Waker::from(token.clone()) })
    }
}

impl Listen for SmolListener {
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
        loop {
            if let Some(taken) = accept(&self.listener)? {
                return Ok(Some(taken));
            }
            match self.listener.poll_readable(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => return Ok(None),
                Poll::Ready(ready) => ready.map_err(AcceptError::from)?,
            }
        }
    }
}
