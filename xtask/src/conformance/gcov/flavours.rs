//! The flags that programs are built with.

/// A set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flavour {
    pub(super) name: &'static str,
    /// For compiling and linking.
    pub(super) args: &'static [&'static str],
    /// What gcov is told beside.
    pub(super) gcov: &'static [&'static str],
    /// The first release that has them.
    pub(super) since: u32,
}

const fn flavour(name: &'static str, since: u32, args: &'static [&'static str]) -> Flavour {
    Flavour { name, args, since, gcov: &[] }
}

const CONDITIONS: &[&str] = &["--conditions"];

/// All sets; each comes after `--coverage`.
pub(super) const FLAVOURS: &[Flavour] = &[
    flavour("O0", 0, &["-O0"]),
    flavour("O2", 0, &["-O2"]),
    flavour("Og-fixed", 0, &["-Og", "-no-pie", "-fno-pie"]),
    flavour("atomic", 0, &["-O1", "-fprofile-update=atomic"]),
    flavour("lto", 0, &["-O2", "-flto"]),
    flavour("values", 0, &["-O2", "-fprofile-generate"]),
    Flavour { gcov: CONDITIONS, ..flavour("conditions", 14, &["-O0", "-fcondition-coverage"]) },
    Flavour { gcov: CONDITIONS, ..flavour("conditions-O2", 14, &["-O2", "-fcondition-coverage"]) },
    // gcov lists all paths of a function: the limit is for its sake.
    Flavour {
        gcov: &["--prime-paths"],
        ..flavour("paths", 15, &["-O0", "-fpath-coverage", "-fpath-coverage-limit=1000"])
    },
];
