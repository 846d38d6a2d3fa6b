//! HBONE on tokio: the workload `default/client` sends a text and prints what comes back.
//! Run it as `tokio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT`.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{CredentialDirectory, NodeConfig, PodConfig};
use culvert_tokio::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mesh, credentials, target, text] = arguments.as_slice() else {
        return Err("usage: tokio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT".into());
    };
    let facts: MeshFile = serde_saphyr::from_str(&fs::read_to_string(mesh)?)?;
    let snapshot = Arc::new(Snapshot::from_file(facts)?);
    // Nobody dials this workload: what comes is refused.
    let (backlog, _) = backlog(0);
    let workload = WorkloadRef::new("default", "client", "client");
    let pod = PodConfig::in_process(&snapshot, workload, backlog).ok_or("the mesh has no such workload")?;
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = NodeConfig::new(vec![pod], crypto, CredentialDirectory::new(credentials));
    config.on_credential_fault = Arc::new(|id, why| eprintln!("{id}: {why}"));
    let node = culvert_tokio::start(config, snapshot)?;
    let mut connection = Connection(node.connect(0, target.parse()?));
    connection.write_all(text.as_bytes()).await?;
    connection.shutdown().await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}
