//! Where a node's keys and certificates come from: a directory of files, or the development CA.
//!
//! A credentials directory, as `culvert ca issue` writes it and `culvert node --credentials` reads it:
//!
//! ```text
//! DIR/bundle.pem                          the roots to trust, PEM
//! DIR/NAMESPACE/SERVICE_ACCOUNT.crt       the chain, leaf first, PEM
//! DIR/NAMESPACE/SERVICE_ACCOUNT.key       its private key, PKCS#8 PEM, mode 0600
//! ```
//!
//! Files are read at each fetch, so that a renewed certificate is found.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::atomic_file;
use crate::ca::{Ca, CaError, Issued};

/// The roots to trust, in a credentials directory.
const BUNDLE: &str = "bundle.pem";

/// A chain, its key and the roots to trust, in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The certificate chain, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's private key, PKCS#8.
    pub key: Vec<u8>,
    /// The trust bundle.
    pub bundle: Vec<Vec<u8>>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("chain", &self.chain.len())
            .field("bundle", &self.bundle.len())
            .finish_non_exhaustive()
    }
}

/// Why there are no credentials for an identity.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are no files for this identity.
    #[error("there are no credentials for {id}: {} does not exist", path.display())]
    Absent {
        /// Whose credentials were asked for.
        id: SpiffeId,
        /// The file that is missing.
        path: PathBuf,
    },
    /// A private key can be read by others than its owner.
    #[error("{} can be read by others than its owner (mode {mode:04o})", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{} holds {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The development CA failed.
    #[error(transparent)]
    Ca(#[from] CaError),
}

impl CredentialError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CredentialError::Absent { id, .. } => Some(format!(
                "issue them with `culvert ca issue --workload {}/NAME/{} …`",
                id.namespace(),
                id.service_account()
            )),
            CredentialError::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            CredentialError::Content { .. } => Some("issue the credentials again".into()),
            CredentialError::Read { .. } | CredentialError::Write { .. } => {
                Some("check the path and who owns it".into())
            }
            CredentialError::Ca(error) => error.hint(),
        }
    }
}

/// Credentials in files, one pair for each identity.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The credentials in `path`, which is not looked at yet.
    pub fn new(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into() }
    }

    /// Where the chain of `id` lies.
    pub fn chain_path(&self, id: &SpiffeId) -> PathBuf {
        self.path.join(id.namespace()).join(format!("{}.crt", id.service_account()))
    }

    /// Where the private key of `id` lies.
    pub fn key_path(&self, id: &SpiffeId) -> PathBuf {
        self.path.join(id.namespace()).join(format!("{}.key", id.service_account()))
    }

    /// Where the trust bundle lies.
    pub fn bundle_path(&self) -> PathBuf {
        self.path.join(BUNDLE)
    }

    /// Reads what is there for `id`.
    ///
    /// The key must be the leaf's and readable only by its owner. Whether the leaf is for `id`, valid and of the bundle
    /// is for the verifier to say.
    pub fn fetch(&self, id: &SpiffeId) -> Result<Material, CredentialError> {
        let key_path = self.key_path(id);
        let key_pem = read(&key_path, id)?;
        // After the read: an exposed file is refused however short the exposure was.
        refuse_exposed(&key_path)?;
        let chain_path = self.chain_path(id);
        let chain = certificates_at(&chain_path, &read(&chain_path, id)?)?;
        let bundle_path = self.bundle_path();
        let bundle = certificates_at(&bundle_path, &read(&bundle_path, id)?)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&key_pem).map_err(|_| CredentialError::Content {
            path: key_path.clone(),
            what: "no private key in PKCS#8 PEM",
        })?;
        let material = Material { chain, key: key.secret_pkcs8_der().to_vec(), bundle };
        if !keys_match(&material) {
            return Err(CredentialError::Content {
                path: key_path,
                what: "a key that is not the certificate's",
            });
        }
        Ok(material)
    }

    /// Writes `issued` for `id` where [`Directory::fetch`] finds it; the certificate last.
    pub fn store(&self, id: &SpiffeId, issued: &Issued) -> Result<(), CredentialError> {
        let write = |path: PathBuf, content: &str, mode| {
            let parent = path.parent().unwrap_or(&self.path);
            atomic_file::private_dir(parent)
                .and_then(|()| atomic_file::write(&path, content.as_bytes(), mode))
                .map_err(|source| CredentialError::Write { path, source })
        };
        write(self.bundle_path(), &issued.bundle_pem, atomic_file::PUBLIC)?;
        write(self.key_path(id), &issued.key_pem, atomic_file::PRIVATE)?;
        write(self.chain_path(id), &issued.chain_pem, atomic_file::PUBLIC)
    }
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
    pub fn fetch(&self, id: &SpiffeId) -> Result<Material, CredentialError> {
        let issued = self.ca.issue(id, SystemTime::now(), self.validity)?;
        let made = |what| CredentialError::Content { path: PathBuf::from("the development CA"), what };
        let chain = certificates(issued.chain_pem.as_bytes()).map_err(made)?;
        let bundle = certificates(issued.bundle_pem.as_bytes()).map_err(made)?;
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(issued.key_pem.as_bytes()).map_err(|_| made("no key"))?;
        Ok(Material { chain, key: key.secret_pkcs8_der().to_vec(), bundle })
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

fn certificates_at(path: &Path, pem: &[u8]) -> Result<Vec<Vec<u8>>, CredentialError> {
    certificates(pem).map_err(|what| CredentialError::Content { path: path.into(), what })
}

fn read(path: &Path, id: &SpiffeId) -> Result<Vec<u8>, CredentialError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CredentialError::Absent { id: id.clone(), path: path.into() },
        _ => CredentialError::Read { path: path.into(), source },
    })
}

fn refuse_exposed(path: &Path) -> Result<(), CredentialError> {
    let metadata =
        fs::metadata(path).map_err(|source| CredentialError::Read { path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(CredentialError::Exposed { path: path.into(), mode }) }
}

/// Whether the key is the leaf's: between the two renames of a renewal it is not.
fn keys_match(material: &Material) -> bool {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(material.key.as_slice()));
    let chain = material.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .is_ok_and(|key| CertifiedKey::new(chain, key).keys_match().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::DEFAULT_LEAF_VALIDITY;

    fn id(service_account: &str) -> SpiffeId {
        SpiffeId::new("cluster.local", "shop", service_account).unwrap()
    }

    fn issued(ca: &Ca, id: &SpiffeId) -> Issued {
        ca.issue(id, SystemTime::now(), DEFAULT_LEAF_VALIDITY).unwrap()
    }

    #[test]
    fn what_is_stored_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(&dir.path().join("ca"), "cluster.local").unwrap();
        let out = Directory::new(dir.path().join("out"));
        for name in ["frontend", "orders"] {
            out.store(&id(name), &issued(&ca, &id(name))).unwrap();
        }
        let frontend = out.fetch(&id("frontend")).unwrap();
        let orders = out.fetch(&id("orders")).unwrap();
        assert_eq!(frontend.bundle, orders.bundle);
        assert_eq!(frontend.bundle, certificates(ca.bundle_pem().as_bytes()).unwrap());
        assert_ne!(frontend.key, orders.key);
        assert!(!format!("{frontend:?}").contains("key"), "a key must not be printable");
        let key = out.key_path(&id("orders"));
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(&dir.path().join("ca"), "cluster.local").unwrap();
        let out = Directory::new(dir.path().join("out"));
        let absent = out.fetch(&id("frontend")).unwrap_err();
        assert!(absent.to_string().contains("shop/frontend.key"), "{absent}");
        assert!(absent.hint().unwrap().contains("--workload shop/NAME/frontend"));

        out.store(&id("frontend"), &issued(&ca, &id("frontend"))).unwrap();
        let key = out.key_path(&id("frontend"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = out.fetch(&id("frontend")).unwrap_err();
        assert!(matches!(exposed, CredentialError::Exposed { mode: 0o644, .. }));
        assert!(exposed.hint().unwrap().starts_with("chmod 600 "));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

        fs::write(out.chain_path(&id("frontend")), &issued(&ca, &id("frontend")).chain_pem).unwrap();
        let foreign = out.fetch(&id("frontend")).unwrap_err();
        assert!(foreign.to_string().ends_with("a key that is not the certificate's"), "{foreign}");

        fs::write(out.chain_path(&id("frontend")), "nothing").unwrap();
        assert!(matches!(out.fetch(&id("frontend")), Err(CredentialError::Content { .. })));
        fs::write(&key, "nothing").unwrap();
        fs::remove_file(out.bundle_path()).unwrap();
        let Err(CredentialError::Content { path, .. }) = out.fetch(&id("frontend")) else {
            panic!("fetched")
        };
        assert_eq!(path, out.chain_path(&id("frontend")));
    }

    #[test]
    fn the_development_ca_makes_a_new_key_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_init(dir.path(), "cluster.local").unwrap();
        let source = DevelopmentCa::new(ca, DEFAULT_LEAF_VALIDITY);
        let (one, two) = (source.fetch(&id("a")).unwrap(), source.fetch(&id("a")).unwrap());
        assert_ne!(one.key, two.key);
        assert_eq!(one.bundle, two.bundle);
        assert!(keys_match(&one) && keys_match(&two));
    }
}
