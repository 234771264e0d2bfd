//! The panes: one file, one question each.

pub mod case;
pub mod queue;
pub mod timeline;
pub mod value;
