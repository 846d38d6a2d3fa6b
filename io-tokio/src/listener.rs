//! A listener on tokio.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use culvert_linux::driver::{Listen, Token};
use culvert_linux::socket::{AcceptError, accept};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A listener as drivers want it.
#[derive(Debug)]
pub struct TokioListener {
    listener: AsyncFd<TcpListener>,
    waker: Waker,
}

impl TokioListener {
    pub(crate) fn new(listener: TcpListener, token: &Arc<Token>) -> io::Result<TokioListener> {
        // SAFETY: the standard library's listener owns its descriptor, tells the same one each time and closes it with itself.
        let listener = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?;
        Ok(TokioListener { listener, waker: Waker::from(token.clone()) })
    }
}

impl Listen for TokioListener {
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let mut ready = match self.listener.poll_read_ready(&mut cx) {
                Poll::Pending => return Ok(None),
                Poll::Ready(ready) => ready.map_err(AcceptError::from)?,
            };
            match accept(ready.get_inner())? {
                Some(taken) => return Ok(Some(taken)),
                None => ready.clear_ready(),
            }
        }
    }
}
