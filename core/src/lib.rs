//! Culvert's core: every decision of an ambient mesh's node proxy as a deterministic state machine, without I/O.
//!
//! It captures what workloads dial, carries it through HBONE tunnels (HTTP/2 CONNECT in mutual TLS 1.3) under SPIFFE
//! identities, judges what arrives by L4 policy, and relays bytes: without a socket, a clock, a thread, a runtime or a random
//! number of its own. Whoever embeds it, a node proxy, a gateway or one application, brings those. The same code runs in
//! production and in the simulator.
//!
//! # The model
//!
//! An [`Engine`](engine::Engine) is one worker's share of a node. A *driver* owns sockets and clocks; it tells the engine what
//! happened and does what it answers with:
//!
//! ```text
//!                 Input, accept ─────►  ┌────────┐
//!   driver                              │ Engine │   read_space, write_slices: memory lent for one system call
//!                 ◄───────────  Output  └────────┘   next_deadline: when to come back at the latest
//! ```
//!
//! - A **pod** ([`PodId`](engine::boundary::PodId)) is a workload that this process serves. What may be known of it, of others,
//!   of services and of policies is one immutable [`Snapshot`](mesh::Snapshot); a change is a new one
//!   ([`Input::Apply`](engine::boundary::Input::Apply)).
//! - A **socket** ([`SocketId`](engine::boundary::SocketId)) is a stream of bytes that the driver moves. The engine names it,
//!   in the answer to [`accept`](engine::Engine::accept) or in [`Output::Connect`](engine::boundary::Output::Connect). Some
//!   carry an application's bytes, some a tunnel; the driver need not know which.
//! - A socket need not be the kernel's: an application that lives in the driver's process is a *consumer*. What is permitted
//!   to reach it comes as [`Output::Deliver`](engine::boundary::Output::Deliver); what it opens is an `accept` with
//!   [`Listener::Consumer`](engine::boundary::Listener::Consumer).
//! - **Credentials** are asked for by identity ([`Output::NeedCredential`](engine::boundary::Output::NeedCredential)), never
//!   assumed, and only for workloads of this process.
//!
//! # The loop
//!
//! 1. Make an engine, and tell it the pods ([`Input::PodAdded`](engine::boundary::Input::PodAdded)).
//! 2. Take every [`Output`](engine::boundary::Output) and do it; some are answered by an `Input`, which makes more outputs.
//! 3. Let [`pump`](engine::pump::pump) read and write each socket that is ready and in which the engine has an
//!    [`Interest`](engine::boundary::Interest).
//! 4. Accept what listeners have.
//! 5. Wait for readiness, at most until [`next_deadline`](engine::Engine::next_deadline); when that has come, send
//!    [`Input::Tick`](engine::boundary::Input::Tick). Go to 2.
//!
//! The whole of it, with a pipe in place of sockets. The application here dials an address that is no workload, so its bytes go
//! as they are:
//!
//! ```
//! use std::collections::{BTreeMap, VecDeque};
//! use std::io::{self, IoSlice};
//! use std::sync::Arc;
//!
//! use culvert_core::engine::boundary::{Input, Listener, Origin, Output, PodId, SocketId, WorkloadRef};
//! use culvert_core::engine::pump::{Budget, Socket, pump};
//! use culvert_core::engine::{Config, Engine};
//! use culvert_core::mesh::{Delta, Snapshot, Workload, WorkloadSpec};
//! use culvert_core::seed::Seed;
//! use culvert_core::time::{Now, Time, WallTime};
//!
//! /// A driver's end of a socket: what came in, and what went out.
//! #[derive(Default)]
//! struct Pipe {
//!     came: VecDeque<u8>,
//!     went: Vec<u8>,
//! }
//!
//! impl Socket for Pipe {
//!     fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
//!         if self.came.is_empty() {
//!             return Err(io::ErrorKind::WouldBlock.into());
//!         }
//!         io::Read::read(&mut self.came, space)
//!     }
//!     fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
//!         io::Write::write_vectored(&mut self.went, slices)
//!     }
//! }
//!
//! /// Steps 2 and 3, until nothing is left to do.
//! fn turn(engine: &mut Engine, sockets: &mut BTreeMap<SocketId, Pipe>, now: Now) {
//!     let mut ready = Vec::new();
//!     loop {
//!         while let Some(output) = engine.poll_output() {
//!             match output {
//!                 Output::Connect { socket, target, .. } => {
//!                     sockets.insert(socket, Pipe::default());
//!                     engine.handle_input(now, Input::Connected { socket, local: target });
//!                 }
//!                 Output::Interest { socket, interest } if interest.read || interest.write => ready.push(socket),
//!                 Output::Close { socket, .. } => drop(sockets.remove(&socket)),
//!                 Output::Report(event) => println!("{event:?}"),
//!                 // Half-closes, relays in the kernel, deliveries, credentials.
//!                 _ => {}
//!             }
//!         }
//!         let Some(socket) = ready.pop() else { return };
//!         if let Some(pipe) = sockets.get_mut(&socket) {
//!             pump(engine, socket, now, pipe, &mut Budget::bytes(1 << 20));
//!         }
//!     }
//! }
//!
//! // The facts: one workload.
//! let spec = WorkloadSpec {
//!     uid: "example//Pod/default/app".into(),
//!     name: "app".into(),
//!     namespace: "default".into(),
//!     service_account: "app".into(),
//!     workload_ips: vec!["10.0.0.1".parse()?],
//!     ..WorkloadSpec::default()
//! };
//! let mut facts = Delta::new();
//! facts.upsert_workload(Workload::try_from(spec)?);
//! let (snapshot, _changed) = Snapshot::new().apply(facts);
//!
//! // Step 1. Production takes the seed from the operating system, and both clocks, too.
//! let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! let now = Now { time: Time::START, wall: WallTime::from_unix_secs(1_800_000_000) };
//! let mut engine = Engine::new(Config::new(crypto, Seed::new([7; 32])), Arc::new(snapshot), now);
//! let workload = WorkloadRef { namespace: "default".into(), name: "app".into(), service_account: "app".into() };
//! engine.handle_input(now, Input::PodAdded { pod: PodId(1), workload, consumer: true });
//!
//! // Step 4: the application, a consumer in this process, dials.
//! let target = "203.0.113.9:80".parse()?;
//! let mut sockets = BTreeMap::new();
//! let near = engine.accept(now, Origin {
//!     pod: PodId(1),
//!     listener: Listener::Consumer,
//!     peer: "10.0.0.1:40000".parse()?,
//!     local: target,
//!     original: Some(target),
//! });
//! sockets.insert(near, Pipe { came: b"hello".to_vec().into(), went: Vec::new() });
//! turn(&mut engine, &mut sockets, now);
//!
//! let far = sockets.iter().find(|(socket, _)| **socket != near).map(|(_, pipe)| &pipe.went[..]);
//! assert_eq!(far, Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/embed_blocking` in the repository is the same with real sockets, tunnels and credentials, on one thread with
//! `poll(2)`; `docs/embedding.md` is the guide to it.
//!
//! # The laws
//!
//! What a driver can rely on. Unit tests, simulated worlds and fuzz targets hold each of them.
//!
//! - **Total.** No input panics or fails, whatever a peer or a driver says. A stale id is normal after a close race, and is
//!   ignored. What only a driver's mistake can explain is reported as [`Event::Misuse`](telemetry::Event::Misuse).
//! - **No drain contract.** `handle_input` and `poll_output` may be interleaved in any way: the bytes of every socket, all
//!   outputs but `Interest`, and the last interest are the same.
//! - **Every socket is closed.** Each id that the engine gave out ends in one
//!   [`Output::Close`](engine::boundary::Output::Close); each connection in one [`Event::Closed`](telemetry::Event::Closed).
//! - **Bytes are a prefix.** What leaves a connection is a prefix of what entered it. FIN is passed on only where it was sent and
//!   every byte before it was taken; whatever else ends a connection is a reset at both ends.
//! - **Fail closed.** No byte of a connection moves before policy permits it, nor after a change that denies it. Unknown facts
//!   are waited for, with a deadline, then refused.
//! - **Deterministic.** The same inputs give the same outputs and bytes, in every process and build. (TLS draws from the
//!   provider: its randomness is an input, too.)
//! - **Bounded.** Every queue has a limit in [`Limits`](limit::Limits), and every phase a deadline.
//!
//! # Time, three times
//!
//! [`Time`](time::Time) counts nanoseconds of a clock that never runs backwards; deadlines are on it. If it does run backwards,
//! the engine's stands still. [`WallTime`](time::WallTime) is seconds since 1970 and may jump; certificates are judged by it, and
//! nothing waits on it. The two come together, as [`Now`](time::Now), with every call; the third time, how long something took, is
//! the driver's to measure. A late [`Input::Tick`](engine::boundary::Input::Tick) makes deadlines late and nothing else wrong.
//!
//! # Why `&mut self`
//!
//! An engine is single-threaded: no lock, no atomic, no order that depends on a scheduler. A node scales by workers, each an
//! engine on its thread, with the same snapshot and tunnels of its own. [`next_deadline`](engine::Engine::next_deadline) and the
//! counters are `&self`: asking changes nothing. [`write_slices`](engine::Engine::write_slices) is not, because bytes are encrypted
//! when they are about to be written, so that small writes share a TLS record.
//!
//! # Memory
//!
//! Memory is the engine's, lent for one system call and valid until the next `&mut` call: read into
//! [`read_space`](engine::Engine::read_space), then [`Input::Read`](engine::boundary::Input::Read); write what
//! [`write_slices`](engine::Engine::write_slices) gives, then [`Input::Wrote`](engine::boundary::Input::Wrote). Empty space
//! means: stop reading. That is how a reader that stalls holds back its sender, and nobody else. Each queue and window has its
//! limit; together, above [`Limits::memory_low`](limit::Limits::memory_low) windows shrink, and above
//! [`Limits::memory_max`](limit::Limits::memory_max) connections are refused.
//!
//! # Modules
//!
//! [`engine`] is what a driver needs, with [`mesh`], [`identity`], [`time`], [`seed`], [`limit`], [`fault`] and [`telemetry`]
//! for what it passes in and gets out; [`compliance`] makes the cryptography keep a rule. [`capture`], [`policy`],
//! [`hbone::connect`] and [`proxy_protocol`] are pure functions that are useful alone. Internal, and public for this
//! workspace's tests only: [`hbone::mux`], [`hbone::tunnel`], [`hbone::pool`], [`identity::svid`], [`lies`], [`tls`] and
//! [`worklist`].
//!
//! Of other crates' types the interface has those of cryptography that are injected: rustls's `CryptoProvider` and the keys that
//! it understands.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// Does what is wrong where the process has this bug: a statement, or another value for a variable.
#[cfg(culvert_bugs)]
macro_rules! planted {
    ($bug:ident => $($act:tt)*) => {
        if crate::planted::is(crate::planted::Bug::$bug) {
            $($act)*;
        }
    };
    ($bug:ident, $name:ident = $wrong:expr) => {
        let $name = if crate::planted::is(crate::planted::Bug::$bug) { $wrong } else { $name };
    };
}
/// Nothing, but in builds with `--cfg culvert_bugs`.
#[cfg(not(culvert_bugs))]
macro_rules! planted {
    ($($wrong:tt)*) => {};
}

pub mod balance;
mod btree;
pub mod capture;
pub mod compliance;
pub mod engine;
pub mod fault;
pub mod hbone;
pub mod identity;
pub mod lies;
pub mod limit;
pub mod mesh;
pub mod planted;
pub mod policy;
pub mod proxy_protocol;
pub mod seed;
mod slots;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod worklist;
pub mod xds;
