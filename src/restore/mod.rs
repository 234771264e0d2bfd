//! What belongs to a restore itself: is it the right one, at the right point, what came back with it, what waits in the
//! hold, and does the cluster come back?

pub mod back;
pub mod clocks;
pub mod cluster;
pub mod gate;
pub mod hold;
pub mod old;
pub mod org;
pub mod rds;
pub mod ready;
