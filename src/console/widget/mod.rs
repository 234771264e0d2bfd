//! What all panes draw with. Nothing here can draw outside its area, whatever the size.

pub mod pen;
#[cfg(test)]
pub(crate) mod snapshot;
pub mod strip;

pub use pen::Pen;
pub use strip::{Strip, blank, blocks, rules, typed};
