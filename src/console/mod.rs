//! The terminal program.
pub mod term;
