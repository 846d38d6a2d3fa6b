//! Credentials by identity: asked for, never assumed, kept for the workloads of this process only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Engine;
use super::boundary::Output;
use crate::identity::rotation::Demand;
use crate::identity::{Credential, IdentityFault, SpiffeId};
use crate::lies::Lies;
use crate::time::{Now, WallTime};
use crate::tls::TlsIdentity;

#[derive(Debug)]
enum Entry {
    Asked(Demand),
    Ready(Arc<TlsIdentity>),
}

#[derive(Debug, Default)]
pub(super) struct Credentials {
    entries: BTreeMap<SpiffeId, Entry>,
    /// Those that are over, and asked for again since.
    urged: BTreeSet<SpiffeId>,
}

impl Credentials {
    /// Whether it is there or asked for.
    pub(super) fn is_known(&self, id: &SpiffeId) -> bool {
        self.entries.contains_key(id)
    }
}

impl<L: Lies> Engine<L> {
    /// The TLS configuration of an identity, for a connection that waits; asks for its credential where there is none.
    pub(super) fn credential(&mut self, id: &SpiffeId) -> Option<Arc<TlsIdentity>> {
        self.credential_for(id, Demand::RealTime)
    }

    /// Who waits for a credential that is over would wait for its renewal, however late that is: it is asked for again.
    fn urge(&mut self, id: &SpiffeId, not_after: WallTime, demand: Demand) {
        if not_after < self.latest.wall && self.credentials.urged.insert(id.clone()) {
            self.outputs.push_back(Output::NeedCredential { id: id.clone(), demand });
        }
    }

    /// The same for whoever wants it so much.
    pub(super) fn credential_for(&mut self, id: &SpiffeId, demand: Demand) -> Option<Arc<TlsIdentity>> {
        match self.credentials.entries.get(id) {
            Some(Entry::Ready(identity)) => {
                let identity = identity.clone();
                self.urge(id, identity.credential().not_after(), demand);
                return Some(identity);
            }
            Some(Entry::Asked(asked)) if *asked >= demand => return None,
            Some(Entry::Asked(_)) | None => {}
        }
        self.credentials.entries.insert(id.clone(), Entry::Asked(demand));
        self.outputs.push_back(Output::NeedCredential { id: id.clone(), demand });
        None
    }

    /// Makes the credentials at hand ready once more, for whom is trusted now. One that cannot be stays as it was: it verified peers
    /// before, and does so as it did.
    pub(super) fn ready_credentials(&mut self) {
        for entry in self.credentials.entries.values_mut() {
            if let Entry::Ready(identity) = entry
                && let Ok(anew) = self.tls.for_credential(identity.credential())
            {
                *identity = anew;
            }
        }
    }

    /// The credential of this identity, if it is at hand.
    pub(super) fn held_credential(&self, id: &SpiffeId) -> Option<&Arc<Credential>> {
        match self.credentials.entries.get(id)? {
            Entry::Ready(identity) => Some(identity.credential()),
            Entry::Asked(_) => None,
        }
    }

    fn drop_credential(&mut self, id: &SpiffeId) {
        self.credentials.urged.remove(id);
        if self.credentials.entries.remove(id).is_some() {
            self.outputs.push_back(Output::DropCredential(id.clone()));
        }
    }

    pub(super) fn credential_arrived(
        &mut self,
        now: Now,
        id: SpiffeId,
        outcome: Result<Arc<Credential>, IdentityFault>,
    ) {
        if !self.serves_identity(&id) {
            // Should its workload come back, it is asked for again.
            self.drop_credential(&id);
            return;
        }
        self.credentials.urged.remove(&id);
        if let (Some(Entry::Ready(ready)), Ok(credential)) = (self.credentials.entries.get(&id), &outcome)
            && Arc::ptr_eq(ready.credential(), credential)
        {
            // It was sent again, lest it had been refused.
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
            Some(Entry::Asked(_)) | None => false,
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
            self.drop_credential(&id);
        }
    }
}
