//! Where things are in the checkout.

use std::path::{Path, PathBuf};

/// The checkout's root, absolute.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Where xtask installs the tools that the machine lacks and no system package has.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The browser client.
pub(crate) fn client() -> PathBuf {
    root().join("client")
}

/// The examples, among them the programs that their tasks run.
pub(crate) fn examples() -> PathBuf {
    root().join("examples")
}
