//! A run as a timeline that people read: who called whom, what went wrong, what each node decided.

use std::fmt;
use std::time::Duration;

use culvert_core::telemetry::{Connection, Event, Reporter};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, counted from the beginning of the world.
    pub at: Duration,
    /// Where: `world`, or `node N`.
    pub place: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} s  {:<7} {}", self.at.as_secs_f64(), self.place, self.what)
    }
}

/// An event of a node in words.
pub(super) fn words(event: &Event) -> String {
    match event {
        Event::Opened(connection) => format!("opened {}", way(connection)),
        Event::Closed { connection, bytes_sent, bytes_received, reason, .. } => {
            format!(
                "closed {}: {reason}; {bytes_sent} bytes sent, {bytes_received} received",
                way(connection)
            )
        }
        Event::TunnelOpened { peer, identity, side } => {
            format!("tunnel {} {peer} opened: {identity}", direction(*side))
        }
        Event::TunnelClosed { peer, side, fault } => {
            format!("tunnel {} {peer} closed: {fault}", direction(*side))
        }
        Event::DryRun { policy, denies, .. } => format!("dry run of {policy}: denies {denies}"),
        Event::HeadersIgnored { peer, count } => format!("{count} headers of {peer} ignored"),
        Event::EndpointEjected { service, endpoint, lasts } => {
            format!("{endpoint} of {service} ejected for {} s", lasts.as_secs())
        }
        Event::EndpointReturned { service, endpoint } => format!("{endpoint} of {service} returned"),
        Event::Misuse(what) => format!("misuse: {what}"),
        Event::Drained => "drained".to_owned(),
        Event::WorkerRestarted { why, .. } => format!("worker restarted: {why}"),
    }
}

fn way(connection: &Connection) -> String {
    let policy = connection.policy.as_ref().map_or(String::new(), |policy| format!(", policy {policy}"));
    let end = match connection.reporter {
        Reporter::Source => "as source",
        Reporter::Destination => "as destination",
    };
    let path = connection.path.label();
    format!("{} -> {} {end}, {path}{policy}", connection.source, connection.destination)
}

fn direction(side: Reporter) -> &'static str {
    match side {
        Reporter::Source => "to",
        Reporter::Destination => "from",
    }
}
