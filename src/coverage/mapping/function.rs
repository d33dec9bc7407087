//! The mapping of one function.
//!
//! ```text
//! mapping: | count | count times: index of a file in the unit |
//!          | count | count times: lhs, rhs |                     expressions, as counters
//!          | for each file: | count | count times: region |
//! counter: index << 2 | tag; tag 0 zero, 1 reference, 2 and 3 an expression that subtracts, that adds
//! region:  | counter, or kind | its fields | line delta | column | lines | column behind the end |
//! kind:    tag 0: file << 3 | 4 for an expansion, else number << 3
//! ```
//!
//! All numbers are ULEB128. Bit 31 of the last column marks a gap; columns 0 and 0 stand for whole lines.
//! Source: `RawCoverageMappingReader` in `llvm/lib/ProfileData/Coverage/CoverageMappingReader.cpp`,
//! llvmorg-19.1.7.
//!
//! What always holds: indices of files and expressions are in bounds, no region ends before it begins, none passes
//! [`MAX_LINE`], and expansions form trees: a file is expanded once, and not inside of itself.

use super::cursor::{Cursor, Fault};
use super::files::FileName;
use super::region::{Counter, Expression, LineCol, Operator, Region, RegionKind};

/// A line beyond this is taken for damage, as reports have an entry for each line: no compiler gets through a file
/// of four million lines.
const MAX_LINE: u32 = 1 << 22;

const TAG_BITS: u32 = 2;
const TAG_MASK: u32 = 3;
const EXPANSION_BIT: u32 = 1 << TAG_BITS;
const KIND_SHIFT: u32 = TAG_BITS + 1;
const GAP_BIT: u32 = 1 << 31;

/// What a mapping's bytes say.
#[derive(Default, Debug)]
pub(super) struct Body {
    pub(super) files: Vec<FileName>,
    pub(super) expressions: Vec<Expression>,
    pub(super) regions: Vec<Region>,
}

impl Body {
    /// Whether it is one region that nothing counts.
    pub(super) fn is_single_zero(&self) -> bool {
        let [region] = self.regions.as_slice() else { return false };
        let is_zero = region.count == Counter::Zero && !region.kind.is_branch();
        self.files.len() == 1 && self.expressions.is_empty() && is_zero
    }
}

/// Decodes the bytes behind a function's record; `unit` has the names of its unit.
pub(super) fn decode(cursor: &mut Cursor<'_>, unit: &[FileName]) -> Result<Body, Fault> {
    let num_files = cursor.count(1, "files")?;
    let mut files = Vec::with_capacity(num_files);
    for _ in 0..num_files {
        let at = cursor.clone();
        let index = cursor.uleb128()?;
        let name = usize::try_from(index).ok().and_then(|index| unit.get(index));
        let none = || at.fault(format!("file {index} of a unit that has {}", unit.len()));
        files.push(name.cloned().ok_or_else(none)?);
    }
    let num_expressions = cursor.count(2, "expressions")?;
    let mut decoder = Decoder {
        cursor,
        num_files,
        expressions: vec![Expression::default(); num_expressions],
        regions: Vec::new(),
    };
    for index in 0..num_expressions {
        let (lhs, rhs) = (decoder.counter()?, decoder.counter()?);
        if let Some(expression) = decoder.expressions.get_mut(index) {
            (expression.lhs, expression.rhs) = (lhs, rhs);
        }
    }
    for file in 0..u32::try_from(num_files).unwrap_or(u32::MAX) {
        decoder.regions_of(file)?;
    }
    let Decoder { expressions, mut regions, .. } = decoder;
    count_expansions(&mut regions, num_files).map_err(|detail| cursor.fault(detail))?;
    Ok(Body { files, expressions, regions })
}

struct Decoder<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    num_files: usize,
    expressions: Vec<Expression>,
    regions: Vec<Region>,
}

/// A region's first number and the fields that belong to it.
struct Head {
    kind: RegionKind,
    count: Counter,
    false_count: Counter,
}

impl Decoder<'_, '_> {
    fn counter(&mut self) -> Result<Counter, Fault> {
        let at = self.cursor.clone();
        let encoded = self.cursor.uleb128_u32()?;
        self.counter_of(encoded, &at)
    }

    fn counter_of(&mut self, encoded: u32, at: &Cursor<'_>) -> Result<Counter, Fault> {
        let index = encoded >> TAG_BITS;
        let operator = match encoded & TAG_MASK {
            0 => return Ok(Counter::Zero),
            1 => return Ok(Counter::Reference(index)),
            2 => Operator::Subtract,
            _ => Operator::Add,
        };
        let len = self.expressions.len();
        let expression = usize::try_from(index).ok().and_then(|index| self.expressions.get_mut(index));
        // How an expression combines its sides stands where it is used.
        expression.ok_or_else(|| at.fault(format!("expression {index} of {len}")))?.operator = operator;
        Ok(Counter::Expression(index))
    }

    fn regions_of(&mut self, file: u32) -> Result<(), Fault> {
        let count = self.cursor.count(5, "regions")?;
        self.regions.reserve(count);
        let mut line = 0;
        for _ in 0..count {
            let region = self.region(file, line)?;
            line = region.start.line;
            self.regions.push(region);
        }
        Ok(())
    }

    fn region(&mut self, file: u32, line: u32) -> Result<Region, Fault> {
        let at = self.cursor.clone();
        let Head { mut kind, count, false_count } = self.head()?;
        let line_delta = self.cursor.uleb128_u32()?;
        let mut start_col = self.cursor.uleb128_u32()?;
        let num_lines = self.cursor.uleb128_u32()?;
        let mut end_col = self.cursor.uleb128_u32()?;
        if end_col & GAP_BIT != 0 {
            kind = RegionKind::Gap;
            end_col &= !GAP_BIT;
        }
        if (start_col, end_col) == (0, 0) {
            (start_col, end_col) = (1, LineCol::END_OF_LINE);
        }
        let first = line.saturating_add(line_delta);
        let start = LineCol { line: first, col: start_col };
        let end = LineCol { line: first.saturating_add(num_lines), col: end_col };
        if end.line > MAX_LINE {
            return Err(at.fault(format!("a region up to line {}, {MAX_LINE} are read", end.line)));
        }
        if start > end {
            let detail = format!(
                "a region from {}:{} to {}:{}, which is before it",
                start.line, start.col, end.line, end.col
            );
            return Err(at.fault(detail));
        }
        Ok(Region { kind, count, false_count, file, start, end })
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let at = self.cursor.clone();
        let encoded = self.cursor.uleb128_u32()?;
        let plain = |kind| Head { kind, count: Counter::Zero, false_count: Counter::Zero };
        if encoded & TAG_MASK != 0 {
            let count = self.counter_of(encoded, &at)?;
            return Ok(Head { count, ..plain(RegionKind::Code) });
        }
        let value = encoded >> KIND_SHIFT;
        if encoded & EXPANSION_BIT != 0 {
            if usize::try_from(value).is_ok_and(|file| file < self.num_files) {
                return Ok(plain(RegionKind::Expansion { file: value }));
            }
            return Err(at.fault(format!("an expansion of file {value} of {}", self.num_files)));
        }
        match value {
            0 => Ok(plain(RegionKind::Code)),
            2 => Ok(plain(RegionKind::Skipped)),
            4 => self.branch(|_| Ok(RegionKind::Branch)),
            5 => {
                let bitmap_index = self.cursor.uleb128_u32()?;
                let num_conditions = self.small()?;
                Ok(plain(RegionKind::McdcDecision { bitmap_index, num_conditions }))
            }
            6 => self.branch(Self::mcdc),
            _ => Err(at.fault(format!("region kind {value} is not known"))),
        }
    }

    fn branch(&mut self, kind: impl FnOnce(&mut Self) -> Result<RegionKind, Fault>) -> Result<Head, Fault> {
        let (count, false_count) = (self.counter()?, self.counter()?);
        Ok(Head { kind: kind(self)?, count, false_count })
    }

    /// The numbers of conditions, each stored plus one.
    fn mcdc(&mut self) -> Result<RegionKind, Fault> {
        let at = self.cursor.clone();
        let condition =
            self.small()?.checked_sub(1).ok_or_else(|| at.fault("a condition without a number"))?;
        let next_if_true = self.small()?.checked_sub(1);
        let next_if_false = self.small()?.checked_sub(1);
        Ok(RegionKind::McdcBranch { condition, next_if_false, next_if_true })
    }

    /// A number that LLVM keeps in 15 bits.
    fn small(&mut self) -> Result<u16, Fault> {
        let at = self.cursor.clone();
        let value = u16::try_from(self.cursor.uleb128()?).ok().filter(|value| *value < 0x7fff);
        value.ok_or_else(|| at.fault("a number of more than 15 bits"))
    }
}

/// Gives expansions the count of the first region of what they expand to, which may itself be one.
fn count_expansions(regions: &mut [Region], num_files: usize) -> Result<(), String> {
    if regions.iter().all(|region| expanded_file(region).is_none()) {
        return Ok(());
    }
    let mut first: Vec<Option<(Counter, Option<usize>)>> = vec![None; num_files];
    let mut is_expanded = vec![false; num_files];
    for region in &*regions {
        let expanded = expanded_file(region);
        if let Some(seen) = expanded.and_then(|file| is_expanded.get_mut(file))
            && std::mem::replace(seen, true)
        {
            return Err(format!("file {} is expanded twice", expanded.unwrap_or_default()));
        }
        if let Some(slot) = usize::try_from(region.file).ok().and_then(|file| first.get_mut(file)) {
            slot.get_or_insert((region.count, expanded));
        }
    }
    check_trees(regions, num_files)?;
    for region in regions.iter_mut() {
        let mut next = expanded_file(region);
        // Chains of first regions are paths in the trees, so that each ends.
        while let Some(file) = next {
            let Some((count, expanded)) = first.get(file).copied().flatten() else { break };
            (region.count, next) = (count, expanded);
        }
    }
    Ok(())
}

fn expanded_file(region: &Region) -> Option<usize> {
    match region.kind {
        RegionKind::Expansion { file } => usize::try_from(file).ok(),
        _ => None,
    }
}

/// Each file is expanded at most once; refuses circles.
fn check_trees(regions: &[Region], num_files: usize) -> Result<(), String> {
    let mut parents: Vec<Option<usize>> = vec![None; num_files];
    for region in regions {
        if let Some(parent) = expanded_file(region).and_then(|file| parents.get_mut(file)) {
            *parent = usize::try_from(region.file).ok();
        }
    }
    let mut walks: Vec<Option<usize>> = vec![None; num_files];
    for start in 0..num_files {
        let mut next = Some(start);
        while let Some(file) = next {
            let Some(walk) = walks.get_mut(file) else { break };
            match *walk {
                Some(of) if of == start => return Err(format!("file {file} is expanded inside of itself")),
                Some(_) => break,
                None => *walk = Some(start),
            }
            next = parents.get(file).copied().flatten();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Vec<FileName> {
        [&b"/b"[..], b"/b/m.c"].into_iter().map(FileName::from).collect()
    }

    fn body(bytes: &[u8]) -> Result<Body, Fault> {
        decode(&mut Cursor::new(bytes, 0), &unit())
    }

    #[test]
    fn every_kind_of_region_is_read() {
        // One file; one expression, counter 0 - counter 1.
        let bytes = [
            &[1, 1, 1, 1, 5, 6][..],
            &[1, 3, 1, 9, 2],                            // code, counter 0
            &[16, 1, 0, 0, 0],                           // skipped, a whole line
            &[32, 2, 5, 1, 2, 0, 3],                     // branch, expression and counter 1
            &[2, 1, 3, 0, 0x84, 0x80, 0x80, 0x80, 0x08], // gap, expression
            &[40, 16, 2, 0, 1, 0, 5],                    // decision
            &[48, 1, 5, 1, 2, 0, 0, 1, 0, 3],            // condition
        ];
        let body = body(&bytes.concat()).unwrap();
        let kinds: Vec<RegionKind> = body.regions.iter().map(|region| region.kind).collect();
        assert_eq!(
            kinds,
            [
                RegionKind::Code,
                RegionKind::Skipped,
                RegionKind::Branch,
                RegionKind::Gap,
                RegionKind::McdcDecision { bitmap_index: 16, num_conditions: 2 },
                RegionKind::McdcBranch { condition: 0, next_if_false: None, next_if_true: Some(1) },
            ]
        );
        let [code, skipped, branch, gap, ..] = &body.regions[..] else { panic!("{kinds:?}") };
        assert_eq!((code.start, code.end), (LineCol { line: 3, col: 1 }, LineCol { line: 12, col: 2 }));
        assert_eq!(skipped.end, LineCol { line: 4, col: LineCol::END_OF_LINE });
        assert_eq!((branch.count, branch.false_count), (Counter::Expression(0), Counter::Reference(1)));
        assert_eq!((gap.start.line, gap.end.col), (6, 4));
        assert_eq!(body.expressions[0].operator, Operator::Subtract);
    }

    #[test]
    fn an_expansion_counts_what_its_first_region_counts() {
        // Files 0, 1 and 2: 0 expands 1, which begins with an expansion of 2, which counts counter 3.
        let bytes = [
            &[3, 1, 1, 1, 0][..],
            &[2, 1, 1, 1, 1, 1, 12, 1, 1, 0, 4],
            &[1, 20, 1, 1, 0, 3],
            &[1, 13, 1, 1, 0, 2],
        ];
        let body = body(&bytes.concat()).unwrap();
        let counts: Vec<Counter> = body.regions.iter().map(|region| region.count).collect();
        assert_eq!(counts, [0, 3, 3, 3].map(Counter::Reference));
    }

    #[test]
    fn what_is_out_of_bounds_says_where_it_stands() {
        let cases: [(&[u8], usize, &str); 8] = [
            (&[1, 2], 1, "file 2 of a unit that has 2"),
            (&[1, 1, 9], 2, "9 expressions are said to follow, there is room for 0"),
            (&[1, 1, 1, 2, 6, 0], 4, "expression 1 of 1"),
            (&[1, 1, 0, 1, 8, 1, 1, 1, 1], 4, "region kind 1 is not known"),
            (&[1, 1, 0, 1, 12, 1, 1, 1, 1], 4, "an expansion of file 1 of 1"),
            (&[1, 1, 0, 1, 1, 1, 9, 0, 4], 4, "a region from 1:9 to 1:4, which is before it"),
            (&[1, 1, 0, 1, 4, 1, 1, 0, 2], 9, "file 0 is expanded inside of itself"),
            (&[1, 1, 0, 2, 4, 1, 1, 0, 2, 4, 1, 1, 0, 2], 14, "file 0 is expanded twice"),
        ];
        for (bytes, offset, detail) in cases {
            assert_eq!(body(bytes).unwrap_err(), Fault { offset, detail: detail.into() });
        }
        let far = [1, 1, 0, 1, 1, 0xff, 0xff, 0xff, 0x7f, 1, 0, 2];
        assert_eq!(body(&far).unwrap_err().detail, "a region up to line 268435455, 4194304 are read");
    }
}
