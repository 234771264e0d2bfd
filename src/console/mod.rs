//! The terminal program. A pure heart and a thin runtime around it:
//!
//! ```text
//!  keys, time, data ──▶ Msg ──▶ update(&mut Model, Msg) -> Vec<Effect> ──▶ executor ──▶ Msg …
//!                                     │
//!                                     ▼
//!                        view(&Model, &Theme, &mut Frame)
//! ```
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`model`] | everything the console knows |
//! | [`msg`], [`effect`] | everything that can happen to it, and that it asks for |
//! | [`mod@update`] | what a message changes |
//! | [`mod@view`], [`pane`], [`widget`], `overlay` | how it looks |
//! | [`command`], [`keymap`] | the one table of commands, and their keys |
//! | [`runtime`] | the loop, and the workers behind it |
//! | [`term`] | the terminal: taken, watched, and given back on every way out |

pub mod command;
pub mod effect;
#[cfg(test)]
pub(crate) mod fixture;
pub mod keymap;
pub mod model;
pub mod msg;
mod overlay;
pub mod pane;
pub mod runtime;
pub mod term;
pub mod update;
pub mod view;
pub mod widget;

pub use effect::Effect;
pub use model::{Model, Setup};
pub use msg::Msg;
pub use runtime::{Ended, Options, run};
pub use update::{start, update};
pub use view::view;
