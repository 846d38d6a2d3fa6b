//! Changes of whom this node trusts, while tunnels are alive (node.md row 82; reliability C5, C6).

use std::collections::{BTreeMap, BTreeSet};

use rustls::pki_types::CertificateDer;

use super::Engine;
use super::tunnels::{TunnelId, TunnelPhase};
use crate::identity::{CertificateName, IdentityFault, SpiffeId, Trust};
use crate::lies::Lies;
use crate::time::{Now, WallTime};

/// What live tunnels rest on.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    changes: u64,
    /// Tunnels by every certificate that their peer showed.
    by_certificate: BTreeMap<CertificateName, BTreeSet<TunnelId>>,
}

impl Trusted {
    /// How often whom we trust has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }
}

/// What the judgement of a tunnel depends on: our identity, the role and the chain of the peer, and when it was shown.
type Case = (SpiffeId, bool, WallTime, Vec<Vec<u8>>);

impl<L: Lies> Engine<L> {
    /// Whom to trust has changed: handshakes from here on go by it, and tunnels whose peers it does not cover end now.
    pub(super) fn trust_changed(&mut self, now: Now, trust: Trust) {
        self.trusted.changes = self.trusted.changes.saturating_add(1);
        let roots = trust.bundle != self.tls.trust().bundle;
        let affected: BTreeSet<TunnelId> = if roots || trust.revoked.is_strict() {
            self.tunnels.keys().into_iter().collect()
        } else {
            let named = self.trusted.by_certificate.iter().filter(|(name, _)| trust.revoked.name(name));
            named.flat_map(|(_, tunnels)| tunnels).copied().collect()
        };
        self.tls.set_trust(trust);
        self.ready_credentials();
        planted!(LiveSessionsKeepTrust => return);
        // Peers have many tunnels, and one chain.
        let mut judged: BTreeMap<Case, Result<(), IdentityFault>> = BTreeMap::new();
        for id in affected {
            let Some(entry) = self.tunnels.get(id) else { continue };
            if !matches!(entry.phase, TunnelPhase::Preface | TunnelPhase::Open) {
                continue;
            }
            let Some(own) = entry.own.clone() else { continue };
            let chain = entry.tunnel.peer_chain().iter().map(|der| der.to_vec()).collect();
            let case = (own, entry.key.is_none(), entry.authenticated, chain);
            let verdict = match judged.get(&case) {
                Some(known) => known.clone(),
                None => {
                    let verdict = self.judge_chain(&case);
                    judged.insert(case, verdict.clone());
                    verdict
                }
            };
            if let Err(fault) = verdict {
                self.sever_tunnel(now, id, &fault);
            }
        }
    }

    fn judge_chain(&self, (own, client, wall, chain): &Case) -> Result<(), IdentityFault> {
        // An identity that is gone took its tunnels with it.
        let Some(credential) = self.held_credential(own) else { return Ok(()) };
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        self.tls.judge(credential, &chain, *client, *wall)
    }

    /// Whether whom we trust now covers a peer that was verified by whom we trusted when its handshake began.
    pub(super) fn still_trusted(&self, now: Now, id: TunnelId) -> Result<(), IdentityFault> {
        let Some(entry) = self.tunnels.get(id) else { return Ok(()) };
        planted!(HandshakesKeepTrust => return Ok(()));
        let Some(own) = entry.own.clone().filter(|_| entry.trusted != self.trusted.changes) else {
            return Ok(());
        };
        let chain = entry.tunnel.peer_chain().iter().map(|der| der.to_vec()).collect();
        self.judge_chain(&(own, entry.key.is_none(), now.wall, chain))
    }

    pub(super) fn index_certificates(&mut self, id: TunnelId) {
        let Some(entry) = self.tunnels.get(id) else { return };
        for name in entry.tunnel.peer_chain().iter().filter_map(CertificateName::of) {
            self.trusted.by_certificate.entry(name).or_default().insert(id);
        }
    }

    pub(super) fn forget_certificates(&mut self, id: TunnelId) {
        let Some(entry) = self.tunnels.get(id) else { return };
        for name in entry.tunnel.peer_chain().iter().filter_map(CertificateName::of) {
            if let Some(tunnels) = self.trusted.by_certificate.get_mut(&name) {
                tunnels.remove(&id);
                if tunnels.is_empty() {
                    self.trusted.by_certificate.remove(&name);
                }
            }
        }
    }
}
