//! Why a connection goes nowhere.

/// Why a workload's outbound connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum RouteFault {
    /// The chosen endpoint's name has no address that could be dialled.
    #[error("the endpoint's name has no usable address")]
    NoAddress,
    /// The destination is in another network, to which no gateway leads that could take the connection.
    #[error("no gateway leads to the destination's network")]
    NoGateway,
    /// The service has no endpoint that could take the connection.
    #[error("the service has no healthy endpoint")]
    NoHealthyEndpoint,
    /// The destination is in another network, and nothing says which identities it has there.
    #[error("nothing says which identities the destination has in its network")]
    NoIdentity,
    /// The service has no such port.
    #[error("the service has no such port")]
    NoServicePort,
    /// The destination has a waypoint, at whose address nothing stands that could take the connection; nothing goes past one.
    #[error("the destination's waypoint has no healthy endpoint")]
    NoWaypoint,
    /// What is in another network is reached by a service's address only.
    #[error("the destination is in another network and was not addressed by a service")]
    NotByService,
    /// The proxy would have to dial a port of its own.
    #[error("the port belongs to the proxy")]
    OwnPort,
    /// The connection was opened to the proxy itself.
    #[error("the connection was opened to the proxy itself")]
    SelfCall,
    /// The address is none a connection can go to.
    #[error("no connection can go to this address")]
    Unroutable,
}

impl RouteFault {
    /// A short name for metrics, of a small fixed set.
    pub fn label(self) -> &'static str {
        match self {
            RouteFault::NoAddress => "no_address",
            RouteFault::NoGateway => "no_gateway",
            RouteFault::NoHealthyEndpoint => "no_healthy_endpoint",
            RouteFault::NoIdentity => "no_identity",
            RouteFault::NoServicePort => "no_service_port",
            RouteFault::NoWaypoint => "no_waypoint",
            RouteFault::NotByService => "not_by_service",
            RouteFault::OwnPort => "own_port",
            RouteFault::SelfCall => "self_call",
            RouteFault::Unroutable => "unroutable",
        }
    }
}

/// Why a connection that arrives for a workload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum InboundFault {
    /// The authority is no address or hostname with a port.
    #[error("the authority is neither ADDRESS:PORT nor HOSTNAME:PORT")]
    BadAuthority,
    /// The requested address is loopback, link-local, multicast, unspecified or broadcast.
    #[error("the requested address is no workload's")]
    ForbiddenAddress,
    /// The requested address is not the one the tunnel was opened to.
    #[error("the requested address is not this workload's")]
    IpMismatch,
    /// The service has no such port, or nothing says which port of the workload stands behind it.
    #[error("the service has no such port")]
    NoServicePort,
    /// The port is one of the proxy's own.
    #[error("the port belongs to the proxy")]
    OwnPort,
    /// The requested hostname is no service this workload is an endpoint of.
    #[error("the requested hostname is no service of this workload")]
    UnknownHost,
    /// The connection was opened to an address that is not the workload's.
    #[error("the address is not one of the workload's")]
    UnknownWorkload,
}

impl InboundFault {
    /// The HTTP status that answers a CONNECT (node.md row 37).
    pub fn status(self) -> u16 {
        match self {
            InboundFault::BadAuthority | InboundFault::ForbiddenAddress | InboundFault::IpMismatch => 400,
            InboundFault::NoServicePort
            | InboundFault::OwnPort
            | InboundFault::UnknownHost
            | InboundFault::UnknownWorkload => 503,
        }
    }

    /// A short name for metrics, of a small fixed set.
    pub fn label(self) -> &'static str {
        match self {
            InboundFault::BadAuthority => "bad_authority",
            InboundFault::ForbiddenAddress => "forbidden_address",
            InboundFault::IpMismatch => "ip_mismatch",
            InboundFault::NoServicePort => "no_service_port",
            InboundFault::OwnPort => "own_port",
            InboundFault::UnknownHost => "unknown_host",
            InboundFault::UnknownWorkload => "unknown_workload",
        }
    }
}
