//! A node whose certificates come from the service, while that fails in every way.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_linux::consumer::backlog;
use culvert_linux::node::{NodeConfig, PodConfig};
use culvert_spec_tests::authority::{Behaviour, Lie, TestAuthority};
use culvert_spec_tests::testbed::{Address, Mesh, PATIENCE, Runtime};

use crate::istio::{id, source};

#[test]
fn a_node_keeps_its_certificate_while_the_service_lies_hangs_and_dies() {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip);
    let ca = TestAuthority::start(&[id("client")]);
    let (consumer, _incoming) = backlog(1);
    let workload = WorkloadRef::new("default", "client", "client");
    let pod = PodConfig::in_process(&mesh.snapshot(), workload, consumer).unwrap();
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = NodeConfig::new(vec![pod], crypto, source(ca.channel(), Duration::from_secs(1)));
    let (tell, faults) = channel();
    config.on_credential_fault = Arc::new(move |_, why| tell.send(why.to_owned()).unwrap_or_default());
    let node = Runtime::Tokio.start(config, mesh.snapshot()).unwrap();
    // The first is there once there is one to renew.
    while ca.asked().len() < 2 {
        assert!(faults.try_recv().is_err(), "an honest authority fails");
        node.renew_credentials().wait();
    }
    let fault = || faults.recv_timeout(PATIENCE).unwrap();
    for lie in Lie::ALL {
        ca.behave(Behaviour::Lie(lie));
        // It is told of, and the renewal is over: nothing came into force.
        node.renew_credentials().wait();
        assert!(!fault().is_empty(), "{lie:?}");
    }
    ca.behave(Behaviour::Hang);
    node.renew_credentials().wait();
    assert!(fault().contains("no answer within 1 s"));
    drop(ca);
    node.renew_credentials().wait();
    assert!(!fault().is_empty());
}
