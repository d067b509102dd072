//! The whole space, and what is found in it when a rule is switched off.

mod broken;
mod whole;
