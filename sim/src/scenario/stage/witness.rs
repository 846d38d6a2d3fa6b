//! What reports of nodes show, by the names of the vocabulary.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use culvert_core::capture::{InboundFault, RouteFault};
use culvert_core::fault::{self, IoFault};
use culvert_core::hbone::mux::MuxFault;
use culvert_core::telemetry::{Connection, Event, Path, Reason, Reporter};
use culvert_core::time::Time;

use super::super::vocabulary::{fault_name, name};

/// Notes what reports of one node show.
pub(super) fn see(reports: &[(Time, Event)], seen: &mut BTreeSet<&'static str>) {
    let mut together: BTreeMap<(Time, &'static str, SocketAddr, SocketAddr), usize> = BTreeMap::new();
    for (at, event) in reports {
        match event {
            Event::Closed { connection, reason, .. } => {
                seen.insert(name(reason));
                seen.extend(shown(connection, reason));
                if let (Some(hbone), Reporter::Source, Reason::Failed(fault)) =
                    (connection.hbone, connection.reporter, reason)
                {
                    let source = SocketAddr::new(connection.source.ip(), 0);
                    *together.entry((*at, group(fault), source, hbone)).or_default() += 1;
                }
            }
            Event::TunnelClosed { fault, .. } => {
                seen.insert(fault_name(fault));
                seen.extend(stage_id(fault));
            }
            Event::Opened(connection) if connection.reporter == Reporter::Source => {
                match (connection.hbone, connection.target) {
                    (Some(peer), Some(target)) if peer.ip() != target.ip() => {
                        seen.insert("waypoint");
                    }
                    (Some(_), None) => {
                        seen.insert("gateway");
                    }
                    (Some(_), Some(_)) | (None, _) => {}
                }
            }
            Event::Opened(_)
            | Event::TunnelOpened { .. }
            | Event::DryRun { .. }
            | Event::HeadersIgnored { .. }
            | Event::EndpointEjected { .. }
            | Event::EndpointReturned { .. }
            | Event::Misuse(_)
            | Event::Drained
            | Event::WorkerRestarted { .. } => {}
        }
    }
    seen.extend(
        together
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|((_, id, ..), _)| id)
            .filter(|id| !id.is_empty()),
    );
}

/// Whoever is here is this implementation, as shipped: nobody breaks HTTP/2, or sends a request that is none (S15).
pub(super) fn assert_spoken_well(reports: &[(Time, Event)]) {
    for (_, event) in reports {
        let fault = match event {
            Event::Closed { reason: Reason::Failed(fault), .. } | Event::TunnelClosed { fault, .. } => fault,
            _ => continue,
        };
        // A process that is killed leaves in the midst of a frame; a tunnel may be given up while streams are open, after GOAWAY too.
        let broken = match fault {
            fault::Fault::Http2(fault) => {
                !matches!(fault, MuxFault::Eof | MuxFault::Truncated | MuxFault::Peer { code: 0 })
            }
            fault::Fault::Request(_) => true,
            _ => false,
        };
        assert!(!broken, "S15: an honest peer broke the protocol: {event:?}");
    }
}

/// The id of the fault that two connections show which end so at one moment, of one source towards one proxy.
fn group(fault: &fault::Fault) -> &'static str {
    use fault::Stage::{Http2Preface, TcpConnect, TlsHandshake};
    match fault {
        fault::Fault::TunnelLost(_) => "D10",
        fault::Fault::Io(_) | fault::Fault::Timeout(TcpConnect | TlsHandshake | Http2Preface) => "D8",
        _ => "",
    }
}

/// The ids of the faults that one connection's end shows.
fn shown(connection: &Connection, reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::SourceReset | Reason::DestinationReset => Some("D4"),
        Reason::Completed => None,
        Reason::Failed(fault::Fault::Revoked(_)) => Some("C9"),
        Reason::Failed(
            fault::Fault::Io(IoFault::Refused) | fault::Fault::Timeout(fault::Stage::TcpConnect),
        ) if connection.path != Path::Hbone || connection.reporter == Reporter::Destination => Some("D16"),
        Reason::Failed(fault::Fault::Io(IoFault::AddressUnavailable)) => Some("H3"),
        Reason::Failed(fault::Fault::Limit(fault::LimitName::Memory)) => Some("H4"),
        Reason::Failed(
            fault::Fault::Route(RouteFault::OwnPort | RouteFault::SelfCall)
            | fault::Fault::Target(InboundFault::OwnPort),
        ) => Some("H7"),
        Reason::Failed(fault) => stage_id(fault),
    }
}

fn stage_id(fault: &fault::Fault) -> Option<&'static str> {
    match fault {
        fault::Fault::Timeout(fault::Stage::TlsHandshake) => Some("D7"),
        fault::Fault::Timeout(fault::Stage::Http2Preface | fault::Stage::ConnectResponse) => Some("D9"),
        fault::Fault::Timeout(fault::Stage::Keepalive) => Some("D14"),
        fault::Fault::Timeout(fault::Stage::Credential) => Some("C1"),
        fault::Fault::TunnelLost(inner) => stage_id(inner),
        _ => None,
    }
}
