//! The client: one connection, one conversation, one report.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::transfer::{Stopped, Transfer};
use super::{Client, Conversation, Ended, Report};
use crate::demo::canary::Checksum;

/// How often a held connection carries something.
const HOLD_PACE: Duration = Duration::from_millis(50);

impl Client {
    /// Connects, talks and reports; `held` is called when a held connection is known to work.
    ///
    /// # Errors
    ///
    /// Only those of `held`; what happens to the connection is in the report.
    pub(super) fn run(&self, mut held: impl FnMut() -> io::Result<()>) -> io::Result<Report> {
        let started = Instant::now();
        let stream = match TcpStream::connect_timeout(&self.target, self.patience()) {
            Ok(stream) => stream,
            Err(error) => return Ok(not_connected(&error)),
        };
        // Small messages are measured, so they are not to wait for each other.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(self.patience()));
        let _ = stream.set_write_timeout(Some(self.patience()));
        let mut transfer = Transfer::new(stream, started);
        let mut told = Ok(());
        let outcome = match self.conversation {
            Conversation::Hold => self.hold(&mut transfer, || told = held()),
            _ => self.talk(&mut transfer),
        };
        told?;
        Ok(transfer.report(outcome))
    }

    fn talk(&self, transfer: &mut Transfer) -> Result<bool, Stopped> {
        match self.conversation {
            Conversation::Download { bytes } => {
                let received = transfer.receive_to_end()?;
                Ok(received == Checksum::of_payload(&self.canary, bytes))
            }
            Conversation::Echo { bytes } => {
                let sent = transfer.send_payload(&self.canary, bytes)?;
                let received = transfer.receive_exactly(bytes)?;
                transfer.finish()?;
                let rest = transfer.receive_text()?;
                Ok(sent == received && rest.is_empty())
            }
            Conversation::HalfClose { bytes } => {
                let received = transfer.receive_to_end()?;
                let sent = transfer.send_payload(&self.canary, bytes)?;
                transfer.finish()?;
                Ok(sent == received)
            }
            Conversation::Hold => self.hold(transfer, || ()),
            Conversation::Upload { bytes } => {
                let sent = transfer.send_payload(&self.canary, bytes)?;
                transfer.finish()?;
                Ok(transfer.receive_text()? == sent.as_bytes())
            }
        }
    }

    /// Sends the canary now and then until the connection is cut, or patience ends.
    fn hold(&self, transfer: &mut Transfer, mut held: impl FnMut()) -> Result<bool, Stopped> {
        let started = Instant::now();
        transfer.send(self.canary.as_bytes())?;
        transfer.receive_exactly(self.canary.as_bytes().len() as u64)?;
        held();
        transfer.stream().set_read_timeout(Some(HOLD_PACE))?;
        while started.elapsed() < self.patience() {
            match transfer.receive() {
                Ok([]) => return Ok(transfer.sent == transfer.received),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    transfer.send(self.canary.as_bytes())?
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Stopped(Ended::Timeout))
    }
}

fn not_connected(error: &io::Error) -> Report {
    let ended = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Ended::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Ended::Reset,
        _ => Ended::Refused,
    };
    Report { bytes_sent: 0, bytes_received: 0, ended, latency_us: None, matches: false }
}
