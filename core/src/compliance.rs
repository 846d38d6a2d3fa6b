//! Which cryptography a node permits itself: a provider as it comes, or less of it.

use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;

/// The rule that a node's cryptography keeps (`COMPLIANCE_POLICY`, node.md row 24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compliance {
    /// What the provider offers; key exchange that quantum computers do not break comes first.
    #[default]
    Standard,
    /// Only key exchange that quantum computers do not break: X25519MLKEM768. Peers without it are not reached.
    Pqc,
    /// Only what FIPS 140-3 approves, from a module that is validated for it.
    Fips140_3,
}

/// Why a provider cannot keep a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComplianceFault {
    /// It has no X25519MLKEM768.
    #[error("the cryptographic module has no X25519MLKEM768")]
    NoPqc,
    /// It is not the validated module, or something of it is not approved.
    #[error("the cryptographic module is not validated for FIPS 140-3")]
    NotFips,
}

/// The groups of the mesh, most preferred first; groups that a provider has besides come after them.
const PREFERRED: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

impl Compliance {
    /// What of a provider this rule permits, most preferred first.
    ///
    /// # Errors
    /// The provider cannot keep the rule: nothing else is used in its place.
    pub fn apply(self, mut provider: CryptoProvider) -> Result<CryptoProvider, ComplianceFault> {
        match self {
            Compliance::Standard => {}
            Compliance::Pqc => {
                provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519MLKEM768);
                if provider.kx_groups.is_empty() {
                    return Err(ComplianceFault::NoPqc);
                }
            }
            Compliance::Fips140_3 => {
                provider.kx_groups.retain(|group| group.fips());
                provider.cipher_suites.retain(|suite| suite.fips());
                if provider.kx_groups.is_empty() || provider.cipher_suites.is_empty() || !provider.fips() {
                    return Err(ComplianceFault::NotFips);
                }
            }
        }
        prefer(&mut provider);
        Ok(provider)
    }
}

/// Puts the groups of a provider in the order of the mesh.
pub(crate) fn prefer(provider: &mut CryptoProvider) {
    let rank = |name| PREFERRED.iter().position(|known| *known == name).unwrap_or(PREFERRED.len());
    provider.kx_groups.sort_by_key(|group| rank(group.name()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing;

    fn provider() -> CryptoProvider {
        testing::provider().as_ref().clone()
    }

    fn groups(provider: &CryptoProvider) -> Vec<NamedGroup> {
        provider.kx_groups.iter().map(|group| group.name()).collect()
    }

    #[test]
    fn by_default_everything_is_permitted_and_the_hybrid_comes_first() {
        let mut backwards = provider();
        backwards.kx_groups.reverse();
        let standard = Compliance::Standard.apply(backwards).unwrap();
        assert_eq!(groups(&standard), PREFERRED);
    }

    #[test]
    fn pqc_leaves_the_hybrid_alone_or_nothing() {
        let only = Compliance::Pqc.apply(provider()).unwrap();
        assert_eq!(groups(&only), [NamedGroup::X25519MLKEM768]);
        let mut without = provider();
        without.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
        assert_eq!(Compliance::Pqc.apply(without).err(), Some(ComplianceFault::NoPqc));
    }

    #[test]
    fn fips_is_refused_where_the_module_is_not_validated() {
        // What a validated module answers is shown where one is built: the command's tests with the feature `fips`.
        assert!(!provider().fips());
        assert_eq!(Compliance::Fips140_3.apply(provider()).err(), Some(ComplianceFault::NotFips));
    }
}
