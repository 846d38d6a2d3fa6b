//! The server: the other side of each conversation.

use std::io;
use std::net::TcpListener;
use std::time::Instant;

use super::transfer::{Stopped, Transfer};
use super::{Conversation, Report, Server};
use crate::demo::canary::Checksum;

impl Server {
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        TcpListener::bind(self.listen)
    }

    /// Takes one connection and serves it to its end, however it ends.
    ///
    /// # Errors
    ///
    /// Those of accepting; what happens to the connection is in the report.
    pub(super) fn serve(&self, listener: &TcpListener) -> io::Result<Report> {
        let (stream, _) = listener.accept()?;
        let _ = stream.set_nodelay(true);
        let mut transfer = Transfer::new(stream, Instant::now());
        let outcome = self.talk(&mut transfer);
        Ok(transfer.report(outcome))
    }

    fn talk(&self, transfer: &mut Transfer) -> Result<bool, Stopped> {
        match self.conversation {
            Conversation::Download { bytes } => {
                transfer.send_payload(&self.canary, bytes)?;
                transfer.finish()?;
                Ok(transfer.receive_text()?.is_empty())
            }
            Conversation::Echo { bytes } => {
                echo(transfer)?;
                Ok(transfer.received == bytes)
            }
            Conversation::HalfClose { bytes } => {
                let sent = transfer.send_payload(&self.canary, bytes)?;
                transfer.finish()?;
                Ok(transfer.receive_to_end()? == sent)
            }
            Conversation::Hold => echo(transfer).map(|()| true),
            Conversation::Upload { bytes } => {
                let received = transfer.receive_to_end()?;
                transfer.send(received.as_bytes())?;
                transfer.finish()?;
                Ok(received == Checksum::of_payload(&self.canary, bytes))
            }
        }
    }
}

fn echo(transfer: &mut Transfer) -> Result<(), Stopped> {
    loop {
        let chunk = transfer.receive()?.to_vec();
        if chunk.is_empty() {
            return transfer.finish();
        }
        transfer.send(&chunk)?;
    }
}
