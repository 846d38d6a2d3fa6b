//! Credentials of the simulated authority: honest peers, and peers that must be refused.

use std::sync::Arc;

use culvert_core::identity::svid::SvidVerifier;
use culvert_core::identity::{Credential, Issued, SpiffeId};
use culvert_core::seed::Seed;
use culvert_core::time::WallTime;
use culvert_core::tls::{TlsContext, TlsIdentity, WallCell};
use culvert_sim::certificate::{Authority, DIGITAL_SIGNATURE, KEY_CERT_SIGN, Template};
use culvert_sim::crypto;
use culvert_sim::crypto::sign::PrivateKey;

/// The moment at which everything takes place.
pub const NOW: WallTime = WallTime::from_unix_secs(1_800_000_000);
/// The trust domain of the mesh.
pub const TRUST_DOMAIN: &str = "cluster.local";

const BEFORE: WallTime = WallTime::from_unix_secs(1_799_996_400);
const AFTER: WallTime = WallTime::from_unix_secs(1_800_086_400);

/// The authority of the mesh.
pub fn authority() -> Authority {
    Authority::new(&Seed::new([1; 32]), TRUST_DOMAIN).expect("the name is good")
}

/// The id of a workload of the mesh.
pub fn id(name: &str) -> SpiffeId {
    SpiffeId::new(TRUST_DOMAIN, "x", name).expect("the name is good")
}

/// Verifies as a workload of the mesh does.
pub fn verifier() -> SvidVerifier {
    let algorithms = crypto::provider().signature_verification_algorithms;
    SvidVerifier::new(TRUST_DOMAIN, authority().bundle().clone(), algorithms)
}

/// A certificate of the mesh's authority that says what `template` says, and its key.
fn certified(authority: &Authority, template: &Template) -> (Vec<u8>, PrivateKey) {
    let key = PrivateKey::from_seed(&Seed::new([2; 32]));
    (authority.certify(template, &key).to_vec(), key)
}

/// Certificates of every kind, good and bad, by name.
pub fn certificates() -> Vec<(&'static str, Vec<u8>)> {
    let good = Template::svid(&id("a"), BEFORE, AFTER);
    let uris =
        |uris: &[&str]| Template { uris: uris.iter().map(|&uri| uri.into()).collect(), ..good.clone() };
    let other = "spiffe://cluster.local/ns/x/sa/b";
    let templates = [
        ("good", good.clone()),
        ("no-name", uris(&[])),
        ("two-names", uris(&[&id("a").to_string(), other])),
        ("no-spiffe", uris(&["https://cluster.local/ns/x/sa/a"])),
        ("escaped", uris(&["spiffe://cluster.local/ns/x%2fy/sa/a"])),
        ("other-domain", uris(&["spiffe://other/ns/x/sa/a"])),
        ("no-key-usage", Template { key_usage: 0, ..good.clone() }),
        ("signs-certificates", Template { key_usage: DIGITAL_SIGNATURE | KEY_CERT_SIGN, ..good.clone() }),
        ("authority", Template { authority: true, ..good.clone() }),
        ("expired", Template { not_before: WallTime::from_unix_secs(0), not_after: BEFORE, ..good.clone() }),
        ("not-yet-valid", Template { not_before: AFTER, ..good.clone() }),
        ("for-ever", Template { not_after: WallTime::from_unix_secs(u64::MAX), ..good.clone() }),
    ];
    let authority = authority();
    let mut all: Vec<_> =
        templates.iter().map(|(name, template)| (*name, certified(&authority, template).0)).collect();
    let stranger = Authority::new(&Seed::new([9; 32]), TRUST_DOMAIN).expect("the name is good");
    all.push(("stranger", certified(&stranger, &good).0));
    all.push(("root", authority.root().to_vec()));
    all
}

/// Credentials of the workloads whose engine is under test: two of each, the second not for long.
pub fn own() -> Vec<Arc<Credential>> {
    let mut authority = authority();
    let mut issue =
        |name: &str, until| authority.issue(&id(name), BEFORE, until).expect("the times are in order");
    let soon = WallTime::from_unix_secs(NOW.as_unix_secs() + 100);
    ["a", "b", "ghost"].iter().flat_map(|name| [issue(name, AFTER), issue(name, soon)]).collect()
}

/// Our own side's identity, and those that may turn up at the other end.
pub struct Cast {
    /// What the sessions under test present and trust.
    pub own: Arc<TlsIdentity>,
    /// A peer of the mesh.
    pub honest: Arc<TlsIdentity>,
    /// A peer whose certificate another authority of the same name issued, and who trusts ours.
    pub stranger: Arc<TlsIdentity>,
}

impl Cast {
    /// Makes all of them.
    pub fn new() -> Cast {
        let context = TlsContext::new(&crypto::provider(), WallCell::new(NOW));
        let ready = |credential| context.for_credential(credential).expect("the provider has the suites");
        let mut ours = authority();
        let mut issue = |name| ours.issue(&id(name), BEFORE, AFTER).expect("the times are in order");
        let (own, honest) = (issue("own"), issue("honest"));
        let strangers = Authority::new(&Seed::new([9; 32]), TRUST_DOMAIN).expect("the name is good");
        let (leaf, key) = certified(&strangers, &Template::svid(&id("stranger"), BEFORE, AFTER));
        let issued = Issued {
            id: id("stranger"),
            chain: vec![leaf.to_vec()],
            bundle: authority().bundle().clone(),
            generation: 1,
        };
        let stranger = Credential::new(issued, Arc::new(key), NOW).expect("key and leaf fit");
        Cast { own: ready(&own), honest: ready(&honest), stranger: ready(&Arc::new(stranger)) }
    }
}

impl Default for Cast {
    fn default() -> Cast {
        Cast::new()
    }
}
