//! Credentials for the engines: fetched on a thread of their own, shared by the workers, renewed at half of their life.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use culvert_core::identity::{Credential, IdentityFault, Issued, SpiffeId, TrustBundle};
use culvert_core::time::WallTime;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Clock;
use crate::driver::{Command, Commands, words};

/// What a source hands out for one identity.
#[derive(Debug)]
pub struct Material {
    /// The leaf, then the intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
    /// The roots of the identity's own trust domain.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Why PEM text holds no credential.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {why}")]
pub struct PemError {
    /// Which of the texts: the chain, the key or the roots.
    pub part: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Material {
    /// Takes a credential from PEM text: the chain (leaf first), its private key, and the roots to trust.
    ///
    /// # Errors
    /// A text that is not PEM, or holds nothing of its kind.
    pub fn from_pem(chain: &[u8], key: &[u8], roots: &[u8]) -> Result<Material, PemError> {
        let error = |part, error: pem::Error| PemError { part, why: error.to_string() };
        let certificates = |part, text| {
            let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
            match found.map_err(|why| error(part, why))? {
                none if none.is_empty() => Err(PemError { part, why: "no certificate".to_owned() }),
                some => Ok(some),
            }
        };
        Ok(Material {
            chain: certificates("the chain", chain)?,
            key: PrivateKeyDer::from_pem_slice(key).map_err(|why| error("the key", why))?,
            roots: certificates("the roots", roots)?,
        })
    }
}

/// Where credentials come from: files, a development CA, later a control plane's CA. Called on a thread that may block.
pub trait CredentialSource: Send + 'static {
    /// Fetches the credential of one identity, or says in one line why there is none.
    fn fetch(&mut self, id: &SpiffeId) -> Result<Material, String>;
}

/// Told why a credential cannot be had, on the thread that fetches.
pub type OnCredentialFault = Arc<dyn Fn(&SpiffeId, &str) + Send + Sync>;

pub(crate) enum Request {
    Need {
        id: SpiffeId,
        worker: usize,
    },
    /// Those that are in use are fetched anew. `in_force` is dropped once the workers have them, or they could not be had.
    Renew {
        in_force: mpsc::Sender<()>,
    },
    Stop,
}

/// A credential that could be fetched is renewed at half of its life, one that could not is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// No renewal happens sooner than this after the last.
const RENEW_MIN: Duration = Duration::from_secs(10);

struct Held {
    renew: Instant,
    credential: Arc<Credential>,
}

pub(crate) struct Service {
    pub(crate) source: Box<dyn CredentialSource>,
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) clock: Clock,
    pub(crate) workers: Vec<Commands>,
    pub(crate) on_fault: OnCredentialFault,
}

impl Service {
    pub(crate) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let mut held: BTreeMap<SpiffeId, Held> = BTreeMap::new();
        let mut wanted: BTreeMap<SpiffeId, (Instant, Vec<usize>)> = BTreeMap::new();
        let mut generation = 0;
        let mut renewed = None;
        loop {
            let next = held.values().map(|h| h.renew).chain(wanted.values().map(|(at, _)| *at)).min();
            let wait =
                next.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()));
            match requests.recv_timeout(wait) {
                Ok(Request::Need { id, worker }) => match held.get(&id) {
                    Some(held) => self.send(worker, &id, Ok(held.credential.clone()), None),
                    None => {
                        let (_, workers) = wanted.entry(id).or_insert_with(|| (Instant::now(), Vec::new()));
                        if !workers.contains(&worker) {
                            workers.push(worker);
                        }
                    }
                },
                Ok(Request::Renew { in_force }) => {
                    let now = Instant::now();
                    held.values_mut().for_each(|held| held.renew = now);
                    renewed = Some(in_force);
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            let due: Vec<SpiffeId> =
                wanted.iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| id.clone()).collect();
            for id in due {
                generation += 1;
                let outcome = self.fetch(&id, generation);
                let Some((_, workers)) = wanted.remove(&id) else { continue };
                match outcome {
                    Ok(credential) => {
                        for worker in workers {
                            self.send(worker, &id, Ok(credential.clone()), None);
                        }
                        held.insert(id, Held { renew: self.renewal(&credential), credential });
                    }
                    Err(why) => {
                        (self.on_fault)(&id, &why);
                        for &worker in &workers {
                            let outcome = Err(IdentityFault::Unavailable(why.as_str().into()));
                            self.send(worker, &id, outcome, None);
                        }
                        // Tried again unasked: a pod that waits for its identity is ready once the source is.
                        wanted.insert(id, (now + RETRY, workers));
                    }
                }
            }
            let due: Vec<SpiffeId> =
                held.iter().filter(|(_, h)| h.renew <= now).map(|(id, _)| id.clone()).collect();
            for id in due {
                generation += 1;
                match self.fetch(&id, generation) {
                    Ok(credential) => {
                        for worker in 0..self.workers.len() {
                            self.send(worker, &id, Ok(credential.clone()), renewed.clone());
                        }
                        held.insert(id, Held { renew: self.renewal(&credential), credential });
                    }
                    Err(why) => {
                        // The one at hand serves until it expires.
                        (self.on_fault)(&id, &why);
                        if let Some(held) = held.get_mut(&id) {
                            held.renew = now + RENEW_MIN;
                        }
                    }
                }
            }
            renewed = None;
        }
    }

    fn fetch(&mut self, id: &SpiffeId, generation: u64) -> Result<Arc<Credential>, String> {
        // Whoever fetches is not ours: its defect must not end the renewal of all.
        let fetched = catch_unwind(AssertUnwindSafe(|| self.source.fetch(id)));
        let material = fetched.unwrap_or_else(|panic| Err(words(panic.as_ref())))?;
        let bundle = TrustBundle::empty()
            .with_roots(id.trust_domain(), &material.roots)
            .map_err(|error| format!("the trust bundle: {error}"))?;
        let chain = material.chain.iter().map(|certificate| certificate.to_vec()).collect();
        let issued = Issued { id: id.clone(), chain, bundle: Arc::new(bundle), generation };
        Credential::from_der(issued, material.key, &self.crypto, self.wall())
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }

    fn wall(&self) -> WallTime {
        self.clock.now().wall
    }

    fn renewal(&self, credential: &Credential) -> Instant {
        let life =
            credential.not_after().as_unix_secs().saturating_sub(credential.not_before().as_unix_secs());
        let half = credential.not_before().as_unix_secs() + life / 2;
        let left = Duration::from_secs(half.saturating_sub(self.wall().as_unix_secs()));
        Instant::now() + left.max(RENEW_MIN)
    }

    fn send(
        &self,
        worker: usize,
        id: &SpiffeId,
        outcome: Result<Arc<Credential>, IdentityFault>,
        in_force: Option<mpsc::Sender<()>>,
    ) {
        if let Some(worker) = self.workers.get(worker) {
            worker.send(Command::Credential { id: id.clone(), outcome, in_force });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_pem_is_named() {
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".as_bytes();
        let part = |chain, key, roots| Material::from_pem(chain, key, roots).unwrap_err().part;
        assert_eq!(part(b"", b"", b""), "the chain");
        assert_eq!(part(chain, b"junk", chain), "the key");
        let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(part(chain, key, b"-----BEGIN CERTIFICATE-----\n"), "the roots");
        let material = Material::from_pem(&chain.repeat(2), key, chain).unwrap();
        assert_eq!((material.chain.len(), material.roots.len()), (2, 1));
    }
}
