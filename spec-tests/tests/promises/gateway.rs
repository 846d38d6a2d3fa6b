//! Another network through its gateway, by a tunnel inside a tunnel (node.md row 61), and an application that is told of its
//! peers (row 66): over real sockets, on every runtime.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use culvert_core::proxy_protocol::{Endpoints, Header};
use culvert_core::telemetry::{Event, Reason, Reporter};
use culvert_spec_tests::testbed::{
    Address, Certificates, Ending, Mesh, NodeSetup, PATIENCE, Runtime, Server, abort, call, converse, echo,
    exchange, hear, pattern, take,
};

/// Passes a connection on as it is, as a gateway does that sees only TLS.
fn pass(near: TcpStream, to: SocketAddr) {
    let Ok(far) = TcpStream::connect(to) else { return };
    let copy = |mut from: &TcpStream, mut into: &TcpStream| {
        let whole = io::copy(&mut from, &mut into).is_ok();
        let _gone = into.shutdown(if whole { Shutdown::Write } else { Shutdown::Both });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(&near, &far));
        copy(&far, &near);
    });
}

#[test]
fn a_service_in_another_network_is_reached_over_real_sockets() {
    for runtime in Runtime::ALL {
        let [client, gate, server, service] = [(); 4].map(|()| Address::take());
        let certificates = Certificates::issue(&["client", "gate", "server"]);
        let pod = |name: &str, at: &Address, rest: &str| {
            format!(
                "uid: test//Pod/default/{name}, name: {name}, namespace: default, serviceAccount: {name}, \
                 network: far, workloadIps: [{}], protocol: HBONE, node: here{rest}",
                at.ip
            )
        };
        let gateway =
            format!(", services: {{default/shop: {{}}}}, networkGateway: {{destination: far/{}}}", gate.ip);
        let mesh = Mesh::new()
            .workload("client", client.ip)
            .workload_of(&pod("gate", &gate, ", applicationTunnel: {port: 15443}"))
            .workload_of(&pod("server", &server, &gateway))
            .service_of(&format!(
                "name: shop, namespace: default, hostname: shop, vips: [/{}], ports: {{80: 7000, 81: 7001}}",
                service.ip
            ));
        let start = |name: &str, at: &Address| {
            let mut setup = NodeSetup::new(&mesh, name, at.ip, &certificates);
            for port in [80, 81] {
                setup = setup.forward(at.port(port), service.port(port));
            }
            setup.runtime = runtime;
            setup
        };
        let to = server.hbone();
        let _passing = Server::start(gate.port(15443), move |stream| pass(stream, to));
        let _echo = Server::start(server.port(7000), echo);
        let _rude = Server::start(server.port(7001), |mut stream| {
            let _gone = stream.write_all(b"half of it");
            let _more = stream.read(&mut [0; 16]);
            abort(stream);
        });
        let (_gate, _server) = (start("gate", &gate).start(), start("server", &server).start());
        let near = start("client", &client).start();
        let data = pattern(1, 4 << 20);
        let heard = call(client.port(80), |stream| exchange(stream, &data));
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{runtime:?}: {heard:?}");
        // Many at once share both tunnels.
        std::thread::scope(|scope| {
            for number in 0..20 {
                let at = client.port(80);
                scope.spawn(move || {
                    let data = pattern(number, 20_000);
                    let heard = call(at, |stream| exchange(stream, &data));
                    assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
                });
            }
        });
        let mut stream = converse(client.port(81));
        assert_eq!(take(&stream, 10).unwrap(), b"half of it");
        stream.write_all(b"x").unwrap();
        assert_eq!(hear(&stream, PATIENCE).ending, Ending::Reset, "{runtime:?}: a reset passes both tunnels");
        near.events.wait_for(22, |event| matches!(event, Event::Closed { .. }));
        let opened = near.events.all().into_iter().filter_map(|event| match event {
            Event::TunnelOpened { identity, side: Reporter::Source, .. } => {
                Some(identity.service_account().to_owned())
            }
            _ => None,
        });
        // The gateway is asked for each port of the service by itself.
        assert_eq!(opened.collect::<Vec<_>>(), ["gate", "server", "server"], "{runtime:?}");
        assert_eq!(near.events.reasons().last(), Some(&Reason::DestinationReset));
    }
}

#[test]
fn an_application_gets_its_header_over_real_sockets() {
    for runtime in Runtime::ALL {
        let [client, server] = [(); 2].map(|()| Address::take());
        let certificates = Certificates::issue(&["client", "server"]);
        let mesh = Mesh::new().workload("client", client.ip).workload_of(&format!(
            "uid: test//Pod/default/server, name: server, namespace: default, serviceAccount: server, workloadIps: [{}], \
             protocol: HBONE, node: here, applicationTunnel: {{protocol: PROXY, port: 15088}}",
            server.ip
        ));
        // Both pods are addresses of one host: its loopback is neither's.
        let _told = Server::start(server.port(15088), |mut stream| {
            let mut bytes = Vec::new();
            let _end = stream.read_to_end(&mut bytes);
            let _gone = stream.write_all(&bytes);
        });
        let mut near = NodeSetup::new(&mesh, "client", client.ip, &certificates)
            .forward(client.port(7000), server.port(7000));
        let mut far = NodeSetup::new(&mesh, "server", server.ip, &certificates);
        (near.runtime, far.runtime) = (runtime, runtime);
        let (_near, _far) = (near.start(), far.start());
        let data = pattern(2, 100_000);
        let heard = call(client.port(7000), |stream| exchange(stream, &data));
        assert_eq!(heard.ending, Ending::Eof, "{runtime:?}");
        let (header, len) = Header::parse(&heard.bytes).unwrap().unwrap();
        let Endpoints::Tcp { source, destination } = header.endpoints else { panic!("{header:?}") };
        // Without a redirect an application has no address of its own.
        assert_eq!((source.ip().is_loopback(), destination), (true, server.port(7000)));
        assert_eq!(header.identity.unwrap().service_account(), "client");
        assert!(heard.bytes[len..] == data, "{runtime:?}: the stream's bytes come after the header");
    }
}
