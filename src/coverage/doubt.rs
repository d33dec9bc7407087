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
    /// It as a line of text; `shown` gives functions' names as they are to be shown.
    pub fn line(&self, shown: impl Fn(&[u8]) -> String) -> String {
        let Self { unit, name, reason } = self;
        match reason {
            DoubtReason::LowerBound { .. } => format!("{unit} {reason}"),
            _ if name.is_empty() => format!("a function of {unit} {reason}"),
            _ => format!("{} of {unit} {reason}", shown(name)),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_meant_where_no_name_is_known() {
        let line = |name: &[u8], reason| {
            let doubt = Doubt { unit: "u.gcda".to_owned(), name: name.to_vec(), reason };
            doubt.line(|name| format!("<{}>", name.escape_ascii()))
        };
        let left_out = || DoubtReason::Mismatch(MismatchReason::Ident(7));
        assert!(line(b"f", left_out()).starts_with("<f> of u.gcda is left out: "));
        assert!(line(b"", left_out()).starts_with("a function of u.gcda is left out: "));
        assert!(line(b"", DoubtReason::LowerBound { lines: 2 }).starts_with("u.gcda has lower bounds"));
    }
}
