//! What belongs to a restore itself: is it the right one, at the right point, what came back with it,
//! and what waits in the hold?

pub mod back;
pub mod gate;
pub mod hold;
