//! HBONE on smol: the workload `default/server` sends back what comes through its tunnels.
//! Run it as `smol-hbone-echo-server MESH.yaml CREDENTIALS_DIR`.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{CredentialDirectory, NodeConfig, PodConfig};
use culvert_smol::Connection;
use smol::LocalExecutor;
use smol::io::{AsyncWriteExt, copy, split};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mesh, credentials] = arguments.as_slice() else {
        return Err("usage: smol-hbone-echo-server MESH.yaml CREDENTIALS_DIR".into());
    };
    let facts: MeshFile = serde_saphyr::from_str(&fs::read_to_string(mesh)?)?;
    let snapshot = Arc::new(Snapshot::from_file(facts)?);
    let (backlog, mut incoming) = backlog(128);
    let workload = WorkloadRef::new("default", "server", "server");
    let pod = PodConfig::in_process(&snapshot, workload, backlog).ok_or("the mesh has no such workload")?;
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = NodeConfig::new(vec![pod], crypto, CredentialDirectory::new(credentials));
    config.on_credential_fault = Arc::new(|id, why| eprintln!("{id}: {why}"));
    let node = culvert_smol::start(config, snapshot)?;
    println!("listening on {}", node.hbone_addresses()[0]);
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        while let Some(connection) = incoming.accept().await {
            // The peer's certificate was verified before a byte of it came here.
            println!("{:?} dials {}", connection.peer(), connection.target());
            let echo = async {
                let (mut heard, mut said) = split(Connection(connection));
                copy(&mut heard, &mut said).await?;
                said.close().await
            };
            executor.spawn(echo).detach();
        }
    }));
    Ok(())
}
