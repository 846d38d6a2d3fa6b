use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use super::*;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn client(target: SocketAddr, conversation: Conversation) -> Client {
    Client { target, conversation, canary: Canary::new("test", 1), patience_ms: 20_000 }
}

/// Runs both sides over one loopback connection: (client's report, server's report).
fn talk(conversation: Conversation) -> (Report, Report) {
    let server = Server { listen: ANY, conversation: conversation.clone(), canary: Canary::new("test", 1) };
    let listener = server.listen().unwrap();
    let client = client(listener.local_addr().unwrap(), conversation);
    thread::scope(|scope| {
        let served = scope.spawn(|| server.serve(&listener).unwrap());
        let called = client.run(|| Ok(())).unwrap();
        (called, served.join().unwrap())
    })
}

#[test]
fn both_sides_of_each_conversation_agree() {
    let bytes = 300_001;
    for (conversation, up, down) in [
        (Conversation::Echo { bytes: 4096 }, 4096, 4096),
        (Conversation::Upload { bytes }, bytes, 64),
        (Conversation::Download { bytes }, 0, bytes),
        (Conversation::HalfClose { bytes }, bytes, bytes),
    ] {
        let (client, server) = talk(conversation.clone());
        assert_eq!((client.bytes_sent, client.bytes_received), (up, down), "{conversation:?}");
        assert_eq!((server.bytes_sent, server.bytes_received), (down, up), "{conversation:?}");
        assert!(client.matches && server.matches, "{conversation:?}");
        assert_eq!((client.ended, server.ended), (Ended::Eof, Ended::Eof), "{conversation:?}");
        assert!(client.latency_us.is_some());
    }
}

#[test]
fn wrong_and_missing_bytes_do_not_match() {
    for (sent, asked) in [(1000, 1001), (1001, 1000)] {
        let server = Server {
            listen: ANY,
            conversation: Conversation::Download { bytes: sent },
            canary: Canary::new("test", 1),
        };
        let listener = server.listen().unwrap();
        let client = client(listener.local_addr().unwrap(), Conversation::Download { bytes: asked });
        thread::scope(|scope| {
            scope.spawn(|| server.serve(&listener).unwrap());
            let report = client.run(|| Ok(())).unwrap();
            assert_eq!((report.ended, report.matches), (Ended::Eof, false));
        });
    }
}

#[test]
fn nobody_listening_is_refused() {
    let target = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let report = client(target, Conversation::Echo { bytes: 1 }).run(|| Ok(())).unwrap();
    assert_eq!((report.ended, report.bytes_received), (Ended::Refused, 0));
}

/// Holds a connection, then ends it from the server's side by `cut`.
fn held_until(cut: impl FnOnce(TcpStream) + Send) -> Report {
    let listener = TcpListener::bind(ANY).unwrap();
    let client = client(listener.local_addr().unwrap(), Conversation::Hold);
    let (held, is_held) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut first = vec![0; Canary::new("test", 1).as_bytes().len()];
            io::Read::read_exact(&mut stream, &mut first).unwrap();
            stream.write_all(&first).unwrap();
            is_held.recv().unwrap();
            cut(stream);
        });
        client.run(|| held.send(()).map_err(io::Error::other)).unwrap()
    })
}

#[test]
fn a_held_connection_tells_a_reset_from_an_end() {
    let reset = held_until(|stream| {
        // No lingering: closing sends RST.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(reset.ended, Ended::Reset);
    assert!(reset.bytes_received > 0 && reset.latency_us.is_some());
    let closed = held_until(|stream| {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Read what still comes, so that closing does not turn into a reset.
        let _ = io::copy(&mut &stream, &mut io::sink());
    });
    assert_eq!(closed.ended, Ended::Eof);
}

#[test]
fn programs_and_lines_survive_json() {
    let program = Program::Server(Server {
        listen: ANY,
        conversation: Conversation::HalfClose { bytes: 7 },
        canary: Canary::new("x", 3),
    });
    let text = serde_json::to_string(&program).unwrap();
    assert_eq!(serde_json::from_str::<Program>(&text).unwrap(), program);
    let report =
        Report { bytes_sent: 1, bytes_received: 2, ended: Ended::Eof, latency_us: None, matches: true };
    for line in [Line::Listening { listening: ANY }, Line::Held { held: true }, Line::Report(report)] {
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
