//! The words of the trade as types. No I/O, no async, no terminal.
//!
//! [`schema`] names the site's tables, [`value`] what stands in their columns, [`event`] what the log says of a row,
//! [`finding`] what a scan finds, [`case`] what a person decides, [`paper`] what takes two
//! people, [`mask`] what of it is personal, [`preflight`] whether a
//! restore may work, [`phase`] and [`restoring`] how far it is, [`gate`] whether it is the right one, [`back`] what came back with it.

pub mod back;
pub mod case;
pub mod cluster;
pub mod deadline;
pub mod error;
pub mod event;
pub mod finding;
pub mod gate;
pub mod hold;
pub mod mask;
pub mod old;
pub mod org;
pub mod paper;
pub mod phase;
pub mod preflight;
pub mod progress;
pub mod queue;
pub mod ready;
pub mod restoring;
pub mod schema;
pub mod time;
pub mod value;

pub use error::{Error, ErrorKind, Result};
