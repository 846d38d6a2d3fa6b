//! HBONE on tokio: the workload `default/client` sends a text and prints what comes back.
//! Run it as `tokio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{Material, NodeConfig, PodConfig};
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
    // Which workload this is, and where its peers find it.
    let name = "client";
    let workload =
        WorkloadRef { namespace: "default".into(), name: name.into(), service_account: name.into() };
    let known = snapshot.instances("default", name, name).first();
    let address = known
        .and_then(|known| known.ips.first().copied())
        .ok_or("the mesh has no address of this workload")?;
    let credentials = PathBuf::from(credentials);
    let source = move |id: &SpiffeId| {
        let file = |name: &str| fs::read(credentials.join(name));
        let own = format!("{}/{}", id.namespace(), id.service_account());
        let (chain, key) = (file(&format!("{own}.crt"))?, file(&format!("{own}.key"))?);
        Ok::<_, Box<dyn Error>>(Material::from_pem(&chain, &key, &file("bundle.pem")?)?)
    };
    // Nobody dials this workload: what comes is refused.
    let (backlog, _) = backlog(0);
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = NodeConfig::new(vec![PodConfig::in_process(workload, address, backlog)], crypto, source);
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
