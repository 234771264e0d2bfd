//! The configuration: layers, checks, and errors that name file, line and key.

mod types;

pub use types::*;
