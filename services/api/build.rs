//! The dashboard is embedded from `client/dist`, which a fresh clone does not have: an empty folder lets it compile.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client/dist");
    std::fs::create_dir_all(&dist)?;
    // Files that are added later are embedded only if this crate is compiled again.
    println!("cargo::rerun-if-changed={}", dist.display());
    Ok(())
}
