//! What is not to be relied on in what gcov counted.

use super::gcov::{Incoherence, MismatchReason, UnitCoverage};

/// A function of a unit whose counters are not used, or not to be relied on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The unit, as whoever added it calls it.
    pub unit: String,
    /// The function's name; empty if the notes have none of its ident, or where many functions are meant.
    pub name: Vec<u8>,
    /// Why.
    pub reason: DoubtReason,
}

/// Why counters are not used, or not to be relied on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DoubtReason {
    /// They are those of another compile; the function is in no file.
    #[error("is left out: its counters are of another compile: {0}")]
    Mismatch(MismatchReason),
    /// No run can have left them; its counts are near the truth at best.
    #[error("has counts that no run can have left: {0}")]
    Incoherent(Incoherence),
    /// Lines of a source run round loops that are too many to be searched; their counts are lower bounds.
    #[error("has lower bounds for the counts of {lines} lines: too many loops are on each")]
    LowerBound {
        /// How many lines.
        lines: usize,
    },
}

impl Doubt {
    /// All of a unit.
    pub(super) fn all(name: &str, unit: &UnitCoverage) -> impl Iterator<Item = Self> {
        let doubt = |name_of: &[u8], reason| Self { unit: name.to_owned(), name: name_of.to_vec(), reason };
        let mismatches = unit.mismatches.iter().map(move |mismatch| {
            doubt(mismatch.name.as_deref().unwrap_or_default(), DoubtReason::Mismatch(mismatch.reason))
        });
        let incoherent = unit.incoherent.iter().filter(|(_, why)| why.is_certain());
        let incoherent = incoherent.map(move |(name, why)| doubt(name, DoubtReason::Incoherent(*why)));
        let cut = unit.sources.iter().flat_map(|source| &source.lines).filter(|line| line.is_cut);
        let lines = Some(cut.count()).filter(|lines| *lines > 0);
        let cut = lines.map(|lines| doubt(b"", DoubtReason::LowerBound { lines }));
        mismatches.chain(incoherent).chain(cut)
    }
}
