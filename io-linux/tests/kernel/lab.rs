//! The laboratory itself: who reaches whom, and what a sniffer sees.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

use culvert_linux::lab::{Host, Lab, LabConfig, LabError, Sniffer};
use culvert_linux::socket::{self, DialOptions};

use crate::sandbox::{accept, connect, isolated};

/// Sends `bytes` from one host to the other and returns the source address that the receiver saw.
fn send(from: &Host, to: &Host, target: IpAddr, bytes: &[u8]) -> IpAddr {
    let any = "[::]:7000".parse().unwrap();
    let listener = to.run(|| socket::listen(any, &Default::default())).unwrap().unwrap();
    let target = SocketAddr::new(target, 7000);
    let mut client = from.run(|| connect(target, &DialOptions::default())).unwrap().unwrap();
    client.write_all(bytes).unwrap();
    drop(client);
    let (mut server, peer) = accept(&listener);
    let mut got = Vec::new();
    server.read_to_end(&mut got).unwrap();
    assert_eq!(got, bytes);
    peer.ip()
}

isolated!(everyone_reaches_everyone_under_their_own_address, || {
    let lab = Lab::new(&LabConfig::uniform(2, 2, 1)).unwrap();
    assert_eq!(lab.hosts().len(), 7);
    for from in lab.hosts() {
        for to in lab.hosts() {
            for (source, target) in from.addresses().into_iter().zip(to.addresses()) {
                // A node on the way to its own pods uses its address in their network.
                let seen = send(from, to, target, b"hello");
                let beside = from.interface == "uplink" || to.interface == "uplink";
                assert!(seen == source || beside, "{} to {}: {seen}", from.name, to.name);
            }
        }
    }
});

isolated!(unknown_names_are_errors, || {
    let lab = Lab::new(&LabConfig::new().outsider("alone")).unwrap();
    assert!(lab.host("alone").is_ok());
    assert!(matches!(lab.host("nobody"), Err(LabError::NoHost(name)) if name == "nobody"));
});

isolated!(a_sniffer_on_the_wire_sees_plain_bytes_between_nodes_only, || {
    let lab = Lab::new(&LabConfig::uniform(2, 2, 0)).unwrap();
    let host = |name| lab.host(name).unwrap();
    let tap = host("node1").tap().unwrap();
    for (family, between, within) in
        [(0, b"canary-4-between", b"canary-4-within!"), (1, b"canary-6-between", b"canary-6-within!")]
    {
        let sniffer = Sniffer::start(&tap.netns, &tap.interface, &[between, within]).unwrap();
        let (client, far, near) = (host("node1-pod1"), host("node2-pod1"), host("node1-pod2"));
        send(client, far, far.addresses()[family], between);
        send(client, near, near.addresses()[family], within);
        let capture = sniffer.stop().unwrap();
        assert_eq!((&capture.hits[..], capture.dropped), (&[1, 0][..], 0), "{capture:?}");
    }
});

isolated!(a_sniffer_needs_an_interface, || {
    let lab = Lab::new(&LabConfig::uniform(1, 0, 0)).unwrap();
    assert!(Sniffer::start(lab.wire(), "no-such-if", &[]).is_err());
    let idle = Sniffer::start(lab.wire(), "lo", &[]).unwrap();
    assert_eq!(idle.stop().unwrap().frames, 0);
});
