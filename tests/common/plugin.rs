//! QEMU's plugin.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use covtap_testbed as testbed;

/// The plugin, built as covtap was and beside it.
pub(crate) fn plugin() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let covtap = Path::new(env!("CARGO_BIN_EXE_covtap"));
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--package", "covtap-qemu-plugin"])
            .current_dir(testbed::workspace_root());
        if covtap.parent().is_some_and(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo starts").success());
        let plugin = covtap.with_file_name("libcovtap_qemu_plugin.so");
        assert!(plugin.is_file(), "{}", plugin.display());
        plugin
    })
}
