//! The demo's runner, with real programs as processes, in a world whose mesh is a relay of a hundred lines.
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use culvert::demo::canary::Canary;
use culvert::demo::mesh::{FREEZE_POLICY, STRICT_POLICY};
use culvert::demo::programs::Conversation;
use culvert::demo::report::{Format, Printer};
use culvert::demo::scenario::{self, Action, Scenario};
use culvert::demo::{
    DemoError, FlowPath, FlowRecord, FlowResult, Interrupt, Place, Runner, Side, Summary, Verdict, World,
    WorldError,
};

/// Ten times what the slowest flow needs, and what a test waits for that must time out.
const PATIENCE: Duration = Duration::from_secs(6);

/// What a world does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Tunnels carry plaintext.
    Leaks,
    /// Policy changes do not touch live connections.
    NeverCuts,
    /// Policy does not look at identities.
    AllowsAnybody,
}

struct Fake {
    /// The third byte of the addresses, so that tests do not meet.
    net: u8,
    flaw: Flaw,
    frozen: Arc<AtomicBool>,
    wire: Arc<Mutex<Vec<u8>>>,
    records: (Sender<FlowRecord>, Receiver<FlowRecord>),
}

impl Fake {
    fn new(net: u8, flaw: Flaw) -> Fake {
        Fake { net, flaw, frozen: Arc::default(), wire: Arc::default(), records: channel() }
    }

    fn place(&self, ip: IpAddr) -> Place {
        Place::ALL.into_iter().find(|place| self.address(*place) == ip).unwrap()
    }

    fn judge(&self, from: Place, to: Place) -> (FlowPath, Verdict, Option<String>) {
        let denied = |policy: Option<&str>| (FlowPath::Refused, Verdict::Deny, policy.map(str::to_owned));
        let path = match (from.node(), to.node()) {
            (Some(one), Some(two)) if one == two => FlowPath::Local,
            (Some(_), Some(_)) => FlowPath::Hbone,
            _ => FlowPath::Plaintext,
        };
        match (from, to) {
            (Place::Cart, Place::Orders) if self.flaw != Flaw::AllowsAnybody => denied(None),
            (Place::Outsider, Place::Payments) => denied(Some(STRICT_POLICY)),
            _ => (path, Verdict::Allow, None),
        }
    }
}

impl World for Fake {
    fn address(&self, place: Place) -> IpAddr {
        IpAddr::from([127, 78, self.net, place as u8 + 1])
    }

    fn dial(&mut self, from: Place, target: SocketAddr) -> Result<SocketAddr, WorldError> {
        let to = self.place(target.ip());
        let (path, verdict, policy) = self.judge(from, to);
        let listener = TcpListener::bind((self.address(from), 0)).unwrap();
        let entry = listener.local_addr().unwrap();
        let identity = |place: Place| place.identity().unwrap().map(|id| id.to_string());
        let record = FlowRecord {
            side: Side::Outbound,
            target,
            source_identity: identity(from),
            destination_identity: identity(to),
            path,
            verdict,
            policy,
        };
        let (frozen, wire, flaw) = (self.frozen.clone(), self.wire.clone(), self.flaw);
        let records = self.records.0.clone();
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let mut record = record;
            if verdict == Verdict::Deny {
                abort(&client);
            } else {
                let seen = path == FlowPath::Plaintext || flaw == Flaw::Leaks;
                let cut = (to == Place::Orders && flaw != Flaw::NeverCuts).then_some(frozen);
                if relay(&client, target, seen.then_some(wire), cut.as_deref()) {
                    record.verdict = Verdict::Deny;
                    record.policy = Some(FREEZE_POLICY.into());
                }
            }
            drop(client);
            let _ = records.send(record.clone());
            let _ = records.send(FlowRecord { side: Side::Inbound, ..record });
        });
        Ok(entry)
    }

    fn apply_mesh(&mut self, yaml: &str) -> Result<(), WorldError> {
        self.frozen.store(yaml.contains("orders-freeze"), Ordering::Relaxed);
        Ok(())
    }

    fn spawn(&mut self, place: Place, mut command: Command) -> Result<Child, WorldError> {
        command.spawn().map_err(|error| WorldError::io(format!("cannot start in {}", place.label()), error))
    }

    fn next_record(&mut self, time: Duration) -> Result<Option<FlowRecord>, WorldError> {
        Ok(self.records.1.recv_timeout(time).ok())
    }

    fn seen_on_wire(&mut self, canary: &Canary) -> Result<u64, WorldError> {
        Ok(canary.count(&self.wire.lock().unwrap()))
    }
}

/// Makes closing the socket send RST.
fn abort(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Relays until both halves are closed; true if that was ended by `cut`.
fn relay(
    client: &TcpStream,
    target: SocketAddr,
    wire: Option<Arc<Mutex<Vec<u8>>>>,
    cut: Option<&AtomicBool>,
) -> bool {
    let server = TcpStream::connect(target).unwrap();
    thread::scope(|scope| {
        let up = scope.spawn(|| copy(client, &server, wire.as_deref(), cut));
        let down = copy(&server, client, wire.as_deref(), cut);
        up.join().unwrap() || down
    })
}

fn copy(from: &TcpStream, to: &TcpStream, wire: Option<&Mutex<Vec<u8>>>, cut: Option<&AtomicBool>) -> bool {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut space = vec![0; 64 * 1024];
    loop {
        if cut.is_some_and(|cut| cut.load(Ordering::Relaxed)) {
            abort(from);
            abort(to);
            return true;
        }
        match { from }.read(&mut space) {
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return false;
            }
            Ok(count) => {
                if let Some(wire) = wire {
                    wire.lock().unwrap().extend_from_slice(&space[..count]);
                }
                if { to }.write_all(&space[..count]).is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}

/// All scenarios, the large ones made small.
fn scenarios() -> Vec<Scenario> {
    let small = |mut scenario: Scenario| {
        if let Action::Talk(Conversation::Upload { bytes } | Conversation::Download { bytes }) =
            &mut scenario.action
        {
            *bytes = 1 << 20;
        }
        scenario
    };
    scenario::all().into_iter().map(small).collect()
}

fn named(names: &[&str]) -> Vec<Scenario> {
    scenarios().into_iter().filter(|scenario| names.contains(&scenario.name)).collect()
}

fn run(net: u8, flaw: Flaw, scenarios: &[Scenario]) -> (Summary, Vec<FlowResult>) {
    let runner =
        Runner::new(env!("CARGO_BIN_EXE_culvert"), Interrupt::new(), u64::from(net)).with_patience(PATIENCE);
    let mut out = Vec::new();
    let summary =
        runner.run(&mut Fake::new(net, flaw), scenarios, &mut Printer::new(&mut out, Format::Json)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert!(lines.pop().unwrap().starts_with(r#"{"summary":"#));
    (summary, lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_mesh_that_does_everything_right_passes() {
    let (summary, flows) = run(1, Flaw::None, &scenarios());
    for flow in &flows {
        assert!(flow.ok, "{flow:?}");
    }
    assert!(summary.success(), "{summary:?}");
    assert!(summary.flows >= 10);
}

#[test]
fn a_leak_is_found() {
    let (summary, _) = run(2, Flaw::Leaks, &named(&["cross-node", "passthrough"]));
    assert_eq!(summary.ok, 2);
    assert!(summary.canary_leaks > 0 && !summary.success(), "{summary:?}");
}

#[test]
fn an_identity_let_through_is_found() {
    let (summary, flows) = run(3, Flaw::AllowsAnybody, &named(&["denied-identity"]));
    assert!(!summary.success());
    // The connection has ended well, so the server may or may not have said so yet; either way it is told.
    assert!(flows[0].differs.contains("application") || flows[0].differs.contains("bytes"), "{flows:?}");
}

#[test]
fn a_connection_that_is_not_cut_is_found() {
    let (_, flows) = run(4, Flaw::NeverCuts, &named(&["policy-cut"]));
    assert_eq!(flows[0].differs, "the client learnt of the cut by Timeout, not by a reset");
}

#[test]
fn an_interrupt_ends_the_demo() {
    let interrupt = Interrupt::new();
    interrupt.set();
    let runner = Runner::new(env!("CARGO_BIN_EXE_culvert"), interrupt, 5);
    let mut printer = Printer::new(Vec::new(), Format::Table);
    let outcome = runner.run(&mut Fake::new(5, Flaw::None), &scenarios(), &mut printer);
    assert!(matches!(outcome, Err(DemoError::Interrupted)));
}
