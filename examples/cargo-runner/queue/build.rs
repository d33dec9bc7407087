//! Tells the linker which scripts make the test programs' images: those of the guest ../../guests/x86-pvh.

fn main() {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests");
    println!("cargo::rustc-link-search={guests}/x86-pvh");
    println!("cargo::rustc-link-search={guests}");
    // The precompiled core was made to unwind and names a personality; an image that aborts never calls it.
    let args = ["-Tlink.x", "-Tcoverage.x", "--build-id=sha1", "--nmagic", "--defsym=rust_eh_personality=0"];
    for arg in args {
        println!("cargo::rustc-link-arg-tests={arg}");
    }
    for script in ["x86-pvh/link.x", "coverage.x"] {
        println!("cargo::rerun-if-changed={guests}/{script}");
    }
}
