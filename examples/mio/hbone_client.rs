//! HBONE on mio: the workload `default/client` sends a text and prints what comes back.
//! Run it as `mio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT`.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{Material, NodeConfig, PodConfig};
use culvert_mio::Connection;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mesh, credentials, target, text] = arguments.as_slice() else {
        return Err("usage: mio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT".into());
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
    let node = culvert_mio::start(config, snapshot)?;
    let (mut poll, mut events) = (mio::Poll::new()?, mio::Events::with_capacity(1));
    let waker = culvert_mio::waker(mio::Waker::new(poll.registry(), mio::Token(0))?);
    let mut connection = Connection::new(node.connect(0, target.parse()?), &waker);
    let (mut rest, mut answer, mut space) = (text.as_bytes(), Vec::new(), [0; 4096]);
    loop {
        let moved = if rest.is_empty() { connection.read(&mut space) } else { connection.write(rest) };
        match moved {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => poll.poll(&mut events, None)?,
            Ok(len) if !rest.is_empty() => {
                rest = &rest[len..];
                if rest.is_empty() {
                    connection.finish();
                }
            }
            Ok(0) => break,
            Ok(len) => answer.extend(&space[..len]),
            Err(error) => return Err(error.into()),
        }
    }
    println!("{}", String::from_utf8(answer)?);
    Ok(())
}
