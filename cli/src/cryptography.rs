//! Which cryptographic module this program has, and how much of it a node may use.

use std::sync::Arc;

use culvert_core::compliance::{Compliance, ComplianceFault};
use rustls::crypto::{CryptoProvider, aws_lc_rs as module};

use crate::failure::Failure;

/// The module's name and version, as it tells them itself.
pub(crate) fn name() -> String {
    let version = aws_lc_rs::awslc_version();
    match aws_lc_rs::try_fips_mode() {
        Ok(()) => format!("AWS-LC {version}, validated for FIPS 140-3"),
        Err(_) => format!("AWS-LC {version}"),
    }
}

/// The module as far as a rule permits it.
pub(crate) fn provider(rule: Compliance) -> Result<Arc<CryptoProvider>, Failure> {
    rule.apply(module::default_provider()).map(Arc::new).map_err(|fault| {
        let failure = Failure::from_error(&fault);
        match fault {
            ComplianceFault::NoPqc => failure,
            ComplianceFault::NotFips => failure.hint(
                "release builds have the validated module; others are built with `cargo build --features fips`",
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_this_was_built_with() {
        let validated = cfg!(feature = "fips");
        assert_eq!(module::default_provider().fips(), validated);
        assert_eq!(name().contains("FIPS 140-3"), validated, "{}", name());
    }

    #[test]
    fn only_the_validated_module_keeps_the_rule_for_it() {
        assert!(provider(Compliance::Standard).is_ok());
        let strict = provider(Compliance::Fips140_3);
        if cfg!(feature = "fips") {
            let strict = strict.unwrap_or_else(|failure| panic!("{}", failure.message()));
            assert!(strict.fips());
            // A whole configuration of it is validated, too: nothing in it falls back to something else.
            let config = rustls::ClientConfig::builder_with_provider(strict)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            assert!(config.fips());
        } else {
            assert!(strict.is_err_and(|failure| failure.message().contains("not validated")));
        }
    }
}
