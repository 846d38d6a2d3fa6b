//! One fetch: on a thread of its own, so that a source that hangs delays only itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use culvert_core::identity::rotation::FetchId;
use culvert_core::identity::{Credential, IdentityFault, Issued, SpiffeId, Trust, TrustBundle};
use rustls::crypto::CryptoProvider;

use super::{CredentialSource, Material, Request};
use crate::clock::Clock;
use crate::driver::words;

/// A source of credentials, with what makes them of its material.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) source: Arc<dyn CredentialSource>,
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) clock: Clock,
    /// Whom the node trusts.
    pub(crate) trust: Arc<Mutex<Trust>>,
    /// Where the answer goes.
    pub(crate) answers: mpsc::Sender<Request>,
}

impl Source {
    /// Fetches; the answer comes as [`Request::Fetched`]. Fetches are few and hours apart, so that a thread for each costs nothing;
    /// how many there are at a time is bounded by the rotation, and by the number of identities where sources hang.
    pub(super) fn start(&self, id: &SpiffeId, fetch: FetchId, generation: u64) -> Result<(), String> {
        let (own, id) = (self.clone(), id.clone());
        let begun = thread::Builder::new().name("culvert-fetch".to_owned()).spawn(move || {
            let outcome = own.fetch(&id, generation);
            let outcome = outcome.map_err(|why| IdentityFault::Unavailable(why.into()));
            let _gone = own.answers.send(Request::Fetched { id, fetch, outcome });
        });
        begun.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
    }

    fn fetch(&self, id: &SpiffeId, generation: u64) -> Result<Arc<Credential>, String> {
        // Whoever fetches is not ours: its defect must not end the renewal of all.
        let fetched = catch_unwind(AssertUnwindSafe(|| self.source.fetch(id)));
        let material = fetched.unwrap_or_else(|panic| Err(words(panic.as_ref())))?;
        let bundle = bundle(id, &material).map_err(|error| format!("the trust bundle: {error}"))?;
        let chain = material.chain.iter().map(|certificate| certificate.to_vec()).collect();
        let issued = Issued { id: id.clone(), chain, bundle: Arc::new(bundle), generation };
        let wall = self.clock.now().wall;
        let credential = Credential::from_der(issued, material.key, &self.crypto, wall)
            .map_err(|error| error.to_string())?;
        // What peers would refuse must not take the place of what they take.
        let trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner).clone();
        credential.check(&trust, &self.crypto, wall).map_err(|fault| fault.to_string())?;
        Ok(Arc::new(credential))
    }
}

/// The roots of the identity's own trust domain, and those of other domains under their own names: none may vouch for another.
fn bundle(
    id: &SpiffeId,
    material: &Material,
) -> Result<TrustBundle, culvert_core::identity::TrustBundleError> {
    let own = TrustBundle::empty().with_roots(id.trust_domain(), &material.roots)?;
    let others = material.federated.iter().filter(|(domain, _)| *domain != id.trust_domain());
    others.into_iter().try_fold(own, |bundle, (domain, roots)| bundle.with_roots(domain, roots))
}
