//! Ways to build one program, and what is to be said about each.

/// A way to compile and link, and what there is to say about it besides the instrumentation's level.
pub(crate) struct Build {
    pub(crate) flags: &'static str,
    pub(crate) link: &'static str,
    pub(crate) level: Option<&'static str>,
    pub(crate) codes: &'static [&'static str],
}

pub(crate) const BUILDS: [Build; 10] = [
    Build {
        flags: "",
        link: "-pie --build-id=sha1",
        level: Some("front-end"),
        codes: &["position-independent", "counters-in-image", "metadata-loaded"],
    },
    Build {
        flags: "-fprofile-generate -fno-profile-instr-generate -fno-coverage-mapping",
        link: "--build-id=sha1",
        level: Some("ir"),
        codes: &[
            "value-sites-not-read",
            "stored-after-loops",
            "no-mapping",
            "counters-in-image",
            "values-loaded",
            "metadata-loaded",
        ],
    },
    Build {
        flags: "-fprofile-generate -mllvm -disable-vp -fno-profile-instr-generate -fno-coverage-mapping",
        link: "--build-id=sha1",
        level: Some("ir"),
        codes: &["stored-after-loops", "no-mapping", "counters-in-image", "metadata-loaded"],
    },
    Build {
        flags: "-mllvm -enable-single-byte-coverage",
        link: "--build-id=sha1",
        level: Some("front-end"),
        codes: &["metadata-loaded"],
    },
    Build {
        flags: "-mllvm -profile-correlate=binary",
        link: "",
        level: Some("front-end"),
        codes: &["no-build-id", "counters-in-image"],
    },
    Build {
        flags: "-g -mllvm -profile-correlate=debug-info",
        link: "",
        level: Some("front-end"),
        codes: &["no-build-id", "counters-in-image"],
    },
    Build {
        flags: "-g -gsplit-dwarf -mllvm -profile-correlate=debug-info",
        link: "",
        level: None,
        codes: &["split-debug-info"],
    },
    Build { flags: "-mllvm -profile-correlate=debug-info", link: "", level: None, codes: &["no-data"] },
    Build {
        flags: "-mllvm -runtime-counter-relocation",
        link: "--build-id=sha1",
        level: Some("front-end"),
        codes: &["runtime-relocation", "counters-in-image", "metadata-loaded"],
    },
    Build {
        flags: "--coverage -fno-profile-instr-generate -fno-coverage-mapping",
        link: "",
        level: None,
        codes: &["gcov"],
    },
];
