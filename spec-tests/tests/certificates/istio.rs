//! What the service is asked, and what is made of its answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use culvert_certificate::{AnswerError, FetchError, IstioAuthority, IstioConfig};
use culvert_channel::{ChannelConfig, Connector};
use culvert_core::identity::{Credential, Issued, SpiffeId, Trust, TrustBundle};
use culvert_core::time::WallTime;
use culvert_linux::node::Material;
use culvert_spec_tests::authority::{Behaviour, Lie, TestAuthority};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;

pub fn id(name: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "default", name).unwrap()
}

pub fn source(channel: ChannelConfig, patience: Duration) -> IstioAuthority {
    let connector = Connector::new(channel, provider()).unwrap();
    let config = IstioConfig { patience, ..IstioConfig::new(connector) };
    IstioAuthority::start(config).unwrap()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn wall() -> WallTime {
    WallTime::from_unix_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// What a node makes of it.
fn credential(id: &SpiffeId, material: Material) -> Result<Credential, String> {
    let bundle = TrustBundle::empty().with_roots(id.trust_domain(), &material.roots);
    let chain = material.chain.iter().map(|certificate| certificate.to_vec()).collect();
    let bundle = Arc::new(bundle.map_err(|error| error.to_string())?);
    let issued = Issued { id: id.clone(), chain, bundle, generation: 1 };
    let credential = Credential::from_der(issued, material.key, &provider(), wall());
    let credential = credential.map_err(|error| error.to_string())?;
    credential.check(&Trust::default(), &provider(), wall()).map_err(|fault| fault.to_string())?;
    Ok(credential)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn istios_service_is_asked_as_it_wants_and_what_it_answers_serves() {
    let ca = TestAuthority::start(&[id("a")]);
    ca.grant(Duration::from_secs(3600));
    let source = source(ca.channel(), PATIENCE);
    let first = source.issue(&id("a")).unwrap();
    assert_eq!(first.roots, [ca.root().into()], "the root is the last of the chain");
    assert_eq!(first.chain.len(), 1);
    assert!(matches!(first.key, PrivateKeyDer::Pkcs8(_)));
    let second = source.issue(&id("a")).unwrap();
    assert_ne!(first.key.secret_der(), second.key.secret_der(), "a key for each certificate");
    let credential = credential(&id("a"), first).unwrap();
    let left = credential.not_after().as_unix_secs() - wall().as_unix_secs();
    assert!((3590..=3600).contains(&left), "{left} s");
    assert_eq!(ca.asked(), [id("a"), id("a")]);
}

#[test]
fn who_is_not_believed_or_asks_for_pods_of_other_nodes_is_refused() {
    let ca = TestAuthority::start(&[id("a")]);
    let source = source(ca.channel(), PATIENCE);
    let code = |outcome: Result<Material, FetchError>| match outcome {
        Err(FetchError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(source.issue(&id("b"))), "PermissionDenied");
    ca.write_token("another-token");
    assert_eq!(code(source.issue(&id("a"))), "Unauthenticated");
    ca.write_token("token-of-the-node");
    assert!(source.issue(&id("a")).is_ok(), "the token is read anew");
    ca.behave(Behaviour::Refuse);
    assert_eq!(code(source.issue(&id("a"))), "Unavailable");
}

#[test]
fn whatever_lie_an_authority_tells_nothing_of_it_serves() {
    let ca = TestAuthority::start(&[id("a")]);
    let source = source(ca.channel(), PATIENCE);
    for lie in Lie::ALL {
        ca.behave(Behaviour::Lie(lie));
        let outcome = source.issue(&id("a"));
        let at_once = match lie {
            Lie::OtherIdentity | Lie::OtherDomain => {
                matches!(outcome, Err(FetchError::Answer(AnswerError::OtherIdentity { .. })))
            }
            Lie::OtherKey => matches!(outcome, Err(FetchError::Answer(AnswerError::Key))),
            Lie::TwoNames | Lie::Authority => {
                matches!(outcome, Err(FetchError::Answer(AnswerError::Leaf(_))))
            }
            Lie::Truncated | Lie::Nothing => matches!(outcome, Err(FetchError::Answer(AnswerError::NoRoot))),
            Lie::Junk => matches!(outcome, Err(FetchError::Answer(AnswerError::Pem { index: 0 }))),
            // Times and signatures are judged where credentials are made.
            Lie::Expired | Lie::NoIntermediate => outcome.is_ok(),
        };
        assert!(at_once, "{lie:?}: {outcome:?}");
        assert!(outcome.map_err(|error| error.to_string()).and_then(|m| credential(&id("a"), m)).is_err());
    }
    ca.behave(Behaviour::Honest);
    assert!(source.issue(&id("a")).is_ok());
}

#[test]
fn a_service_that_hangs_or_is_gone_is_an_error_in_time_and_found_again() {
    let ca = TestAuthority::start(&[id("a")]);
    let patience = Duration::from_millis(500);
    let source = source(ca.channel(), patience);
    ca.behave(Behaviour::Hang);
    assert!(matches!(source.issue(&id("a")), Err(FetchError::Timeout(after)) if after == patience));
    ca.behave(Behaviour::Honest);
    assert!(source.issue(&id("a")).is_ok());
    drop(ca);
    assert!(matches!(source.issue(&id("a")), Err(FetchError::Connect(_) | FetchError::Refused { .. })));
}
