//! The binary from outside: exit statuses, messages and what `culvert ca` leaves on disk.
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use culvert::credentials::CredentialDirectory;
use culvert_core::identity::SpiffeId;

fn culvert(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_culvert")).current_dir(dir).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn two_hosts_get_credentials_of_one_ca() {
    let dir = tempfile::tempdir().unwrap();
    assert!(culvert(dir.path(), &["ca", "init", "--dir", "ca"]).status.success());
    let issue = |name: &str, out: &str| {
        let output = culvert(dir.path(), &["ca", "issue", "--dir", "ca", "--workload", name, "--out", out]);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    issue("shop/frontend-1/frontend", "host1");
    issue("shop/orders-1/orders", "host2");

    let fetched = |host: &str, service_account: &str| {
        let id = SpiffeId::new("cluster.local", "shop", service_account).unwrap();
        CredentialDirectory::new(dir.path().join(host)).read(&id)
    };
    let (one, two) = (fetched("host1", "frontend").unwrap(), fetched("host2", "orders").unwrap());
    assert_eq!(one.roots, two.roots);
    assert!(fetched("host2", "frontend").is_err());
    let ca_key = std::fs::metadata(dir.path().join("ca/ca.key")).unwrap();
    assert_eq!(ca_key.permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("host1/ca.key").exists());
}

#[test]
fn failures_have_a_message_a_hint_and_a_status() {
    let dir = tempfile::tempdir().unwrap();
    let absent = culvert(dir.path(), &["ca", "issue", "--dir", "none", "--workload", "a/b/c", "--out", "o"]);
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        stderr(&absent),
        "error: there is no CA in none\nhint: make one with `culvert ca init --dir none`\n"
    );
    let unknown = culvert(dir.path(), &["ca", "init", "--dri", "x"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).starts_with("error: unexpected argument '--dri'"), "{}", stderr(&unknown));
    culvert(dir.path(), &["ca", "init", "--dir", "ca"]);
    let other = culvert(dir.path(), &["ca", "init", "--dir", "ca", "--trust-domain", "other.example"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("cluster.local, not other.example"), "{}", stderr(&other));
}

#[test]
fn version_and_help_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let version = culvert(dir.path(), &["version"]);
    assert!(version.status.success() && version.stderr.is_empty());
    assert!(String::from_utf8(version.stdout).unwrap().contains("AWS-LC"));
    assert!(culvert(dir.path(), &["node", "--help"]).status.success());
}
