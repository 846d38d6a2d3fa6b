//! The PKI of a test: that of the foreign peers, or one made here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use culvert_core::identity::SpiffeId;
use culvert_linux::node::{CredentialSource, Material};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use tempfile::TempDir;

use super::workspace;

/// A directory with `NAME.crt` and `NAME.key` for each identity `spiffe://cluster.local/ns/default/sa/NAME`, and `ca.crt`;
/// with `ca.key` where the authority was made here.
///
/// As a [`CredentialSource`] it serves every identity by the last part of its id.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The directory.
    pub dir: PathBuf,
    _temporary: Option<Arc<TempDir>>,
}

/// Days after which the PKI of the peers is made anew; its leaves are valid for a year.
const DAYS: u64 = 100;

impl Certificates {
    /// A new authority with certificates for `names`.
    ///
    /// # Panics
    /// The file system refuses.
    pub fn issue(names: &[&str]) -> Certificates {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_path_buf();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.crt"), root.pem()).unwrap();
        fs::write(dir.join("ca.key"), root.key().serialize_pem()).unwrap();
        for name in names {
            let id = format!("spiffe://cluster.local/ns/default/sa/{name}");
            let mut leaf = CertificateParams::default();
            leaf.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().unwrap();
            let leaf = leaf.signed_by(&key, &root).unwrap();
            fs::write(dir.join(format!("{name}.crt")), leaf.pem()).unwrap();
            fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Certificates { dir, _temporary: Some(Arc::new(temporary)) }
    }

    /// Those that `script` makes, or made lately.
    ///
    /// # Panics
    /// The script fails.
    pub fn made_by(script: &Path) -> Certificates {
        let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        let target = workspace().join("target");
        let dir = target.join(format!("interop-certs-{}", days / DAYS));
        if !dir.is_dir() {
            // Several tests may find it missing at once: whoever is first to rename has made it.
            let making = tempfile::tempdir_in(&target).unwrap();
            let made = making.path().join("certs");
            let output = Command::new(script).arg(&made).output();
            let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            if let Err(error) = fs::rename(&made, &dir) {
                assert!(dir.is_dir(), "{}: {error}", dir.display());
            }
        }
        Certificates { dir, _temporary: None }
    }

    /// Writes the credentials of `names` as `culvert node --credentials` reads them.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_for_node(&self, names: &[&str], into: &Path) -> io::Result<()> {
        let namespace = into.join("default");
        fs::create_dir_all(&namespace)?;
        fs::copy(self.dir.join("ca.crt"), into.join("bundle.pem"))?;
        for name in names {
            for kind in ["crt", "key"] {
                let file = namespace.join(format!("{name}.{kind}"));
                fs::copy(self.dir.join(format!("{name}.{kind}")), &file)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            }
        }
        Ok(())
    }

    fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        let path = self.dir.join(format!("{name}.crt"));
        let pem = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl CredentialSource for Certificates {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        let path = self.dir.join(format!("{}.key", id.service_account()));
        let key =
            PrivateKeyDer::from_pem_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Material {
            chain: self.certificates(id.service_account())?,
            key,
            roots: self.certificates("ca")?,
            federated: BTreeMap::new(),
        })
    }
}
