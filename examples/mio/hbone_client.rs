//! HBONE on mio: the workload `default/client` sends a text and prints what comes back.
//! Run it as `mio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT`.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::sync::Arc;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_linux::consumer::backlog;
use culvert_linux::node::{CredentialDirectory, NodeConfig, PodConfig};
use culvert_mio::Connection;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mesh, credentials, target, text] = arguments.as_slice() else {
        return Err("usage: mio-hbone-client MESH.yaml CREDENTIALS_DIR TARGET TEXT".into());
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
