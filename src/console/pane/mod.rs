//! The panes: one file, one question each.

pub mod board;
pub mod case;
pub mod diff;
pub mod hold;
pub mod preview;
pub mod queue;
pub mod restore;
pub mod timeline;
pub mod value;
