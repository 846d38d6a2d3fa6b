//! Authorities for tests, over real sockets: Istio's certificate service as it behaves, and as it must not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod issue;
mod service;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use culvert_channel::{ChannelConfig, Roots};
use culvert_core::identity::SpiffeId;
use rcgen::{CertifiedIssuer, KeyPair};
use tokio::sync::oneshot;

pub use issue::Lie;
use issue::authority;

/// The name that the service's certificate bears.
const NAME: &str = "istiod.istio-system.svc";

/// How an authority answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Honest,
    /// Never.
    Hang,
    /// With what must be refused.
    Lie(Lie),
    /// That it cannot.
    Refuse,
}

/// What the service goes by.
struct State {
    behaviour: Behaviour,
    /// Whom it believes.
    token: String,
    /// Whose pods run on the caller's node.
    on_node: Vec<SpiffeId>,
    root: Arc<CertifiedIssuer<'static, KeyPair>>,
    /// Who was asked for.
    asked: Vec<SpiffeId>,
    /// The longest life that it grants.
    longest: Duration,
}

/// An authority on a thread of its own; dropping it ends the service and its connections.
pub struct TestAuthority {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    tls_root: String,
    token: PathBuf,
    _directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestAuthority {
    /// Serves a node on which pods of these identities run.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(on_node: &[SpiffeId]) -> TestAuthority {
        TestAuthority::at("127.0.0.1:0".parse().unwrap(), on_node)
    }

    /// The same at an address: where one was that is gone.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn at(address: SocketAddr, on_node: &[SpiffeId]) -> TestAuthority {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        fs::write(&token, "token-of-the-node").unwrap();
        let state = Arc::new(Mutex::new(State {
            behaviour: Behaviour::Honest,
            token: "token-of-the-node".to_owned(),
            on_node: on_node.to_vec(),
            root: Arc::new(authority("root")),
            asked: Vec::new(),
            longest: Duration::from_secs(24 * 3600),
        }));
        let tls = authority("tls");
        let (stop, stopped) = oneshot::channel();
        let (address, thread) = service::run(address, &tls, state.clone(), stopped);
        let tls_root = tls.pem();
        let (stop, thread) = (Some(stop), Some(thread));
        TestAuthority { address, state, tls_root, token, _directory: directory, stop, thread }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the node reaches it, by its own token.
    pub fn channel(&self) -> ChannelConfig {
        let mut config = ChannelConfig::new(format!("https://{}", self.address));
        config.roots = Roots::Pem(self.tls_root.clone());
        config.alternative_hostname = Some(NAME.to_owned());
        config.token = Some(self.token.clone());
        config
    }

    /// Answers so from here on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().unwrap().behaviour = behaviour;
    }

    /// Grants no longer life than this from here on.
    pub fn grant(&self, longest: Duration) {
        self.state.lock().unwrap().longest = longest;
    }

    /// The token that callers show from here on, believed or not.
    pub fn write_token(&self, text: &str) {
        fs::write(&self.token, text).unwrap();
    }

    /// Who was asked for, in the order of the questions.
    pub fn asked(&self) -> Vec<SpiffeId> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The root that it issues by, in DER.
    pub fn root(&self) -> Vec<u8> {
        self.state.lock().unwrap().root.der().to_vec()
    }
}

impl Drop for TestAuthority {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
