//! The limits of time, and which status answers which fault.

use std::time::Duration;

use culvert_core::capture::{InboundFault, RouteFault};
use culvert_core::fault::{Fault, IoFault, Stage};
use culvert_core::limit::Limits;
use culvert_core::policy::Denial;

#[test]
fn the_limits_of_a_dial_nest() {
    let limits = Limits::default();
    let seconds = Duration::from_secs;
    assert_eq!(
        [limits.tcp_connect, limits.tls_handshake, limits.http2_preface, limits.connect_response],
        [seconds(10), seconds(5), seconds(5), seconds(15)]
    );
    assert!(limits.connect_response > limits.tcp_connect, "the far dial's refusal arrives");
    assert_eq!((limits.connection_idle, limits.connection_max_age), (Duration::ZERO, Duration::ZERO), "off");
    assert_eq!((limits.ping_interval, limits.ping_timeout), (seconds(10), seconds(20)));
}

#[test]
fn what_is_denied_is_answered_401() {
    for denial in [
        Denial::NotAllowed,
        Denial::PastWaypoint,
        Denial::Rule("n/p".parse().unwrap()),
        Denial::Missing(vec![]),
        Denial::Undecodable { policy: "n/p".parse().unwrap(), reason: "x".into() },
    ] {
        assert_eq!(Fault::Denied(denial.clone()).status(), 401, "{denial}");
        assert_eq!(Fault::Revoked(denial).status(), 401);
    }
}

#[test]
fn what_cannot_be_reached_is_answered_503_and_what_is_no_request_400() {
    for (fault, status) in [
        (Fault::Request("not a CONNECT"), 400),
        (Fault::Target(InboundFault::BadAuthority), 400),
        (Fault::Target(InboundFault::ForbiddenAddress), 400),
        (Fault::Target(InboundFault::IpMismatch), 400),
        (Fault::Target(InboundFault::UnknownWorkload), 503),
        (Fault::Target(InboundFault::UnknownHost), 503),
        (Fault::Target(InboundFault::NoServicePort), 503),
        (Fault::Target(InboundFault::OwnPort), 503),
        (Fault::Route(RouteFault::NoHealthyEndpoint), 503),
        (Fault::Io(IoFault::Refused), 503),
        (Fault::Io(IoFault::Unreachable), 503),
        (Fault::Timeout(Stage::TcpConnect), 503),
        (Fault::Drain, 503),
        (Fault::WorkloadGone, 503),
    ] {
        assert_eq!(fault.status(), status, "{fault}");
    }
}
