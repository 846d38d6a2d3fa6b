//! Thousands of connections that are silent: all of them still answer, and their deadlines come in their order. Each runtime has a
//! process for its node and one for both ends of the connections, since a process has too few descriptors for all.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use culvert_core::fault::{Fault, Stage};
use culvert_core::limit::Limits;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::testbed::{
    Address, Certificates, Mesh, NodeSetup, PATIENCE, Process, Runtime, Stream,
};

/// Connections of each node.
const MANY: usize = 8000;
/// How long one may be silent: longer than it takes to make all of them, and to speak on each.
const SILENCE: Duration = Duration::from_secs(16);
/// In the environment of a node's process, its runtime.
const RUNTIME: &str = "CULVERT_TEST_IDLE_RUNTIME";
/// In the environment of the process of the ends, where to connect and where to listen.
const ENDS: &str = "CULVERT_TEST_IDLE_ENDS";

/// This program again, for one of the tests that are none.
fn again(test: &str, variable: &str, value: &str) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(variable, value);
    Process::spawn(&mut command, Stream::Output)
}

/// Takes as many descriptors as may be had.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives as long as each call.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert!(
        raised == 0 && limit.rlim_cur as usize > 2 * MANY + 100,
        "too few descriptors: {}",
        limit.rlim_cur
    );
}

#[test]
fn eight_thousand_silent_connections_still_answer_and_end_in_order() {
    let nodes =
        Runtime::ALL.map(|runtime| again("idle::a_node_with_many_connections", RUNTIME, runtime.name()));
    for (runtime, node) in Runtime::ALL.iter().zip(&nodes) {
        println!(
            "{}: {}",
            runtime.name(),
            node.wait_for_line(4 * PATIENCE, |line| line.starts_with("all of"))
        );
    }
}

#[test]
#[ignore = "the node's process of `eight_thousand_silent_connections_still_answer_and_end_in_order`, not a test of its own"]
fn a_node_with_many_connections() {
    raise_descriptors();
    let name = std::env::var(RUNTIME).unwrap();
    let (client, server) = (Address::take(), Address::take());
    let mesh = Mesh::new().workload("client", client.ip);
    let setup = NodeSetup {
        runtime: Runtime::ALL.into_iter().find(|runtime| runtime.name() == name).unwrap(),
        ..NodeSetup::new(&mesh, "client", client.ip, &Certificates::issue(&["client"]))
    };
    let limits = Limits { connection_idle: SILENCE, ..Limits::default() };
    let node = setup.forward(client.port(7000), server.port(7000)).limits(limits).start();
    let begun = Instant::now();
    let addresses = format!("{} {}", client.port(7000), server.port(7000));
    let ends = again("idle::ends_of_many_connections", ENDS, &addresses);
    ends.wait_for_line(PATIENCE, |line| line == "connected");
    let connected = begun.elapsed();
    ends.wait_for_line(PATIENCE, |line| line == "answered");
    let answered = begun.elapsed();
    ends.wait_for_line(3 * PATIENCE, |line| line == "reset");
    let ended = begun.elapsed();
    // The last reset may be heard before it is reported.
    node.events.wait_for(MANY, |event| matches!(event, Event::Closed { .. }));

    let events = node.events.all();
    let opened = events.iter().filter_map(|event| match event {
        Event::Opened(connection) => Some(connection.source),
        _ => None,
    });
    let closed = events.iter().filter_map(|event| match event {
        Event::Closed { connection, reason: Reason::Failed(Fault::Timeout(Stage::Idle)), .. } => {
            Some(connection.source)
        }
        _ => None,
    });
    // They were made, and spoken on, one after the other.
    let (opened, closed): (Vec<SocketAddr>, Vec<SocketAddr>) = (opened.collect(), closed.collect());
    assert_eq!((opened.len(), closed.len()), (MANY, MANY));
    let differs = opened.iter().zip(&closed).position(|(opened, closed)| opened != closed);
    assert_eq!(differs, None, "not in the order in which they fell silent");
    println!(
        "\nall of {MANY}: connected after {connected:.1?}, answered after {answered:.1?}, ended after {ended:.1?}"
    );
}

/// The numbers of connections, as bytes that pass them.
fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

fn passes(mut from: &TcpStream, mut to: &TcpStream, number: usize) {
    from.write_all(&word(number)).unwrap();
    let mut heard = [0; 4];
    to.read_exact(&mut heard).unwrap();
    assert_eq!(heard, word(number));
}

#[test]
#[ignore = "the ends of `eight_thousand_silent_connections_still_answer_and_end_in_order`, not a test of its own"]
fn ends_of_many_connections() {
    raise_descriptors();
    let addresses = std::env::var(ENDS).unwrap();
    let (entry, target) = addresses.split_once(' ').unwrap();
    let listener = TcpListener::bind(target).unwrap();
    let pairs: Vec<(TcpStream, TcpStream)> = (0..MANY)
        .map(|number| {
            let client = TcpStream::connect(entry).unwrap();
            let (server, _) = listener.accept().unwrap();
            passes(&client, &server, number);
            (client, server)
        })
        .collect();
    println!("\nconnected");
    for (number, (client, server)) in pairs.iter().enumerate() {
        passes(client, server, number);
        passes(server, client, number);
    }
    println!("\nanswered");
    for (mut client, mut server) in pairs.iter().map(|(client, server)| (client, server)) {
        for end in [&mut client, &mut server] {
            assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
    println!("\nreset");
}
