//! HBONE in one application on one thread, with no runtime and no node proxy: Culvert's core driven by `poll(2)`.
//!
//! ```text
//! embed_blocking serve MESH.yaml CREDENTIALS_DIR                 the workload default/server sends back what it gets
//! embed_blocking call  MESH.yaml CREDENTIALS_DIR TARGET [TEXT]   default/client sends TEXT, or else what standard input has,
//!                                                                and prints what comes back
//! ```
//!
//! CREDENTIALS_DIR is as `culvert ca issue` writes it; MESH.yaml says who is in the mesh, as for `culvert node`. Each process serves
//! one pod, whose application lives in the process: a consumer. What is needed of the system is in `driver.rs`; here are the facts.

mod driver;

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use culvert_core::engine::Config;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_core::seed::Seed;

use driver::{Application, Driver};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["serve", mesh, credentials] => serve(mesh, credentials),
        ["call", mesh, credentials, target] => call(mesh, credentials, target, None),
        ["call", mesh, credentials, target, text] => call(mesh, credentials, target, Some(text)),
        _ => Err("usage: embed_blocking serve|call MESH.yaml CREDENTIALS_DIR [TARGET [TEXT]]".into()),
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
fn serve(mesh: &str, credentials: &str) -> Result<(), Box<dyn Error>> {
    let (mut driver, address) = driver(mesh, credentials, "server")?;
    let listener = TcpListener::bind((address, 15008))?;
    println!("listening on {}", listener.local_addr()?);
    driver.listen(listener)?;
    driver.run()
}

/// Returns when the answer has ended.
fn call(mesh: &str, credentials: &str, target: &str, text: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut input = Vec::new();
    match text {
        Some(text) => input.extend(text.as_bytes()),
        None => drop(std::io::stdin().read_to_end(&mut input)?),
    }
    let (mut driver, address) = driver(mesh, credentials, "client")?;
    // The port tells connections of the pod apart in reports.
    driver.dial(SocketAddr::new(address, 40_000), target.parse()?, Application::caller(input));
    driver.run()?;
    Ok(std::io::stdout().flush()?)
}

/// A driver of the pod with this workload, and the workload's address.
fn driver(mesh: &str, credentials: &str, name: &str) -> Result<(Driver, IpAddr), Box<dyn Error>> {
    // A control plane's changes of these would be `Input::Apply`; policies belong here too.
    let facts: MeshFile = serde_saphyr::from_str(&fs::read_to_string(mesh)?)?;
    let facts = Snapshot::from_file(facts)?;
    let known = facts.instances("default", name, name).next();
    let address =
        known.and_then(|known| known.ips.first().copied()).ok_or("the mesh does not know who this is")?;
    let workload =
        WorkloadRef { namespace: "default".into(), name: name.into(), service_account: name.into() };

    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // Dials come from the pod's own address: here pods are addresses of one host instead of network namespaces.
    let config = Config { bind_pod_address: true, ..Config::new(crypto, Seed::new(seed)) };
    Ok((Driver::new(config, facts, credentials.into(), workload), address))
}
