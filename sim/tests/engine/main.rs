//! Whole engines in a simulated world. Every test checks all laws of the world besides what its name says.

mod abort;
mod arrival;
mod attacker;
mod consumer;
mod control;
mod demand;
mod dial;
mod ending;
mod endpoint;
mod gateway;
mod interest;
mod liar;
mod memory;
mod mesh;
mod name;
mod outage;
mod policy;
mod relay;
mod restart;
mod swarm;
mod sweep;
mod trust;
mod tunnel;
mod waypoint;
mod window;
