//! What is billed is what the kernel counted, to the second and the byte: real control groups, cables and kills.

mod collector;
mod shares;
mod soak;
mod tenants;
mod veth;
mod wires;
