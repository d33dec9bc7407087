//! Tells the linker which scripts make this image. See the README one folder up for coverage.x.

fn main() {
    let here = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search={here}");
    println!("cargo::rustc-link-search={here}/..");
    // The precompiled core was made to unwind and names a personality; an image that aborts never calls it.
    let args = ["-Tlink.x", "-Tcoverage.x", "--build-id=sha1", "--nmagic", "--defsym=rust_eh_personality=0"];
    for arg in args {
        println!("cargo::rustc-link-arg={arg}");
    }
    for script in ["link.x", "../coverage.x"] {
        println!("cargo::rerun-if-changed={script}");
    }
}
