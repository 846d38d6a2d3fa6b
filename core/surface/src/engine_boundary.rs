//! `culvert_core::engine::boundary`.

use culvert_core::engine::boundary::{
    CloseMode, Deadline, Input, Interest, Listener, MAX_SLICES, Origin, Output, PodId, ResolveFault, Slices,
    SocketId, WorkloadRef,
};
use culvert_core::fault::IoFault;
use culvert_core::hbone::connect::Authority;
use culvert_core::identity::Credential;
use culvert_core::identity::IdentityFault;
use culvert_core::identity::SpiffeId;
use culvert_core::identity::Trust;
use culvert_core::identity::rotation::Demand;
use culvert_core::mesh::Changed;
use culvert_core::mesh::Destination;
use culvert_core::mesh::Snapshot;
use culvert_core::telemetry::Event;
use culvert_core::time::Time;
use std::io::IoSlice;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const _: usize = MAX_SLICES;
pub fn cases_of_close_mode(value: CloseMode) -> &'static str {
    match value {
        CloseMode::Graceful => "Graceful",
        CloseMode::Discard => "Discard",
        CloseMode::Abort => "Abort",
    }
}
pub fn cases_of_input(value: Input) -> &'static str {
    match value {
        Input::PodAdded { pod, workload, consumer } => {
            let _: PodId = pod;
            let _: WorkloadRef = workload;
            let _: bool = consumer;
            "PodAdded"
        }
        Input::Resolved { host, outcome } => {
            let _: Arc<str> = host;
            let _: Result<(Vec<IpAddr>, Duration), ResolveFault> = outcome;
            "Resolved"
        }
        Input::Known { name } => {
            let _: Destination = name;
            "Known"
        }
        Input::Forgotten { name } => {
            let _: Destination = name;
            "Forgotten"
        }
        Input::PodRemoved { pod } => {
            let _: PodId = pod;
            "PodRemoved"
        }
        Input::Connected { socket, local } => {
            let _: SocketId = socket;
            let _: SocketAddr = local;
            "Connected"
        }
        Input::Failed { socket, fault } => {
            let _: SocketId = socket;
            let _: IoFault = fault;
            "Failed"
        }
        Input::Read { socket, len } => {
            let _: SocketId = socket;
            let _: usize = len;
            "Read"
        }
        Input::ReadEnd { socket } => {
            let _: SocketId = socket;
            "ReadEnd"
        }
        Input::Wrote { socket, len } => {
            let _: SocketId = socket;
            let _: usize = len;
            "Wrote"
        }
        Input::Moved { from, to, len } => {
            let _: SocketId = from;
            let _: SocketId = to;
            let _: u64 = len;
            "Moved"
        }
        Input::Parted { a, b } => {
            let _: SocketId = a;
            let _: SocketId = b;
            "Parted"
        }
        Input::Credential { id, outcome } => {
            let _: SpiffeId = id;
            let _: Result<Arc<Credential>, IdentityFault> = outcome;
            "Credential"
        }
        Input::Trust(f0) => {
            let _: Trust = f0;
            "Trust"
        }
        Input::Apply { snapshot, changed } => {
            let _: Arc<Snapshot> = snapshot;
            let _: Arc<Changed> = changed;
            "Apply"
        }
        Input::Drain { until } => {
            let _: Time = until;
            "Drain"
        }
        Input::Tick => "Tick",
    }
}
pub fn cases_of_listener(value: Listener) -> &'static str {
    match value {
        Listener::Outbound => "Outbound",
        Listener::InboundPlaintext => "InboundPlaintext",
        Listener::InboundHbone => "InboundHbone",
        Listener::Consumer => "Consumer",
    }
}
pub fn cases_of_output(value: Output) -> &'static str {
    match value {
        Output::Connect { socket, pod, target, source } => {
            let _: SocketId = socket;
            let _: PodId = pod;
            let _: SocketAddr = target;
            let _: Option<IpAddr> = source;
            "Connect"
        }
        Output::Interest { socket, interest } => {
            let _: SocketId = socket;
            let _: Interest = interest;
            "Interest"
        }
        Output::Join { a, b } => {
            let _: SocketId = a;
            let _: SocketId = b;
            "Join"
        }
        Output::Deliver { socket, pod, peer, source, target, address } => {
            let _: SocketId = socket;
            let _: PodId = pod;
            let _: Option<SpiffeId> = peer;
            let _: SocketAddr = source;
            let _: Authority = target;
            let _: SocketAddr = address;
            "Deliver"
        }
        Output::Resolve { host } => {
            let _: Arc<str> = host;
            "Resolve"
        }
        Output::NeedFacts { name } => {
            let _: Destination = name;
            "NeedFacts"
        }
        Output::NeedCredential { id, demand } => {
            let _: SpiffeId = id;
            let _: Demand = demand;
            "NeedCredential"
        }
        Output::DropCredential(f0) => {
            let _: SpiffeId = f0;
            "DropCredential"
        }
        Output::Finish { socket } => {
            let _: SocketId = socket;
            "Finish"
        }
        Output::Close { socket, mode } => {
            let _: SocketId = socket;
            let _: CloseMode = mode;
            "Close"
        }
        Output::Report(f0) => {
            let _: Event = f0;
            "Report"
        }
    }
}
pub fn fields_of_deadline(value: Deadline) -> (Time, &'static str) {
    let Deadline { at, why } = value;
    (at, why)
}
pub fn fields_of_interest(value: Interest) -> (bool, bool) {
    let Interest { read, write } = value;
    (read, write)
}
pub fn fields_of_origin(value: Origin) -> (PodId, Listener, SocketAddr, SocketAddr, Option<SocketAddr>) {
    let Origin { pod, listener, peer, local, original } = value;
    (pod, listener, peer, local, original)
}
pub fn fields_of_podid(value: PodId) -> u32 {
    value.0
}
pub type SlicesIs<'a> = Slices<'a>;
const _: fn() -> Slices<'static> = Slices::new;
const _: fn(&mut Slices<'static>, &'static [u8]) -> bool = Slices::push;
const _: for<'a> fn(&'a Slices<'static>) -> &'a [IoSlice<'static>] = Slices::as_slice;
const _: fn(&Slices<'static>) -> bool = Slices::is_empty;
pub type SocketIdIs = SocketId;
const _: fn(SocketId) -> usize = SocketId::slot;
const _: fn(&str, &str, &str) -> WorkloadRef = WorkloadRef::new;
pub fn fields_of_workload_ref(value: WorkloadRef) -> (Arc<str>, Arc<str>, Arc<str>) {
    let WorkloadRef { namespace, name, service_account } = value;
    (namespace, name, service_account)
}

pub fn cases_of_resolve_fault(value: ResolveFault) -> &'static str {
    match value {
        ResolveFault::NoSuchName => "NoSuchName",
        ResolveFault::Unavailable => "Unavailable",
    }
}
