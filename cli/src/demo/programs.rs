//! Plain programs, each a process of its own that knows nothing of a mesh: servers and clients over TCP.
//!
//! A program is told what to do in JSON (`culvert demo-program JSON`) and says what happened in lines of JSON.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::canary::Canary;

mod client;
mod server;
mod transfer;

/// What the two sides of a connection do with each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conversation {
    /// The server sends and closes its half at once; the client reads to the end, then sends as much.
    HalfClose {
        /// Bytes each way.
        bytes: u64,
    },
    /// The client sends a little now and then, the server sends it back, until somebody cuts the connection.
    Hold,
    /// The server sends and closes.
    Download {
        /// Bytes from the server.
        bytes: u64,
    },
    /// The client sends, the server sends the same back; the client closes first.
    Echo {
        /// Bytes each way.
        bytes: u64,
    },
    /// The client sends and closes its half; the server answers with the checksum.
    Upload {
        /// Bytes from the client.
        bytes: u64,
    },
}

/// A program to run in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// Connects once and talks.
    Client(Client),
    /// Takes one connection after another until it is ended.
    Server(Server),
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Where to connect.
    pub target: SocketAddr,
    /// What to do then.
    pub conversation: Conversation,
    /// What the payload is made of.
    pub canary: Canary,
    /// How long to wait for any one thing, in milliseconds.
    pub patience_ms: u64,
}

impl Client {
    /// How long to wait for any one thing. A socket takes no zero.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.max(1))
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What to do with each connection.
    pub conversation: Conversation,
    /// What the payload is made of.
    pub canary: Canary,
}

/// How a connection ended for one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The peer closed its half in order (FIN).
    Eof,
    /// It could not be made at all.
    Refused,
    /// It was aborted (RST).
    Reset,
    /// Nothing happened for too long.
    Timeout,
}

/// What one side saw of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Payload bytes written.
    pub bytes_sent: u64,
    /// Payload bytes read.
    pub bytes_received: u64,
    /// How it ended.
    pub ended: Ended,
    /// From the start of connecting to the first byte read, in microseconds; `None` if there was none.
    pub latency_us: Option<u64>,
    /// Whether all bytes came, and as they were sent.
    pub matches: bool,
}

/// A line that a program prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A server takes connections now.
    Listening {
        /// Where.
        listening: SocketAddr,
    },
    /// A holding client has its connection, and bytes have gone both ways.
    Held {
        /// Always true.
        held: bool,
    },
    /// A connection has ended.
    Report(Report),
}

/// Runs `program` in this process and prints its lines; a server returns only with an error.
///
/// The process ends when its standard input does, so that it never outlives the demo that started it.
pub fn run(program: &Program) -> io::Result<()> {
    std::thread::Builder::new().name("input".into()).spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    })?;
    let tell = |line: &Line| -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    match program {
        Program::Client(client) => {
            let report = client.run(|| tell(&Line::Held { held: true }))?;
            tell(&Line::Report(report))
        }
        Program::Server(server) => {
            let listener = server.listen()?;
            tell(&Line::Listening { listening: listener.local_addr()? })?;
            loop {
                let report = server.serve(&listener)?;
                tell(&Line::Report(report))?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
