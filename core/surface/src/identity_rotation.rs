//! `culvert_core::identity::rotation`.

use culvert_core::engine::boundary::Deadline;
use culvert_core::identity::rotation::{Demand, FetchId, Input, Output, Rotation, RotationConfig, Validity};
use culvert_core::identity::{Credential, IdentityFault, SpiffeId};
use culvert_core::seed::Seed;
use culvert_core::time::{Now, WallTime};
use std::sync::Arc;
use std::time::Duration;

type Held = Arc<Credential>;

pub type FetchIdIs = FetchId;
pub fn cases_of_demand(value: Demand) -> &'static str {
    match value {
        Demand::Background => "Background",
        Demand::WarmUp => "WarmUp",
        Demand::RealTime => "RealTime",
    }
}
pub fn cases_of_input(value: Input<Held>) -> &'static str {
    match value {
        Input::Wanted { id, demand } => {
            let _: (SpiffeId, Demand) = (id, demand);
            "Wanted"
        }
        Input::Dropped { id } => {
            let _: SpiffeId = id;
            "Dropped"
        }
        Input::Fetched { id, fetch, outcome } => {
            let _: (SpiffeId, FetchId, Result<Held, IdentityFault>) = (id, fetch, outcome);
            "Fetched"
        }
        Input::Renew => "Renew",
        Input::Tick => "Tick",
    }
}
pub fn cases_of_output(value: Output<Held>) -> &'static str {
    match value {
        Output::Fetch { id, fetch, demand } => {
            let _: (SpiffeId, FetchId, Demand) = (id, fetch, demand);
            "Fetch"
        }
        Output::Serve { id, credential } => {
            let _: (SpiffeId, Held) = (id, credential);
            "Serve"
        }
        Output::Failed { id, fault, serving } => {
            let _: (SpiffeId, IdentityFault, bool) = (id, fault, serving);
            "Failed"
        }
        Output::Drop { id } => {
            let _: SpiffeId = id;
            "Drop"
        }
    }
}
pub fn fields_of_rotation_config(value: RotationConfig) -> (usize, Duration, Duration, Duration, Duration) {
    let RotationConfig { parallel, backoff, backoff_max, patience, insistence } = value;
    (parallel, backoff, backoff_max, patience, insistence)
}
pub struct Paper;
impl Validity for Paper {
    fn not_before(&self) -> WallTime {
        WallTime::default()
    }
    fn not_after(&self) -> WallTime {
        WallTime::default()
    }
}
const _: fn(RotationConfig, &Seed, Now) -> Rotation<Held> = Rotation::new;
const _: fn(&mut Rotation<Held>, Now, Input<Held>) = Rotation::handle_input;
const _: fn(&mut Rotation<Held>) -> Option<Output<Held>> = Rotation::poll_output;
const _: fn(&Rotation<Held>) -> Option<Deadline> = Rotation::next_deadline;
const _: for<'a> fn(&'a Rotation<Held>, &SpiffeId, WallTime) -> Option<&'a Held> = Rotation::serving;
const _: fn(&Rotation<Held>) -> usize = Rotation::fetching;

pub fn identities(rotation: &Rotation<Held>) -> impl Iterator<Item = &SpiffeId> {
    Rotation::identities(rotation)
}
