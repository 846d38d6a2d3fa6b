//! Every way that a connection can take, and what applications see of it: the same as without a mesh.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use culvert_core::telemetry::Path;
use culvert_spec_tests::testbed::{
    Ending, Heard, PATIENCE, Runtime, abort, echo, exchange, hear, pattern, read_line, take,
};

use crate::cluster::{Cluster, opened};
use crate::privileges::with_namespaces;

const PORT: u16 = 8080;

/// Says who has connected, then sends everything back.
fn announce_and_echo(mut stream: TcpStream) {
    let peer = stream.peer_addr().unwrap().ip().to_canonical();
    let _gone = writeln!(stream, "{peer}");
    echo(stream);
}

/// From one host to another over both families: a mebibyte each way with half-close, the client's own address, and the
/// path.
fn carries(cluster: &Cluster, from: &str, to: &str, path: Path) {
    let _server = cluster.serve(to, PORT, announce_and_echo);
    for (source, target) in cluster.addresses(from).into_iter().zip(cluster.addresses(to)) {
        let target = SocketAddr::new(target, PORT);
        let stream = cluster.dial(from, target);
        assert_eq!(stream.peer_addr().unwrap(), target, "the client sees whom it has dialled");
        assert_eq!(read_line(&stream), source.to_string(), "the server sees who has dialled");
        let data = pattern(1, 1 << 20);
        let heard = exchange(&stream, &data);
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
        let node = if to == "neighbour" { &cluster.first } else { &cluster.second };
        let connection = opened(node, target, path);
        assert_eq!(connection.source.ip(), source);
        let identity = connection.source_identity.map(|id| id.service_account().to_owned());
        assert_eq!(identity.as_deref(), (path != Path::Plaintext).then_some(from));
    }
}

#[test]
fn pods_of_two_nodes_meet_in_a_tunnel() {
    with_namespaces("paths::pods_of_two_nodes_meet_in_a_tunnel", || {
        for runtime in Runtime::ALL {
            let cluster = Cluster::on(runtime);
            carries(&cluster, "client", "server", Path::Hbone);
            let [v4, v6] = cluster.addresses("server").map(|ip| SocketAddr::new(ip, PORT));
            for target in [v4, v6] {
                let connection = opened(&cluster.first, target, Path::Hbone);
                assert_eq!(connection.hbone, Some(SocketAddr::new(target.ip(), 15008)));
            }
        }
    });
}

#[test]
fn pods_of_one_node_meet_in_the_proxy() {
    with_namespaces("paths::pods_of_one_node_meet_in_the_proxy", || {
        for runtime in Runtime::ALL {
            carries(&Cluster::on(runtime), "client", "neighbour", Path::Local);
        }
    });
}

#[test]
fn an_outsider_comes_in_clear_and_is_seen_as_itself() {
    with_namespaces("paths::an_outsider_comes_in_clear_and_is_seen_as_itself", || {
        for runtime in Runtime::ALL {
            carries(&Cluster::on(runtime), "outsider", "server", Path::Plaintext);
        }
    });
}

/// A server that tells how each of its connections ended; the client's first line says what the server does.
fn watched(cluster: &Cluster, name: &str) -> (culvert_spec_tests::testbed::Server, Receiver<Heard>) {
    let (ends, ended) = channel();
    let server = cluster.serve(name, PORT, move |mut stream| {
        let wish = read_line(&stream);
        stream.write_all(&pattern(2, 1000)).unwrap();
        if wish == "reset" {
            abort(stream);
        } else {
            let _receiver = ends.send(hear(&stream, PATIENCE));
        }
    });
    (server, ended)
}

fn aborts(to: &str) {
    Runtime::ALL.into_iter().for_each(|runtime| aborts_on(runtime, to));
}

fn aborts_on(runtime: Runtime, to: &str) {
    let cluster = Cluster::on(runtime);
    let (_server, ended) = watched(&cluster, to);
    for ip in cluster.addresses(to) {
        let target = SocketAddr::new(ip, PORT);
        let mut stream = cluster.dial("client", target);
        stream.write_all(b"reset\n").unwrap();
        assert_eq!(hear(&stream, PATIENCE).ending, Ending::Reset, "the server has reset");
        let mut stream = cluster.dial("client", target);
        stream.write_all(b"listen\n").unwrap();
        assert!(take(&stream, 1000).unwrap() == pattern(2, 1000));
        abort(stream);
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap().ending, Ending::Reset, "the client has reset");
    }
}

#[test]
fn a_reset_passes_a_tunnel_both_ways() {
    with_namespaces("paths::a_reset_passes_a_tunnel_both_ways", || aborts("server"));
}

#[test]
fn a_reset_passes_the_proxy_both_ways() {
    with_namespaces("paths::a_reset_passes_the_proxy_both_ways", || aborts("neighbour"));
}

#[test]
fn a_policy_cuts_what_the_kernel_relays() {
    with_namespaces("paths::a_policy_cuts_what_the_kernel_relays", || {
        Runtime::ALL.into_iter().for_each(a_policy_cuts_on);
    });
}

fn a_policy_cuts_on(runtime: Runtime) {
    let cluster = Cluster::on(runtime);
    let _server = cluster.serve("neighbour", PORT, announce_and_echo);
    let target = SocketAddr::new(cluster.host("neighbour").v4.into(), PORT);
    let mut stream = cluster.dial("client", target);
    read_line(&stream);
    let data = pattern(3, 100_000);
    stream.write_all(&data).unwrap();
    assert!(take(&stream, data.len()).unwrap() == data);
    cluster.first.node.apply(cluster.mesh.clone().deny("no-more", "client").snapshot());
    assert_eq!(hear(&stream, PATIENCE).ending, Ending::Reset);
    // The reset of a new one may come before its connect has returned.
    let again = cluster.host("client").run(|| TcpStream::connect(target)).unwrap();
    assert!(again.is_err() || again.is_ok_and(|new| hear(&new, PATIENCE).ending == Ending::Reset));
}
