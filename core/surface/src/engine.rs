//! `culvert_core::engine`.

use culvert_core::capture::Local;
use culvert_core::engine::boundary::{Deadline, Input, Origin, Output, Slices, SocketId};
use culvert_core::engine::{Config, Engine};
use culvert_core::lies::Honest;
use culvert_core::limit::Limits;
use culvert_core::mesh::Snapshot;
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_core::time::Now;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;

pub fn fields_of_config(
    value: Config,
) -> (Limits, Arc<CryptoProvider>, Seed, Local, Compat, bool, bool, bool, bool) {
    let Config { limits, crypto, seed, local, compat, keep_source, bind_pod_address, join, response_baggage } =
        value;
    (limits, crypto, seed, local, compat, keep_source, bind_pod_address, join, response_baggage)
}
const _: fn(Arc<CryptoProvider>, Seed) -> Config = Config::new;
pub type EngineIs = Engine;
const _: fn(Config, Arc<Snapshot>, Now) -> Engine = Engine::new;
const _: fn(&mut Engine, Now, Origin) -> SocketId = Engine::accept;
const _: fn(&mut Engine, Now, Input) = Engine::handle_input;
const _: fn(&mut Engine) -> Option<Output> = Engine::poll_output;
const _: fn(&Engine) -> Option<Deadline> = Engine::next_deadline;
const _: for<'a> fn(&'a mut Engine, SocketId) -> &'a mut [u8] = Engine::read_space;
const _: for<'a> fn(&'a mut Engine, SocketId, &mut Slices<'a>) = Engine::write_slices;
const _: fn(&Engine) -> usize = Engine::connections;
const _: fn(&Engine) -> usize = Engine::tunnels;
const _: fn(&Engine) -> usize = Engine::held_bytes;
// The parameter that only tests set to anything else.
const _: fn(Config, Arc<Snapshot>, Now, Honest) -> Engine<Honest> = Engine::lying;
