//! Differences that are kept on purpose.

/// A difference that stays, and why.
#[derive(Debug)]
pub(super) struct Kept {
    /// Texts that the case's name contains, all of them.
    pub(super) case: &'static [&'static str],
    /// What differs.
    pub(super) what: &'static str,
    pub(super) reason: &'static str,
}

/// From LLVM's tools.
pub(super) const OF_LLVM: &[Kept] = &[];

/// From libgcov and gcov.
pub(super) const OF_GCOV: &[Kept] = &[Kept {
    case: &["paths", "C++ standard"],
    what: "paths",
    reason: "gcov looks for paths again, and finds one more than the compiler noted and gave bits to",
}];

/// Why this may differ in this case.
pub(super) fn reason(all: &[Kept], case: &str, what: &str) -> Option<&'static str> {
    let kept = all.iter().find(|kept| kept.what == what && kept.case.iter().all(|text| case.contains(text)));
    kept.map(|kept| kept.reason)
}
