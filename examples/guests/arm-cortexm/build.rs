//! Tells the linker which scripts make this image. See the README one folder up for coverage.x.

fn main() {
    let here = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search={here}");
    println!("cargo::rustc-link-search={here}/..");
    for arg in ["-Tlink.x", "-Tbuild-id.x", "-Tcoverage.x", "--build-id=sha1", "--nmagic"] {
        println!("cargo::rustc-link-arg={arg}");
    }
    for script in ["memory.x", "build-id.x", "../coverage.x"] {
        println!("cargo::rerun-if-changed={script}");
    }
}
