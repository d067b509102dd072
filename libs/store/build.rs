//! Tells cargo of the SQL that is read at compile time: `query_file_scalar!` and a new migration go unnoticed otherwise.

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../../migrations");
}
