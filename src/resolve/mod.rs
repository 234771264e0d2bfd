//! What may be decided now, what a person must do for it, and whether it came true.
//!
//! [`guards`] is the menu of verbs with the reason beside each that cannot be used, [`rules`] those reasons, [`steps`] the to-do behind a verb.
//! All are pure: they are told everything. [`prove`] reads the restored database again.

pub mod bulk;
pub mod effects;
pub mod guards;
pub mod prove;
pub mod rules;
pub mod steps;
mod verdict;

#[cfg(test)]
mod tests;
