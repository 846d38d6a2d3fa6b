//! What the fuzz targets share: how an input is read, generated facts, and the memory that a run takes.

pub mod facts;
pub mod input;
pub mod memory;
pub mod peers;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
