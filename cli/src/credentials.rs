//! What the command line does with credentials: writes them into a directory, and has a development CA sign them on demand.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
pub use culvert_linux::node::CredentialDirectory;
use culvert_linux::node::{Material, PemError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::atomic_file;
use crate::ca::{Ca, CaError, Issued};

/// Why there are no credentials for an identity.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The development CA failed.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// What the development CA made is no credential.
    #[error("the development CA made what cannot be used: {0}")]
    Made(#[from] PemError),
}

impl CredentialError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CredentialError::Write { .. } => Some("check the path and who owns it".into()),
            CredentialError::Ca(error) => error.hint(),
            CredentialError::Made(_) => None,
        }
    }
}

/// Writes `issued` for `id` where a node finds it; the certificate last.
///
/// # Errors
/// A file that cannot be written.
pub fn store(directory: &CredentialDirectory, id: &SpiffeId, issued: &Issued) -> Result<(), CredentialError> {
    let write = |path: PathBuf, content: &str, mode| {
        let parent = path.parent().map_or_else(PathBuf::new, PathBuf::from);
        atomic_file::private_dir(&parent)
            .and_then(|()| atomic_file::write(&path, content.as_bytes(), mode))
            .map_err(|source| CredentialError::Write { path, source })
    };
    write(directory.bundle_path(), &issued.bundle_pem, atomic_file::PUBLIC)?;
    write(directory.key_path(id), &issued.key_pem, atomic_file::PRIVATE)?;
    write(directory.chain_path(id), &issued.chain_pem, atomic_file::PUBLIC)
}

/// Credentials signed on demand by a development CA on this machine.
#[derive(Debug)]
pub struct DevelopmentCa {
    ca: Ca,
    validity: Duration,
}

impl DevelopmentCa {
    /// Credentials from `ca`, each valid for `validity`.
    pub fn new(ca: Ca, validity: Duration) -> DevelopmentCa {
        DevelopmentCa { ca, validity }
    }

    /// Makes new credentials for `id`.
    ///
    /// # Errors
    /// The CA cannot sign.
    pub fn fetch(&self, id: &SpiffeId) -> Result<Material, CredentialError> {
        let issued = self.ca.issue(id, SystemTime::now(), self.validity)?;
        let [chain, key, bundle] = [&issued.chain_pem, &issued.key_pem, &issued.bundle_pem];
        Ok(Material::from_pem(chain.as_bytes(), key.as_bytes(), bundle.as_bytes())?)
    }
}

/// Every certificate in a PEM text, in DER; other kinds of PEM sections are passed over.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).map(|item| item.map(|der| der.as_ref().to_vec())).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in PEM"),
        Ok(all) => Ok(all),
        Err(_) => Err("PEM that cannot be decoded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use culvert_linux::node::DirectoryError;

    use crate::ca::DEFAULT_LEAF_VALIDITY;

    fn id(service_account: &str) -> SpiffeId {
        SpiffeId::new("cluster.local", "shop", service_account).unwrap()
    }

    fn issued(ca: &Ca, id: &SpiffeId) -> Issued {
        ca.issue(id, SystemTime::now(), DEFAULT_LEAF_VALIDITY).unwrap()
    }

    #[test]
    fn what_is_stored_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(&dir.path().join("ca"), "cluster.local").unwrap();
        let out = CredentialDirectory::new(dir.path().join("out"));
        for name in ["frontend", "orders"] {
            store(&out, &id(name), &issued(&ca, &id(name))).unwrap();
        }
        let frontend = out.read(&id("frontend")).unwrap();
        let orders = out.read(&id("orders")).unwrap();
        assert_eq!(frontend.roots, orders.roots);
        assert_eq!(frontend.roots[0].as_ref(), certificates(ca.bundle_pem().as_bytes()).unwrap()[0]);
        assert_ne!(frontend.key.secret_der(), orders.key.secret_der());
        assert!(format!("{frontend:?}").contains("elided"), "a key must not be printable: {frontend:?}");
        let key = out.key_path(&id("orders"));
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(&dir.path().join("ca"), "cluster.local").unwrap();
        let out = CredentialDirectory::new(dir.path().join("out"));
        let absent = out.read(&id("frontend")).unwrap_err();
        assert!(absent.to_string().contains("shop/frontend.key"), "{absent}");
        assert!(absent.hint().contains("--workload shop/NAME/frontend"));

        store(&out, &id("frontend"), &issued(&ca, &id("frontend"))).unwrap();
        let key = out.key_path(&id("frontend"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = out.read(&id("frontend")).unwrap_err();
        assert!(matches!(exposed, DirectoryError::Exposed { mode: 0o644, .. }));
        assert!(exposed.hint().starts_with("chmod 600 "));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

        let wrong = || match out.read(&id("frontend")).unwrap_err() {
            DirectoryError::Content { fault, .. } => fault.part,
            other => panic!("{other}"),
        };
        fs::write(&key, "nothing").unwrap();
        assert_eq!(wrong(), "the key");
        fs::write(out.chain_path(&id("frontend")), "nothing").unwrap();
        assert_eq!(wrong(), "the chain");
    }

    #[test]
    fn the_development_ca_makes_a_new_key_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(dir.path(), "cluster.local").unwrap();
        let source = DevelopmentCa::new(ca, DEFAULT_LEAF_VALIDITY);
        let (one, two) = (source.fetch(&id("a")).unwrap(), source.fetch(&id("a")).unwrap());
        assert_ne!(one.key.secret_der(), two.key.secret_der());
        assert_eq!(one.roots, two.roots);
    }
}
