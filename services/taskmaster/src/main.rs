//! The taskmaster executable: argument parsing and wiring, the command line client, up.

fn main() {}
