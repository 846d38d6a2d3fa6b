//! What the fuzz targets share: how an input is read, generated facts, the memory that a run takes, and what an engine is driven
//! with.

pub mod driver;
pub mod facts;
pub mod far;
pub mod input;
pub mod memory;
pub mod peers;
pub mod world;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
