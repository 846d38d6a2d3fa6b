//! Whole engines in a simulated world. Every test checks all laws of the world besides what its name says.

mod mesh;
mod relay;
mod window;
