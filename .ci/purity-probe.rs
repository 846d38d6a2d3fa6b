//! A shared object of culvert-core, all that it depends on, and what the standard library brings with them: `.ci/purity` reads what
//! it asks of the C library. With `cfg(baseline)` it is the standard library alone, allocating and panicking.
#![crate_type = "cdylib"]

/// What any program in Rust does.
#[unsafe(no_mangle)]
pub extern "Rust" fn baseline(words: &[&str]) -> String {
    assert!(!words.is_empty(), "nothing to join");
    let found: std::collections::BTreeMap<_, _> = words.iter().map(|word| (word.len(), word)).collect();
    let lock = std::sync::Mutex::new(format!("{found:?}"));
    lock.into_inner().expect("nobody else has it")
}

#[cfg(not(baseline))]
mod core {
    use std::sync::Arc;

    use culvert_core::engine::boundary::{Deadline, Input, Origin, Output, Slices, SocketId};
    use culvert_core::engine::pump::{Budget, Readiness, Socket, pump};
    use culvert_core::engine::{Config, Engine};
    use culvert_core::identity::{Credential, CredentialFault, Issued, TrustBundle, TrustBundleError};
    use culvert_core::mesh::{Changed, Delta, Snapshot};
    use culvert_core::time::{Now, WallTime};

    #[unsafe(no_mangle)]
    pub extern "Rust" fn make(config: Config, snapshot: Arc<Snapshot>, now: Now) -> Engine {
        Engine::new(config, snapshot, now)
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn accept(engine: &mut Engine, now: Now, origin: Origin) -> SocketId {
        engine.accept(now, origin)
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn handle(engine: &mut Engine, now: Now, input: Input) {
        engine.handle_input(now, input);
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn poll_engine(engine: &mut Engine) -> (Option<Output>, Option<Deadline>) {
        (engine.poll_output(), engine.next_deadline())
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn lend<'a>(engine: &'a mut Engine, socket: SocketId, into: &mut Slices<'a>) -> usize {
        let room = engine.read_space(socket).len();
        engine.write_slices(socket, into);
        room
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn count(engine: &Engine) -> usize {
        engine.connections() + engine.tunnels() + engine.held_bytes()
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn move_bytes(
        engine: &mut Engine,
        socket: SocketId,
        now: Now,
        pipe: &mut Pipe,
    ) -> Readiness {
        pump(engine, socket, now, pipe, &mut Budget::bytes(1))
    }

    /// Where bytes go and nothing comes from.
    pub struct Pipe;

    impl Socket for Pipe {
        fn try_read(&mut self, _space: &mut [u8]) -> std::io::Result<usize> {
            Ok(0)
        }

        fn try_write(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            Ok(slices.len())
        }
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn facts(snapshot: &Snapshot, delta: Delta) -> (Snapshot, Changed) {
        snapshot.apply(delta)
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn trust(pem: &[u8]) -> Result<TrustBundle, TrustBundleError> {
        TrustBundle::empty().with_roots_pem("cluster.local", pem)
    }

    #[unsafe(no_mangle)]
    pub extern "Rust" fn credential(
        issued: Issued,
        pem: &[u8],
        config: &Config,
        now: WallTime,
    ) -> Result<Credential, CredentialFault> {
        Credential::from_pem(issued, pem, pem, &config.crypto, now)
    }
}
