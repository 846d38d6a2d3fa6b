//! Credentials in files.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use culvert_core::identity::SpiffeId;

use super::{CredentialSource, Material, PemError};

/// A directory of credentials, as `culvert ca issue` writes it:
///
/// ```text
/// DIR/bundle.pem                          the roots to trust, PEM
/// DIR/NAMESPACE/SERVICE_ACCOUNT.crt       the chain, leaf first, PEM
/// DIR/NAMESPACE/SERVICE_ACCOUNT.key       its private key, PEM, readable by its owner only
/// ```
///
/// Files are read at each fetch, so that a renewed certificate is found.
#[derive(Clone, Debug)]
pub struct CredentialDirectory {
    path: PathBuf,
}

/// Why a directory has no credential for an identity.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
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
    /// The files do not hold what they should.
    #[error("the credentials of {id} in {}: {fault}", path.display())]
    Content {
        /// Whose credentials were asked for.
        id: SpiffeId,
        /// The directory.
        path: PathBuf,
        /// Which part is wrong, and why.
        fault: PemError,
    },
}

impl DirectoryError {
    /// What the operator can do about it.
    pub fn hint(&self) -> String {
        match self {
            DirectoryError::Absent { id, .. } => format!(
                "issue them with `culvert ca issue --workload {}/NAME/{} …`",
                id.namespace(),
                id.service_account()
            ),
            DirectoryError::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            DirectoryError::Content { .. } => "issue the credentials again".to_owned(),
            DirectoryError::Read { .. } => "check the path and who owns it".to_owned(),
        }
    }
}

impl CredentialDirectory {
    /// The credentials in `path`, which is not looked at yet.
    pub fn new(path: impl Into<PathBuf>) -> CredentialDirectory {
        CredentialDirectory { path: path.into() }
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
        self.path.join("bundle.pem")
    }

    /// Reads what is there for `id`. Whether it is for `id`, valid and of the bundle is for the verifier to say.
    ///
    /// # Errors
    /// A file is missing, unreadable, exposed or not what it should be.
    pub fn read(&self, id: &SpiffeId) -> Result<Material, DirectoryError> {
        let key_path = self.key_path(id);
        let key = read(&key_path, id)?;
        // After the read: an exposed file is refused however short the exposure was.
        refuse_exposed(&key_path)?;
        let (chain, bundle) = (read(&self.chain_path(id), id)?, read(&self.bundle_path(), id)?);
        Material::from_pem(&chain, &key, &bundle).map_err(|fault| DirectoryError::Content {
            id: id.clone(),
            path: self.path.clone(),
            fault,
        })
    }
}

impl CredentialSource for CredentialDirectory {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        self.read(id).map_err(|error| format!("{error}; {}", error.hint()))
    }
}

fn read(path: &Path, id: &SpiffeId) -> Result<Vec<u8>, DirectoryError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DirectoryError::Absent { id: id.clone(), path: path.into() },
        _ => DirectoryError::Read { path: path.into(), source },
    })
}

fn refuse_exposed(path: &Path) -> Result<(), DirectoryError> {
    let metadata = fs::metadata(path).map_err(|source| DirectoryError::Read { path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(DirectoryError::Exposed { path: path.into(), mode }) }
}
