//! What a coverage mapping consists of: counters, the expressions they form, and regions of source.

/// A place in a source file. Lines and columns count from 1; [`LineCol::END_OF_LINE`] is the column behind the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LineCol {
    /// The line.
    pub line: u32,
    /// The column, in bytes.
    pub col: u32,
}

impl LineCol {
    /// The column that stands for the end of a line of unknown length.
    pub const END_OF_LINE: u32 = u32::MAX;
}

/// Where a region's count comes from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Counter {
    /// Nowhere: it never runs, or it does not count.
    #[default]
    Zero,
    /// The function's counter of that index.
    Reference(u32),
    /// The function's expression of that index.
    Expression(u32),
}

/// How an expression combines its sides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Operator {
    /// Left minus right.
    #[default]
    Subtract,
    /// Left plus right.
    Add,
}

/// Two counters, combined.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Expression {
    /// How.
    pub operator: Operator,
    /// The left side.
    pub lhs: Counter,
    /// The right side.
    pub rhs: Counter,
}

/// What a region is, in the order of LLVM's `CounterMappingRegion::RegionKind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    /// Code that runs as often as the region's count says.
    Code,
    /// A macro or an include, whose text is the function's file of that index.
    Expansion {
        /// Index into [`MappedFunction::files`](super::MappedFunction::files).
        file: u32,
    },
    /// What the preprocessor left out.
    Skipped,
    /// Blanks between code, which count only on lines that have nothing else.
    Gap,
    /// A condition: how often it was true, and how often false.
    Branch,
    /// A decision of several conditions, for MC/DC.
    McdcDecision {
        /// Where its test vectors are in the function's bitmap; what unit this is in differs between LLVM 18 and
        /// 19.
        bitmap_index: u32,
        /// How many conditions it has.
        num_conditions: u16,
    },
    /// A condition of a decision, for MC/DC.
    McdcBranch {
        /// Its number in the decision, from 0.
        condition: u16,
        /// The condition that is looked at next if this one is false; `None` where the decision is made.
        next_if_false: Option<u16>,
        /// The same if it is true.
        next_if_true: Option<u16>,
    },
}

impl RegionKind {
    /// Whether it is a condition rather than code.
    #[must_use]
    pub fn is_branch(self) -> bool {
        matches!(self, Self::Branch | Self::McdcBranch { .. })
    }

    /// LLVM's number of the kind, by which it sorts regions of the same extent.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Code => 0,
            Self::Expansion { .. } => 1,
            Self::Skipped => 2,
            Self::Gap => 3,
            Self::Branch => 4,
            Self::McdcDecision { .. } => 5,
            Self::McdcBranch { .. } => 6,
        }
    }
}

/// A stretch of source and its counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// What it is.
    pub kind: RegionKind,
    /// How often it ran; for branches, how often it was true.
    pub count: Counter,
    /// For branches: how often it was false.
    pub false_count: Counter,
    /// Index into [`MappedFunction::files`](super::MappedFunction::files).
    pub file: u32,
    /// Where it begins.
    pub start: LineCol,
    /// Where it ends: behind its last column.
    pub end: LineCol,
}
