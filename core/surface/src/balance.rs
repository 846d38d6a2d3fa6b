//! `culvert_core::balance`.

use culvert_core::balance::{Observed, Seen};
use culvert_core::mesh::Uid;
use culvert_core::time::Time;

pub type ObservedIs = Observed;
pub fn fields_of_seen(value: Seen<'_>) -> (Option<&Observed>, Time, Option<&Uid>) {
    let Seen { observed, now, avoid } = value;
    (observed, now, avoid)
}
