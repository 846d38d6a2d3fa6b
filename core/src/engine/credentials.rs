//! Credentials by identity: asked for, never assumed, kept for the workloads of this process only.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::boundary::Output;
use crate::identity::{Credential, IdentityFault, SpiffeId};
use crate::lies::Lies;
use crate::time::Now;
use crate::tls::TlsIdentity;

#[derive(Debug)]
enum Entry {
    Asked,
    Ready(Arc<TlsIdentity>),
}

#[derive(Debug, Default)]
pub(super) struct Credentials {
    entries: BTreeMap<SpiffeId, Entry>,
}

impl Credentials {
    /// Whether it is there or asked for.
    pub(super) fn is_known(&self, id: &SpiffeId) -> bool {
        self.entries.contains_key(id)
    }
}

impl<L: Lies> Engine<L> {
    /// The TLS configuration of an identity; asks for its credential where there is none.
    pub(super) fn credential(&mut self, id: &SpiffeId) -> Option<Arc<TlsIdentity>> {
        match self.credentials.entries.get(id) {
            Some(Entry::Ready(identity)) => return Some(identity.clone()),
            Some(Entry::Asked) => return None,
            None => {}
        }
        self.credentials.entries.insert(id.clone(), Entry::Asked);
        self.outputs.push_back(Output::NeedCredential(id.clone()));
        None
    }

    pub(super) fn credential_arrived(
        &mut self,
        now: Now,
        id: SpiffeId,
        outcome: Result<Arc<Credential>, IdentityFault>,
    ) {
        if !self.serves_identity(&id) {
            // Should its workload come back, it is asked for again.
            self.credentials.entries.remove(&id);
            return;
        }
        let identity = outcome.and_then(|credential| {
            if credential.id() != &id {
                return Err(IdentityFault::Mismatch);
            }
            self.check_own(now, &credential)?;
            self.tls.for_credential(&credential).map_err(|fault| IdentityFault::Unusable(fault.to_string()))
        });
        match identity {
            Ok(identity) => {
                let before = self.credentials.entries.insert(id.clone(), Entry::Ready(identity));
                if matches!(before, Some(Entry::Ready(_))) {
                    self.retire_tunnels_of(now, &id);
                }
                self.credential_ready(now, &id);
            }
            Err(fault) => {
                // A newer credential that cannot be used never replaces one that can.
                if matches!(self.credentials.entries.get(&id), Some(Entry::Ready(_))) {
                    return;
                }
                self.credentials.entries.remove(&id);
                self.credential_failed(now, &id, &fault);
            }
        }
    }

    /// Refuses a credential that peers would refuse: one that chains to no root which it trusts itself, or is not valid now. One
    /// that is not valid yet serves where there is no valid one, since clocks differ and peers judge by theirs.
    fn check_own(&self, now: Now, credential: &Credential) -> Result<(), IdentityFault> {
        let has_valid = match self.credentials.entries.get(credential.id()) {
            Some(Entry::Ready(own)) => {
                let own = own.credential();
                own.not_before() <= now.wall && now.wall <= own.not_after()
            }
            Some(Entry::Asked) | None => false,
        };
        match self.tls.vouch(credential, now.wall) {
            Err(IdentityFault::NotYetValid { .. }) if !has_valid => {
                self.tls.vouch_once_begun(credential, now.wall)
            }
            outcome => outcome,
        }
    }

    /// Drops keys whose last workload is gone (node.md row 80).
    pub(super) fn forget_credentials(&mut self) {
        let gone: Vec<SpiffeId> =
            self.credentials.entries.keys().filter(|id| !self.serves_identity(id)).cloned().collect();
        for id in gone {
            self.credentials.entries.remove(&id);
        }
    }
}
