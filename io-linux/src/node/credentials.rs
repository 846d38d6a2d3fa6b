//! Credentials for the engines: [`Rotation`] says when to fetch which, threads that may block fetch them, and workers share them.

mod fetch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use culvert_core::identity::rotation::{Demand, FetchId, Input, Output, Rotation, RotationConfig};
use culvert_core::identity::{Credential, IdentityFault, SpiffeId};
use culvert_core::seed::Seed;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::driver::{Command, Commands};
pub(crate) use fetch::Source;

/// What a source hands out for one identity.
#[derive(Debug)]
pub struct Material {
    /// The leaf, then the intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
    /// The roots of the identity's own trust domain.
    pub roots: Vec<CertificateDer<'static>>,
    /// The roots of other trust domains with which its own is federated, by trust domain.
    pub federated: BTreeMap<String, Vec<CertificateDer<'static>>>,
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
            federated: BTreeMap::new(),
        })
    }
}

/// Where credentials come from: files, a development CA, a control plane's CA. Called on threads that may block, several at a
/// time, but never twice at a time for one identity.
pub trait CredentialSource: Send + Sync + 'static {
    /// Fetches the credential of one identity, or says in one line why there is none.
    ///
    /// # Errors
    /// Why there is none.
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String>;
}

/// Told why a credential cannot be had.
pub type OnCredentialFault = Arc<dyn Fn(&SpiffeId, &str) + Send + Sync>;

pub(crate) enum Request {
    Need {
        id: SpiffeId,
        demand: Demand,
        worker: usize,
    },
    /// A worker has no workload of this identity any more.
    Drop {
        id: SpiffeId,
        worker: usize,
    },
    Fetched {
        id: SpiffeId,
        fetch: FetchId,
        outcome: Result<Arc<Credential>, IdentityFault>,
    },
    /// Those that are in use are fetched anew. `in_force` is dropped once the workers have them, or they could not be had.
    Renew {
        in_force: mpsc::Sender<()>,
    },
    /// What workers have is sent to them once more: they may have refused it.
    Again,
    Stop,
}

/// A worker that uses an identity, with the generation of the credential that it was sent last.
type Users = BTreeMap<usize, Option<u64>>;

/// Drives the rotation of a node's credentials.
pub(crate) struct Service {
    source: Source,
    rotation: Rotation<Arc<Credential>>,
    workers: Vec<Commands>,
    on_fault: OnCredentialFault,
    users: BTreeMap<SpiffeId, Users>,
    /// Identities that are being fetched. One whose source hangs stays here: it is not asked twice.
    busy: BTreeSet<SpiffeId>,
    fetches: u64,
    /// Who waits for which identities to be renewed.
    renewing: Vec<(BTreeSet<SpiffeId>, mpsc::Sender<()>)>,
}

impl Service {
    pub(crate) fn new(
        source: Source,
        seed: &Seed,
        workers: Vec<Commands>,
        on_fault: OnCredentialFault,
    ) -> Service {
        let rotation = Rotation::new(RotationConfig::default(), seed, source.clock.now());
        Service {
            source,
            rotation,
            workers,
            on_fault,
            users: BTreeMap::new(),
            busy: BTreeSet::new(),
            fetches: 0,
            renewing: Vec::new(),
        }
    }

    pub(crate) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        loop {
            let wait = match self.rotation.next_deadline() {
                Some(deadline) => self.source.clock.until(deadline.at),
                None => Duration::from_secs(3600),
            };
            match requests.recv_timeout(wait) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(request) => self.take(request),
                Err(RecvTimeoutError::Timeout) => self.tell(Input::Tick),
            }
            while let Some(output) = self.rotation.poll_output() {
                self.perform(output);
            }
        }
    }

    fn tell(&mut self, input: Input<Arc<Credential>>) {
        self.rotation.handle_input(self.source.clock.now(), input);
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Need { id, demand, worker } => {
                // Whoever asks has none, whatever it was sent before: a worker may have begun anew.
                self.users.entry(id.clone()).or_default().insert(worker, None);
                self.tell(Input::Wanted { id, demand });
            }
            Request::Drop { id, worker } => {
                let Some(users) = self.users.get_mut(&id) else { return };
                users.remove(&worker);
                if users.is_empty() {
                    self.users.remove(&id);
                    self.tell(Input::Dropped { id });
                }
            }
            Request::Fetched { id, fetch, outcome } => {
                self.busy.remove(&id);
                self.tell(Input::Fetched { id, fetch, outcome });
            }
            Request::Renew { in_force } => {
                let wall = self.source.clock.now().wall;
                let held = self.rotation.identities().filter(|id| self.rotation.serving(id, wall).is_some());
                self.renewing.push((held.cloned().collect(), in_force));
                self.renewing.retain(|(ids, _)| !ids.is_empty());
                self.tell(Input::Renew);
            }
            Request::Again => self.serve_again(),
            Request::Stop => {}
        }
    }

    fn perform(&mut self, output: Output<Arc<Credential>>) {
        match output {
            Output::Fetch { id, fetch, .. } => self.fetch(id, fetch),
            Output::Serve { id, credential } => {
                let in_force = self.renewed(&id);
                self.serve(&id, &credential, &in_force);
            }
            Output::Failed { id, fault, serving } => {
                let why = match &fault {
                    IdentityFault::Unavailable(why) => why.to_string(),
                    other => other.to_string(),
                };
                (self.on_fault)(&id, &why);
                drop(self.renewed(&id));
                if !serving {
                    self.refuse(&id, &fault);
                }
            }
            Output::Drop { id } => drop(self.renewed(&id)),
        }
    }

    fn fetch(&mut self, id: SpiffeId, fetch: FetchId) {
        let generation = self.fetches;
        self.fetches += 1;
        let refused = if self.busy.insert(id.clone()) {
            self.source.start(&id, fetch, generation).err().inspect(|_| {
                self.busy.remove(&id);
            })
        } else {
            Some("the source has not answered yet".to_owned())
        };
        if let Some(why) = refused {
            let outcome = Err(IdentityFault::Unavailable(why.into()));
            self.tell(Input::Fetched { id, fetch, outcome });
        }
    }

    /// Who waited for this identity to be renewed, and does so no longer.
    fn renewed(&mut self, id: &SpiffeId) -> Vec<mpsc::Sender<()>> {
        let mut waited = Vec::new();
        for (ids, in_force) in &mut self.renewing {
            if ids.remove(id) {
                waited.push(in_force.clone());
            }
        }
        self.renewing.retain(|(ids, _)| !ids.is_empty());
        waited
    }

    fn serve(&mut self, id: &SpiffeId, credential: &Arc<Credential>, in_force: &[mpsc::Sender<()>]) {
        for (worker, sent) in self.users.get_mut(id).into_iter().flatten() {
            if sent.replace(credential.generation()) == Some(credential.generation()) {
                continue;
            }
            if let Some(worker) = self.workers.get(*worker) {
                let outcome = Ok(credential.clone());
                worker.send(Command::Credential { id: id.clone(), outcome, in_force: in_force.to_vec() });
            }
        }
    }

    fn serve_again(&mut self) {
        let wall = self.source.clock.now().wall;
        for sent in self.users.values_mut().flat_map(BTreeMap::values_mut) {
            *sent = None;
        }
        let held = self.rotation.identities().filter_map(|id| {
            self.rotation.serving(id, wall).map(|credential| (id.clone(), credential.clone()))
        });
        for (id, credential) in held.collect::<Vec<_>>() {
            self.serve(&id, &credential, &[]);
        }
    }

    fn refuse(&self, id: &SpiffeId, fault: &IdentityFault) {
        for worker in self.users.get(id).into_iter().flat_map(BTreeMap::keys) {
            if let Some(worker) = self.workers.get(*worker) {
                let outcome = Err(fault.clone());
                worker.send(Command::Credential { id: id.clone(), outcome, in_force: Vec::new() });
            }
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
