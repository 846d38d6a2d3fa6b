//! Urgent data (TCP's, RFC 9293 section 3.8.5): the urgent byte is not carried, all before and behind it is. Reads stop at its mark,
//! though there is more, and splice cannot pass it.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use culvert_spec_tests::testbed::{
    Address, Certificates, Mesh, NodeSetup, Runtime, Server, converse, echo, take,
};

/// Sends what is before and behind an urgent byte in one segment.
fn urge(mut stream: &TcpStream, before: &[u8], behind: &[u8]) {
    let cork = |on: libc::c_int| {
        let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap();
        let value = (&raw const on).cast();
        // SAFETY: the value outlives the call.
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_TCP, libc::TCP_CORK, value, size) }
    };
    assert_eq!(cork(1), 0);
    stream.write_all(before).unwrap();
    // SAFETY: one byte, which outlives the call.
    let sent =
        unsafe { libc::send(stream.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB | libc::MSG_MORE) };
    assert_eq!(sent, 1, "{}", std::io::Error::last_os_error());
    stream.write_all(behind).unwrap();
    assert_eq!(cork(0), 0);
}

/// All that is not urgent comes back, while the connection stays open.
fn is_carried(stream: &TcpStream, way: &str) {
    urge(stream, b"before", b"behind");
    let heard = take(stream, 12);
    assert!(heard.as_ref().is_ok_and(|heard| heard == b"beforebehind"), "{way}: {heard:?}");
}

fn passes(runtime: Runtime) {
    let (client, server, outside) = (Address::take(), Address::take(), Address::take());
    let mesh = Mesh::new().workload("client", client.ip).workload("server", server.ip);
    let certificates = Certificates::issue(&["client", "server"]);
    let (_in_mesh, _outside) =
        (Server::start(server.port(7000), echo), Server::start(outside.port(7000), echo));
    let server_node =
        NodeSetup { runtime, ..NodeSetup::new(&mesh, "server", server.ip, &certificates) }.start();
    let setup = NodeSetup { runtime, ..NodeSetup::new(&mesh, "client", client.ip, &certificates) };
    let setup = setup.forward(client.port(7000), server.port(7000));
    let client_node = setup.forward(client.port(7001), outside.port(7000)).start();
    for (port, way) in [(7000, "in a tunnel"), (7001, "in the kernel")] {
        let way = format!("{runtime:?}, {way}");
        is_carried(&converse(client.port(port)), &format!("{way}, at once"));
        let mut later = converse(client.port(port));
        later.write_all(b"so far").unwrap();
        assert_eq!(take(&later, 6).unwrap(), b"so far", "{way}");
        is_carried(&later, &format!("{way}, later"));
    }
    drop((client_node, server_node));
}

#[test]
fn urgent_data_ends_and_stops_nothing_on_mio() {
    passes(Runtime::Mio);
}

#[test]
fn urgent_data_ends_and_stops_nothing_on_smol() {
    passes(Runtime::Smol);
}

#[test]
fn urgent_data_ends_and_stops_nothing_on_tokio() {
    passes(Runtime::Tokio);
}
