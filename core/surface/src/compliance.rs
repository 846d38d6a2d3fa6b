//! `culvert_core::compliance`.

use culvert_core::compliance::{Compliance, ComplianceFault};
use rustls::crypto::CryptoProvider;

pub fn variants_of_compliance(value: Compliance) {
    match value {
        Compliance::Standard | Compliance::Pqc | Compliance::Fips140_3 => {}
    }
}
pub fn variants_of_compliance_fault(value: ComplianceFault) {
    match value {
        ComplianceFault::NoPqc | ComplianceFault::NotFips => {}
    }
}
const _: fn(Compliance, CryptoProvider) -> Result<CryptoProvider, ComplianceFault> = Compliance::apply;
