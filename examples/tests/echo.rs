//! Every server against every client, as processes with credentials in files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

const SERVERS: [(&str, &[&str]); 4] = [
    ("tokio", &[env!("CARGO_BIN_EXE_tokio-hbone-echo-server")]),
    ("smol", &[env!("CARGO_BIN_EXE_smol-hbone-echo-server")]),
    ("mio", &[env!("CARGO_BIN_EXE_mio-hbone-echo-server")]),
    ("poll", &[env!("CARGO_BIN_EXE_embed_blocking"), "serve"]),
];
const CLIENTS: [(&str, &[&str]); 4] = [
    ("tokio", &[env!("CARGO_BIN_EXE_tokio-hbone-client")]),
    ("smol", &[env!("CARGO_BIN_EXE_smol-hbone-client")]),
    ("mio", &[env!("CARGO_BIN_EXE_mio-hbone-client")]),
    ("poll", &[env!("CARGO_BIN_EXE_embed_blocking"), "call"]),
];

/// A program with the words that it begins with.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// A directory as `culvert ca issue` writes it, for these service accounts of namespace `default`.
fn credentials(dir: &Path, accounts: &[&str]) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    fs::create_dir_all(dir.join("default")).unwrap();
    fs::write(dir.join("bundle.pem"), root_certificate.pem()).unwrap();
    for account in accounts {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::default();
        let id = format!("spiffe://cluster.local/ns/default/sa/{account}");
        leaf.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        fs::write(dir.join(format!("default/{account}.crt")), leaf.pem()).unwrap();
        let key_file = dir.join(format!("default/{account}.key"));
        fs::write(&key_file, key.serialize_pem()).unwrap();
        fs::set_permissions(key_file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A mesh of a client and a server on loopback addresses of their own.
fn mesh(net: u8) -> String {
    let pid = std::process::id().to_be_bytes();
    let workload = |name: &str, host: u8| {
        format!(
            "- uid: test//Pod/default/{name}\n  name: {name}\n  namespace: default\n  serviceAccount: {name}\n  \
             trustDomain: cluster.local\n  workloadIps: [\"127.{}.{}.{}\"]\n  protocol: HBONE\n  node: {name}\n",
            128 + (pid[2] & 63),
            pid[3],
            net * 2 + host,
        )
    };
    format!("policies: []\nworkloads:\n{}{}", workload("client", 0), workload("server", 1))
}

fn address_of(mesh: &str, number: usize) -> &str {
    mesh.split('"').nth(2 * number + 1).unwrap()
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn every_client_hears_its_own_words_from_every_server() {
    let dir = tempfile::tempdir().unwrap();
    credentials(dir.path(), &["client", "server"]);
    for (number, (server_runtime, server)) in SERVERS.iter().enumerate() {
        let mesh = mesh(1 + number as u8);
        let file = dir.path().join(format!("{server_runtime}.yaml"));
        fs::write(&file, &mesh).unwrap();
        let mut child = command(server).arg(&file).arg(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let _server = Server(child);
        assert!(lines.next().unwrap().unwrap().starts_with("listening on "));
        let target = format!("{}:7", address_of(&mesh, 1));
        for (client_runtime, client) in CLIENTS {
            let text = format!("{client_runtime} to {server_runtime}");
            let answer = command(client).arg(&file).arg(dir.path()).args([&target, &text]).output().unwrap();
            let said = String::from_utf8_lossy(&answer.stdout);
            assert!(answer.status.success(), "{text}: {}", String::from_utf8_lossy(&answer.stderr));
            assert_eq!(said.trim(), text);
            let line = lines.next().unwrap().unwrap();
            assert_eq!(line, format!("Some(spiffe://cluster.local/ns/default/sa/client) dials {target}"));
        }
    }
}
