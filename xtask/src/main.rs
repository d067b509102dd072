//! Set-up, run and test in one command each.

fn main() {}
