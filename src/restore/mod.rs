//! What belongs to a restore itself: is it the right one, at the right point?

pub mod gate;
