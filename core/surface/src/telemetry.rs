//! `culvert_core::telemetry`.

use culvert_core::fault::Fault;
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::Service;
use culvert_core::mesh::ServiceKey;
use culvert_core::mesh::Uid;
use culvert_core::mesh::Workload;
use culvert_core::telemetry::{Connection, Event, Path, Reason, Reporter};
use culvert_core::time::WallTime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub fn cases_of_event(value: Event) -> &'static str {
    match value {
        Event::Opened(f0) => {
            let _: Arc<Connection> = f0;
            "Opened"
        }
        Event::Closed { connection, bytes_sent, bytes_received, duration, reason } => {
            let _: Arc<Connection> = connection;
            let _: u64 = bytes_sent;
            let _: u64 = bytes_received;
            let _: Duration = duration;
            let _: Reason = reason;
            "Closed"
        }
        Event::TunnelOpened { peer, identity, side } => {
            let _: SocketAddr = peer;
            let _: SpiffeId = identity;
            let _: Reporter = side;
            "TunnelOpened"
        }
        Event::TunnelClosed { peer, side, fault } => {
            let _: SocketAddr = peer;
            let _: Reporter = side;
            let _: Fault = fault;
            "TunnelClosed"
        }
        Event::DryRun { connection, policy, denies } => {
            let _: Arc<Connection> = connection;
            let _: String = policy;
            let _: bool = denies;
            "DryRun"
        }
        Event::HeadersIgnored { peer, count } => {
            let _: SocketAddr = peer;
            let _: u32 = count;
            "HeadersIgnored"
        }
        Event::EndpointEjected { service, endpoint, lasts } => {
            let _: ServiceKey = service;
            let _: Uid = endpoint;
            let _: Duration = lasts;
            "EndpointEjected"
        }
        Event::EndpointReturned { service, endpoint } => {
            let _: ServiceKey = service;
            let _: Uid = endpoint;
            "EndpointReturned"
        }
        Event::Misuse(f0) => {
            let _: &'static str = f0;
            "Misuse"
        }
        Event::Drained => "Drained",
        Event::WorkerRestarted { why, restarts } => {
            let _: String = why;
            let _: u64 = restarts;
            "WorkerRestarted"
        }
    }
}
const _: fn(&Event) -> bool = Event::is_error;
pub fn cases_of_path(value: Path) -> &'static str {
    match value {
        Path::Hbone => "Hbone",
        Path::Local => "Local",
        Path::Plaintext => "Plaintext",
        Path::Refused => "Refused",
    }
}
const _: fn(Path) -> &'static str = Path::label;
pub fn cases_of_reason(value: Reason) -> &'static str {
    match value {
        Reason::Completed => "Completed",
        Reason::SourceReset => "SourceReset",
        Reason::DestinationReset => "DestinationReset",
        Reason::Failed(f0) => {
            let _: Fault = f0;
            "Failed"
        }
    }
}
pub fn cases_of_reporter(value: Reporter) -> &'static str {
    match value {
        Reporter::Source => "Source",
        Reporter::Destination => "Destination",
    }
}
pub fn fields_of_connection(
    value: Connection,
) -> (
    Reporter,
    Path,
    SocketAddr,
    SocketAddr,
    Option<SocketAddr>,
    Option<SocketAddr>,
    Option<SpiffeId>,
    Option<SpiffeId>,
    Option<Arc<Workload>>,
    Option<Arc<Workload>>,
    Option<Arc<Service>>,
    Option<String>,
    Option<[u8; 16]>,
    WallTime,
) {
    let Connection {
        reporter,
        path,
        source,
        destination,
        hbone,
        target,
        source_identity,
        destination_identity,
        source_workload,
        destination_workload,
        service,
        policy,
        trace,
        opened,
    } = value;
    (
        reporter,
        path,
        source,
        destination,
        hbone,
        target,
        source_identity,
        destination_identity,
        source_workload,
        destination_workload,
        service,
        policy,
        trace,
        opened,
    )
}
