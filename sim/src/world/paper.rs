//! What a certificate authority hands out when it is wrong: credentials that nobody may accept.

use std::sync::Arc;

use culvert_core::engine::boundary::Input;
use culvert_core::identity::{Credential, IdentityFault, Issued, SpiffeId};
use culvert_core::time::WallTime;
use serde::{Deserialize, Serialize};

use super::{NodeId, World};
use crate::certificate::Template;
use crate::cryptography::KeyName;

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// It is over.
    Expired,
    /// It is for another workload.
    Identity,
    /// It is for another key.
    Key,
    /// It begins in an hour.
    NotYet,
    /// It is for another trust domain.
    OtherDomain,
    /// It is for two.
    TwoNames,
    /// The certificate between it and the root is missing.
    Unchained,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 7] = [
        Wrong::Expired,
        Wrong::Identity,
        Wrong::Key,
        Wrong::NotYet,
        Wrong::OtherDomain,
        Wrong::TwoNames,
        Wrong::Unchained,
    ];
}

const HOUR: u64 = 3600;

impl World {
    /// The authority answers with something that is wrong. As in production, what cannot be a credential becomes none.
    pub(super) fn issue_wrongly(&mut self, node: NodeId, id: SpiffeId, wrong: Wrong) {
        let outcome = self.wrong_credential(node, &id, wrong);
        self.renewals.mislead(node, &id);
        // A node may take for its own what will be valid later.
        if wrong == Wrong::NotYet {
            self.issued.insert((node, id.clone()));
        }
        self.input(node, Input::Credential { id, outcome });
    }

    /// Something that is wrong, as it reaches an engine.
    pub(super) fn wrong_credential(
        &self,
        node: NodeId,
        id: &SpiffeId,
        wrong: Wrong,
    ) -> Result<Arc<Credential>, IdentityFault> {
        let now = self.now().wall.as_unix_secs();
        let at = WallTime::from_unix_secs;
        let mut template = Template::svid(id, at(now), at(now + 24 * HOUR));
        match wrong {
            Wrong::Expired => {
                (template.not_before, template.not_after) = (at(now - 2 * HOUR), at(now - HOUR));
            }
            Wrong::Identity => template.uris = vec!["spiffe://cluster.local/ns/default/sa/nobody".to_owned()],
            Wrong::NotYet => template.not_before = at(now + HOUR),
            Wrong::OtherDomain => template.uris = vec!["spiffe://other.org/ns/default/sa/a".to_owned()],
            Wrong::TwoNames => template.uris.push("spiffe://cluster.local/ns/default/sa/two".to_owned()),
            Wrong::Key | Wrong::Unchained => {}
        }
        let notary = self.cryptography.notary.clone();
        let key = |name| notary.key(&KeyName::new(self.seed.child(name), name));
        let own = key("wrong");
        let certified = if wrong == Wrong::Key { key("another") } else { own.clone() };
        let between = self.namesake(&self.seed.child("intermediate"), "intermediate");
        let issuer = if wrong == Wrong::Unchained { &between } else { &self.authority };
        let chain = vec![issuer.certify(&template, &*certified).to_vec()];
        let issued =
            Issued { id: id.clone(), chain, bundle: self.authority.bundle().clone(), generation: u64::MAX };
        let wall = self.now_at(node).wall;
        Credential::new(issued, own, wall)
            .map(Arc::new)
            .map_err(|fault| IdentityFault::Unusable(fault.to_string()))
    }
}
