//! HBONE on mio: the workload `default/server` sends back what comes through its tunnels.
//! Run it as `mio-hbone-echo-server MESH.yaml CREDENTIALS_DIR`.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::Poll::{Pending, Ready};

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{CredentialDirectory, NodeConfig, PodConfig};
use culvert_mio::Connection;

/// Sends back what comes, until FIN or until that would block.
fn echo(connection: &mut Connection, held: &mut Vec<u8>) -> io::Result<()> {
    let mut space = [0; 4096];
    loop {
        while !held.is_empty() {
            held.drain(..connection.write(held)?);
        }
        let len = connection.read(&mut space)?;
        held.extend(&space[..len]);
        if len == 0 {
            connection.finish();
            return Ok(());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mesh, credentials] = arguments.as_slice() else {
        return Err("usage: mio-hbone-echo-server MESH.yaml CREDENTIALS_DIR".into());
    };
    let facts: MeshFile = serde_saphyr::from_str(&fs::read_to_string(mesh)?)?;
    let snapshot = Arc::new(Snapshot::from_file(facts)?);
    let (backlog, mut incoming) = backlog(128);
    let workload = WorkloadRef::new("default", "server", "server");
    let pod = PodConfig::in_process(&snapshot, workload, backlog).ok_or("the mesh has no such workload")?;
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = NodeConfig::new(vec![pod], crypto, CredentialDirectory::new(credentials));
    config.on_credential_fault = Arc::new(|id, why| eprintln!("{id}: {why}"));
    let node = culvert_mio::start(config, snapshot)?;
    println!("listening on {}", node.hbone_addresses()[0]);
    let (mut poll, mut events) = (mio::Poll::new()?, mio::Events::with_capacity(1));
    let waker = culvert_mio::waker(mio::Waker::new(poll.registry(), mio::Token(0))?);
    let mut connections = Vec::new();
    loop {
        match incoming.poll_accept(&waker) {
            Ready(None) => return Ok(()),
            Ready(Some(connection)) => {
                println!("{:?} dials {}", connection.peer(), connection.target());
                connections.push((Connection::new(connection, &waker), Vec::new()));
            }
            Pending => {
                let blocked = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
                connections.retain_mut(|(connection, held)| echo(connection, held).is_err_and(blocked));
                poll.poll(&mut events, None)?;
            }
        }
    }
}
