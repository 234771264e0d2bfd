//! What belongs to a restore itself: is it the right one, at the right point, and what came back with it?

pub mod back;
pub mod gate;
