//! HBONE in one application on one thread, with no runtime and no node proxy: Culvert's core driven by `poll(2)`.
//!
//! ```text
//! culvert ca issue spiffe://cluster.local/ns/default/sa/echo --out CREDENTIALS       # likewise for …/sa/caller
//! embed_blocking serve CREDENTIALS PORT             an HBONE server whose application sends back what it gets; PORT may be 0
//! embed_blocking call CREDENTIALS PORT [APP-PORT]   standard input through a tunnel to it; what comes back, to standard output
//! ```
//!
//! The two are workloads of one mesh: `echo` at 127.0.0.1 and `caller` at 127.0.0.2. Each process serves one pod, whose
//! application lives in the process: a consumer. Whatever is needed of the system is in `driver.rs`; here are the facts.

mod driver;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use culvert_core::capture::Local;
use culvert_core::engine::Config;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{Delta, Snapshot, TunnelProtocol, Workload, WorkloadSpec};
use culvert_core::seed::Seed;

use driver::{Application, Driver};

const TRUST_DOMAIN: &str = "cluster.local";
/// The workloads, and where they are.
const ECHO: (&str, [u8; 4]) = ("echo", [127, 0, 0, 1]);
const CALLER: (&str, [u8; 4]) = ("caller", [127, 0, 0, 2]);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["serve", credentials, port] => serve(credentials.as_ref(), port),
        ["call", credentials, port] => call(credentials.as_ref(), port, "8080"),
        ["call", credentials, port, app_port] => call(credentials.as_ref(), port, app_port),
        _ => Err("usage: embed_blocking serve|call CREDENTIALS PORT [APP-PORT]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed_blocking: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is killed.
fn serve(credentials: &Path, port: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(SocketAddr::new(ip(ECHO), port.parse()?))?;
    let port = listener.local_addr()?.port();
    println!("{port}");
    std::io::stdout().flush()?;
    let mut driver = Driver::new(config(port)?, facts()?, credentials, pod(ECHO));
    driver.listen(listener)?;
    driver.run()
}

/// Sends what standard input has, and returns when the answer has ended.
fn call(credentials: &Path, port: &str, app_port: &str) -> Result<(), Box<dyn Error>> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let mut driver = Driver::new(config(port.parse()?)?, facts()?, credentials, pod(CALLER));
    let target = SocketAddr::new(ip(ECHO), app_port.parse()?);
    driver.dial(SocketAddr::new(ip(CALLER), 40_000), target, Application::caller(input));
    driver.run()
}

fn ip((_, ip): (&str, [u8; 4])) -> IpAddr {
    IpAddr::from(ip)
}

/// How the driver names a pod's workload; found in the facts by these three.
fn pod((name, _): (&str, [u8; 4])) -> WorkloadRef {
    WorkloadRef { namespace: "default".into(), name: name.into(), service_account: name.into() }
}

/// What engines differ in from the usual: the port of tunnels, and that dials come from the pod's own address, since here pods are
/// addresses of one host instead of network namespaces.
fn config(port: u16) -> Result<Config, Box<dyn Error>> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(Config {
        local: Local { hbone_port: port, ..Local::default() },
        bind_pod_address: true,
        ..Config::new(crypto, Seed::new(seed))
    })
}

/// Who is in the mesh. A control plane would say so, and `Input::Apply` would tell the engine of changes; policies belong here too.
fn facts() -> Result<Snapshot, Box<dyn Error>> {
    let mut facts = Delta::new();
    for (name, ip) in [ECHO, CALLER] {
        facts.upsert_workload(Workload::try_from(WorkloadSpec {
            uid: format!("example//Pod/default/{name}").into(),
            name: name.into(),
            namespace: "default".into(),
            service_account: name.into(),
            trust_domain: TRUST_DOMAIN.into(),
            workload_ips: vec![IpAddr::from(ip)],
            protocol: TunnelProtocol::Hbone,
            ..WorkloadSpec::default()
        })?);
    }
    Ok(Snapshot::new().apply(facts).0)
}
