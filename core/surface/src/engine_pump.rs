//! `culvert_core::engine::pump`.

use std::io::{IoSlice, Result};

use culvert_core::engine::Engine;
use culvert_core::engine::boundary::SocketId;
use culvert_core::engine::pump::{Budget, Readiness, Socket, pump};
use culvert_core::time::Now;

pub type BudgetIs = Budget;
const _: fn(usize) -> Budget = Budget::bytes;
pub fn fields_of_readiness(value: Readiness) -> (bool, bool, bool) {
    let Readiness { read_blocked, write_blocked, more } = value;
    (read_blocked, write_blocked, more)
}

/// What a driver implements.
pub struct Deaf;

impl Socket for Deaf {
    fn try_read(&mut self, _space: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize> {
        Ok(slices.len())
    }
}

const _: fn(&mut Engine, SocketId, Now, &mut Deaf, &mut Budget) -> Readiness = pump;
