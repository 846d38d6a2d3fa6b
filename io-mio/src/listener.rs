//! A listener on mio.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use culvert_linux::driver::{Listen, Token};
use culvert_linux::socket::{AcceptError, accept};
use mio::Interest;
use mio::net::TcpListener;

use crate::readiness::{Place, Sources};

/// A listener as drivers want it.
#[derive(Debug)]
pub struct MioListener {
    listener: TcpListener,
    place: Place,
}

impl MioListener {
    pub(crate) fn new(
        listener: std::net::TcpListener,
        token: &Arc<Token>,
        sources: &Rc<Sources>,
    ) -> io::Result<MioListener> {
        let mut listener = TcpListener::from_std(listener);
        let place = sources.add(&mut listener, Interest::READABLE, token)?;
        Ok(MioListener { listener, place })
    }
}

impl Listen for MioListener {
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
        let ready = &self.place.readiness().read;
        while ready.poll() {
            if let Some(taken) = accept(&self.listener)? {
                return Ok(Some(taken));
            }
            ready.block();
        }
        Ok(None)
    }
}

impl Drop for MioListener {
    fn drop(&mut self) {
        // The workers share the listener's open file, so closing this descriptor of it would leave it registered.
        let _gone = self.place.deregister(&mut self.listener);
    }
}
