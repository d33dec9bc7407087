//! Differences that are kept on purpose.

/// A difference that stays, and why.
#[derive(Debug)]
pub(super) struct Kept {
    /// Texts that the case's name contains, all of them.
    pub(super) case: &'static [&'static str],
    /// The report that differs.
    pub(super) report: &'static str,
    pub(super) reason: &'static str,
}

pub(super) const KEPT: &[Kept] = &[];

/// Why this report of this case may differ.
pub(super) fn reason(case: &str, report: &str) -> Option<&'static str> {
    let kept =
        KEPT.iter().find(|kept| kept.report == report && kept.case.iter().all(|text| case.contains(text)));
    kept.map(|kept| kept.reason)
}
