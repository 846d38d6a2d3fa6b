//! What a case can be run on.

mod kernel;
mod world;

use culvert_linux::node::Node;
use culvert_mio::Mio;
use culvert_smol::Smol;
use culvert_tokio::Tokio;

use crate::case::{Case, History};
use crate::restless::Restless;
pub use kernel::Kernel;
use world::Simulated;

/// Something that a case can be run on.
pub trait Ground: Sync {
    /// Its name in the list that is printed.
    fn name(&self) -> &'static str;

    /// Runs a case to its end and tells what came of it.
    ///
    /// # Panics
    /// A byte is wrong, something that must happen does not, or a law of the simulator is broken.
    fn run(&self, case: &Case) -> History;
}

/// The simulator, and every runtime as it is.
pub const PLAIN: [&dyn Ground; 4] = [
    &Simulated,
    &Kernel { name: "tokio", start: culvert_tokio::start },
    &Kernel { name: "smol", start: culvert_smol::start },
    &Kernel { name: "mio", start: culvert_mio::start },
];

/// Every runtime, with what it tells made as bad as a runtime may be.
pub static RESTLESS: [Kernel; 3] = [
    Kernel { name: "restless tokio", start: Node::start::<Restless<Tokio>> },
    Kernel { name: "restless smol", start: Node::start::<Restless<Smol>> },
    Kernel { name: "restless mio", start: Node::start::<Restless<Mio>> },
];
