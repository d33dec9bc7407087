//! Cases that were run to their end, and how many of them are as they should be.

use anyhow::Result;

use super::kept::{self, Kept};

/// What can be run.
pub(super) trait Named {
    /// What may differ in such a case.
    const KEPT: &'static [Kept];

    fn name(&self) -> String;
}

/// What came of a case.
pub(super) trait Compared {
    /// Of each difference, what differs.
    fn differing(&self) -> impl Iterator<Item = &'static str>;
}

/// A case that was run to its end.
pub(super) struct Ended<C, F> {
    pub(super) case: C,
    pub(super) found: Result<F>,
}

impl<C: Named, F: Compared> Ended<C, F> {
    pub(super) fn new(case: C, found: Result<F>) -> Self {
        Self { case, found }
    }

    pub(super) fn is_equal(&self) -> bool {
        self.found.as_ref().is_ok_and(|found| found.differing().next().is_none())
    }

    /// Whether all that differs is kept on purpose.
    fn is_as_expected(&self) -> bool {
        let name = self.case.name();
        let is_kept = |what| kept::reason(C::KEPT, &name, what).is_some();
        self.found.as_ref().is_ok_and(|found| found.differing().all(is_kept))
    }
}

/// How cases ended, in the order that they are shown in.
pub(super) struct Table<'t, C, F>(pub(super) &'t [Ended<C, F>]);

impl<'t, C: Named, F: Compared> Table<'t, C, F> {
    pub(super) fn new(ended: &'t [Ended<C, F>]) -> Self {
        Self(ended)
    }

    pub(super) fn run(&self) -> usize {
        self.0.len()
    }

    pub(super) fn equal(&self) -> usize {
        self.0.iter().filter(|ended| ended.is_equal()).count()
    }

    pub(super) fn kept(&self) -> usize {
        self.0.iter().filter(|ended| !ended.is_equal() && ended.is_as_expected()).count()
    }

    pub(super) fn is_as_expected(&self) -> bool {
        self.0.iter().all(Ended::is_as_expected)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    struct Case(&'static str);

    impl Named for Case {
        const KEPT: &'static [Kept] = &[Kept { case: &["odd"], what: "lines", reason: "it is odd" }];

        fn name(&self) -> String {
            self.0.to_owned()
        }
    }

    impl Compared for &'static [&'static str] {
        fn differing(&self) -> impl Iterator<Item = &'static str> {
            self.iter().copied()
        }
    }

    #[test]
    fn only_what_is_kept_may_differ() {
        let ended = |name, found: &'static [&'static str]| Ended::new(Case(name), Ok(found));
        let fine = [ended("a", &[]), ended("odd one", &["lines", "lines"])];
        let table = Table::new(&fine);
        assert_eq!((table.run(), table.equal(), table.kept(), table.is_as_expected()), (2, 1, 1, true));
        for wrong in [
            ended("a", &["lines"]),
            ended("odd one", &["lines", "branches"]),
            Ended::new(Case("odd"), Err(anyhow!("it was not built"))),
        ] {
            let wrong = [wrong];
            let table = Table::new(&wrong);
            assert_eq!((table.equal(), table.kept(), table.is_as_expected()), (0, 0, false));
        }
    }
}
