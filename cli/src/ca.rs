//! A certificate authority for development: an ECDSA P-256 root in a directory, and X.509-SVIDs signed by it.
//!
//! The directory holds `ca.key` (mode 0600), `ca.crt` and `trust-domain`, and is made with mode 0700. Who can read the
//! key can be anyone in the mesh: it is for one machine or a test, not for production.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use culvert_core::identity::{SpiffeId, SpiffeIdError};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

mod store;

/// How far in the past a certificate starts to be valid, for peers whose clocks are behind.
pub const BACKDATE: Duration = Duration::from_secs(60);
/// How long a leaf is valid if nothing else is asked for (node.md row 78).
pub const DEFAULT_LEAF_VALIDITY: Duration = Duration::from_secs(24 * 3600);
/// How long the root is valid.
const ROOT_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why the development CA cannot be made, opened or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or the directory cannot be read, written or locked.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, such as `read`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no CA in the directory.
    #[error("there is no CA in {}", .0.display())]
    Absent(PathBuf),
    /// The CA's key can be read by others than its owner.
    #[error("{} can be read by others than its owner (mode {mode:04o})", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file of the CA is not what it should be.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The CA stands for another trust domain.
    #[error("the CA in {} is for the trust domain {found}, not {wanted}", path.display())]
    TrustDomain {
        /// The CA's directory.
        path: PathBuf,
        /// The CA's trust domain.
        found: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// The trust domain is not one.
    #[error("{name:?} is no trust domain")]
    Name {
        /// The text.
        name: String,
        /// What is wrong with it.
        source: SpiffeIdError,
    },
    /// The requested validity reaches beyond what a certificate can say.
    #[error("a validity of {0:?} is too long")]
    Validity(Duration),
    /// The certificate cannot be made.
    #[error("cannot make the certificate")]
    Certificate(#[from] rcgen::Error),
}

impl CaError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CaError::Absent(path) => {
                Some(format!("make one with `culvert ca init --dir {}`", path.display()))
            }
            CaError::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            CaError::Damaged { .. } => {
                Some("restore the directory, or remove it to make a new CA and issue everything again".into())
            }
            CaError::TrustDomain { found, .. } => {
                Some(format!("use another directory, or the trust domain {found}"))
            }
            CaError::Name { .. } => Some("a trust domain looks like cluster.local".into()),
            CaError::File { .. } => Some("check that the directory exists and belongs to you".into()),
            CaError::Validity(_) => Some("a day (24h) is usual".into()),
            CaError::Certificate(_) => None,
        }
    }
}

/// A leaf with all that its owner needs, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf; the root signs it directly, so the chain is one certificate.
    pub chain_pem: String,
    /// The leaf's private key, PKCS#8.
    pub key_pem: String,
    /// The roots to trust.
    pub bundle_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// A development CA, ready to sign.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    trust_domain: String,
    dir: PathBuf,
}

impl Ca {
    /// Opens the CA in `dir`, or makes one for `trust_domain` if there is none.
    ///
    /// Safe against other processes that do the same at the same time: all of them get the same CA.
    pub fn open_or_init(dir: &Path, trust_domain: &str) -> Result<Ca, CaError> {
        check_trust_domain(trust_domain)?;
        let files = store::open_or_init(dir, || new_root(trust_domain))?;
        let ca = Ca::from_files(dir, files)?;
        if ca.trust_domain != trust_domain {
            return Err(CaError::TrustDomain {
                path: dir.into(),
                found: ca.trust_domain,
                wanted: trust_domain.into(),
            });
        }
        Ok(ca)
    }

    /// Makes a CA that exists in memory only and is gone with the process.
    pub fn ephemeral(trust_domain: &str) -> Result<Ca, CaError> {
        check_trust_domain(trust_domain)?;
        // Stands for a directory in messages only.
        Ca::from_files(Path::new("(memory)"), new_root(trust_domain)?)
    }

    /// Opens the CA in `dir`, which must exist.
    pub fn open(dir: &Path) -> Result<Ca, CaError> {
        let files = store::open(dir)?.ok_or_else(|| CaError::Absent(dir.into()))?;
        Ca::from_files(dir, files)
    }

    fn from_files(dir: &Path, files: store::Files) -> Result<Ca, CaError> {
        let damaged = |name: &str, what| CaError::Damaged { path: dir.join(name), what };
        let trust_domain = files.trust_domain.trim().to_owned();
        check_trust_domain(&trust_domain)
            .map_err(|_| damaged(store::TRUST_DOMAIN, "it names no trust domain"))?;
        let key = KeyPair::from_pem(&files.key_pem)
            .map_err(|_| damaged(store::KEY, "it holds no private key in PEM"))?;
        let root_der = crate::credentials::certificates(files.root_pem.as_bytes())
            .ok()
            .and_then(|mut all| if all.len() == 1 { all.pop() } else { None })
            .ok_or_else(|| damaged(store::ROOT, "it does not hold exactly one certificate in PEM"))?;
        // A root of another key would sign leaves that nobody trusts; its key's point is in it as it is.
        let point = key.public_key_raw();
        if point.is_empty() || !root_der.windows(point.len()).any(|window| window == point) {
            return Err(damaged(store::ROOT, "it does not belong to ca.key"));
        }
        let issuer = Issuer::from_ca_cert_der(&root_der.as_slice().into(), key)
            .map_err(|_| damaged(store::ROOT, "it holds no certificate"))?;
        Ok(Ca { issuer, root_pem: files.root_pem, trust_domain, dir: dir.into() })
    }

    /// The trust domain whose identities this CA signs.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The root certificate, PEM.
    pub fn bundle_pem(&self) -> &str {
        &self.root_pem
    }

    /// Makes a key and an X.509-SVID for `id`, valid from a little before `now` until `now + validity`.
    ///
    /// The leaf has an empty subject and one critical URI SAN (node.md row 78, X509-SVID section 2).
    pub fn issue(&self, id: &SpiffeId, now: SystemTime, validity: Duration) -> Result<Issued, CaError> {
        if id.trust_domain() != self.trust_domain {
            return Err(CaError::TrustDomain {
                path: self.dir.clone(),
                found: self.trust_domain.clone(),
                wanted: id.trust_domain().into(),
            });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = DistinguishedName::new();
        leaf.subject_alt_names = vec![SanType::URI(Ia5String::try_from(id.to_string())?)];
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        set_validity(&mut leaf, now, validity)?;
        let certificate = leaf.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            bundle_pem: self.root_pem.clone(),
        })
    }
}

fn check_trust_domain(name: &str) -> Result<(), CaError> {
    match SpiffeId::new(name, "any", "any") {
        Ok(_) => Ok(()),
        Err(source) => Err(CaError::Name { name: name.into(), source }),
    }
}

fn new_root(trust_domain: &str) -> Result<store::Files, CaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut root = CertificateParams::default();
    root.distinguished_name = DistinguishedName::new();
    root.distinguished_name.push(DnType::OrganizationName, "Culvert development CA");
    root.subject_alt_names = vec![SanType::URI(Ia5String::try_from(format!("spiffe://{trust_domain}"))?)];
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut root, SystemTime::now(), ROOT_VALIDITY)?;
    Ok(store::Files {
        root_pem: root.self_signed(&key)?.pem(),
        key_pem: key.serialize_pem(),
        trust_domain: format!("{trust_domain}\n"),
    })
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, validity: Duration) -> Result<(), CaError> {
    // RFC 5280, 4.1.2.5: dates end with the year 9999; a century is more than any leaf needs and far from that.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let until = now.checked_add(validity).filter(|_| validity <= LONGEST);
    let (Some(from), Some(until)) = (now.checked_sub(BACKDATE), until) else {
        return Err(CaError::Validity(validity));
    };
    params.not_before = from.into();
    params.not_after = until.into();
    Ok(())
}

#[cfg(test)]
mod tests;
