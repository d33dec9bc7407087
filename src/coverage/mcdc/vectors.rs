//! The test vectors of a decision, those of them that were executed, and the pairs that they form.

use std::collections::VecDeque;

use super::super::mapping::RegionKind;
use super::decisions::Decision;
use super::{Budget, McdcCondition, McdcRecord, Meaning, TestVector};

/// The record of a decision; without bits nothing was executed.
pub(super) fn record(
    decision: &Decision<'_>,
    bits: Option<(&[u8], Meaning)>,
    budget: &mut Budget,
) -> Result<McdcRecord, String> {
    let graph = Graph::new(decision)?;
    let mut vectors = match bits {
        Some((bitmap, meaning)) => graph.executed(&Bits::new(decision, &graph, bitmap, meaning)?, budget)?,
        None => Vec::new(),
    };
    vectors.sort_by_key(|vector| vector.result);
    let mut conditions: Vec<McdcCondition> = decision
        .conditions
        .iter()
        .map(|condition| McdcCondition {
            start: condition.region.start,
            end: condition.region.end,
            file: condition.region.file,
            is_folded: condition.is_folded(),
            pair: None,
        })
        .collect();
    find_pairs(&mut conditions, &vectors, budget)?;
    let region = decision.region;
    Ok(McdcRecord { start: region.start, end: region.end, file: region.file, conditions, vectors })
}

/// The conditions by number, and the ways through them.
struct Graph {
    nodes: Vec<Node>,
    /// How many ways there are.
    num_vectors: u64,
}

#[derive(Clone, Default)]
struct Node {
    /// Index into the decision's conditions.
    position: usize,
    /// The next node if the condition is false, and if it is true.
    next: [Option<usize>; 2],
    /// What the edges of the two add to a way's number.
    offsets: [u64; 2],
    /// How many ways lead here.
    width: u64,
    /// How many edges lead here that were not looked at yet.
    num_incoming: usize,
}

impl Graph {
    fn new(decision: &Decision<'_>) -> Result<Self, String> {
        let len = decision.conditions.len();
        let mut nodes = vec![Node::default(); len];
        for (position, condition) in decision.conditions.iter().enumerate() {
            let next = condition.next.map(|next| next.map(usize::from));
            for next in next.into_iter().flatten() {
                let node = nodes.get_mut(next).ok_or_else(|| format!("condition {next} of {len} is next"))?;
                node.num_incoming = node.num_incoming.saturating_add(1);
            }
            if let Some(node) = nodes.get_mut(usize::from(condition.number)) {
                (node.position, node.next) = (position, next);
            }
        }
        let mut graph = Self { nodes, num_vectors: 0 };
        let ends = graph.widths()?;
        graph.number_ends(ends)?;
        Ok(graph)
    }

    /// Counts the ways to each node, which numbers them as well; gives the ends of ways as width, node and edge, in the
    /// order in which they are reached.
    fn widths(&mut self) -> Result<Vec<(u64, usize, usize)>, String> {
        let (mut ends, mut num_reached) = (Vec::new(), 0usize);
        let mut ready = VecDeque::from([0usize]);
        if let Some(first) = self.nodes.first_mut().filter(|first| first.num_incoming == 0) {
            first.width = 1;
        }
        while let Some(index) = ready.pop_front() {
            let Some(Node { width, next, .. }) = self.nodes.get(index).cloned() else { break };
            if width == 0 {
                break;
            }
            num_reached = num_reached.saturating_add(1);
            for (edge, next) in next.into_iter().enumerate() {
                let Some(next) = next else {
                    ends.push((width, index, edge));
                    continue;
                };
                let Some(node) = self.nodes.get_mut(next) else { continue };
                let offset = node.width;
                node.width = node.width.checked_add(width).ok_or("it has too many test vectors")?;
                node.num_incoming = node.num_incoming.saturating_sub(1);
                if node.num_incoming == 0 {
                    ready.push_back(next);
                }
                self.set_offset(index, edge, offset);
            }
        }
        if num_reached == self.nodes.len() {
            return Ok(ends);
        }
        Err("its conditions do not all follow from the first one, or lead on in circles".to_owned())
    }

    /// Numbers the ends of ways: those that many ways lead to come first.
    fn number_ends(&mut self, mut ends: Vec<(u64, usize, usize)>) -> Result<(), String> {
        ends.sort_by_key(|(width, ..)| std::cmp::Reverse(*width));
        for (width, index, edge) in ends {
            self.set_offset(index, edge, self.num_vectors);
            self.num_vectors = self.num_vectors.checked_add(width).ok_or("it has too many test vectors")?;
        }
        Ok(())
    }

    fn set_offset(&mut self, index: usize, edge: usize, value: u64) {
        let offset = self.nodes.get_mut(index).and_then(|node| node.offsets.get_mut(edge));
        if let Some(offset) = offset {
            *offset = value;
        }
    }

    /// The vectors that were executed, those with false before true from the first condition on.
    fn executed(&self, bits: &Bits<'_>, budget: &mut Budget) -> Result<Vec<TestVector>, String> {
        let mut found = Vec::new();
        let mut values: Vec<Option<bool>> = vec![None; self.nodes.len()];
        // A walk by hand: each step is a node, the way's numbers up to it, and the edge that is next.
        let mut steps = vec![(0usize, Number::default(), 0usize)];
        while let Some((index, number, edge)) = steps.last_mut() {
            budget.take(1)?;
            let Some(node) = self.nodes.get(*index) else { break };
            let value = values.get_mut(node.position).ok_or("a condition without a place")?;
            let Some(offset) = node.offsets.get(*edge) else {
                *value = None;
                steps.pop();
                continue;
            };
            let is_true = *edge == 1;
            *value = Some(is_true);
            let number = number.with(*offset, *index, is_true);
            let next = node.next.get(*edge).copied().flatten();
            *edge = edge.saturating_add(1);
            match next {
                Some(next) => steps.push((next, number, 0)),
                None if bits.contains(number) => {
                    budget.take(values.len())?;
                    found.push(TestVector { values: values.clone(), result: is_true });
                }
                None => {}
            }
        }
        Ok(found)
    }
}

/// A way's number in both meanings.
#[derive(Clone, Copy, Default)]
struct Number {
    way: u64,
    mask: u64,
}

impl Number {
    fn with(self, offset: u64, index: usize, is_true: bool) -> Self {
        let bit = u32::try_from(index).ok().and_then(|index| 1u64.checked_shl(index)).unwrap_or(0);
        Self { way: self.way.saturating_add(offset), mask: if is_true { self.mask | bit } else { self.mask } }
    }
}

/// The bits of a decision in its function's bitmap.
struct Bits<'a> {
    bitmap: &'a [u8],
    first: u64,
    meaning: Meaning,
}

impl<'a> Bits<'a> {
    fn new(
        decision: &Decision<'_>,
        graph: &Graph,
        bitmap: &'a [u8],
        meaning: Meaning,
    ) -> Result<Self, String> {
        let RegionKind::McdcDecision { bitmap_index, num_conditions } = decision.region.kind else {
            return Err("it is none".to_owned());
        };
        let index = u64::from(bitmap_index);
        let num_bits = u64::try_from(bitmap.len()).unwrap_or(u64::MAX).saturating_mul(8);
        let range = match meaning {
            Meaning::Mask => {
                let first = index.saturating_mul(8);
                let len = 1u64.checked_shl(u32::from(num_conditions));
                len.and_then(|len| first.checked_add(len)).map(|end| (first, end))
            }
            Meaning::Way => index.checked_sub(graph.num_vectors).map(|first| (first, index)),
        };
        match range {
            Some((first, end)) if end <= num_bits => Ok(Self { bitmap, first, meaning }),
            _ => Err(format!(
                "{} test vectors at index {index} of a bitmap of {num_bits} bits",
                graph.num_vectors
            )),
        }
    }

    fn contains(&self, number: Number) -> bool {
        let number = match self.meaning {
            Meaning::Mask => number.mask,
            Meaning::Way => number.way,
        };
        let bit = self.first.saturating_add(number);
        let byte = usize::try_from(bit / 8).ok().and_then(|index| self.bitmap.get(index));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

/// Finds the first pair of each condition.
fn find_pairs(
    conditions: &mut [McdcCondition],
    vectors: &[TestVector],
    budget: &mut Budget,
) -> Result<(), String> {
    let mut num_missing = conditions.len();
    let by_result = |result| vectors.iter().enumerate().filter(move |(_, vector)| vector.result == result);
    for (if_true, a) in by_result(true) {
        for (if_false, b) in by_result(false) {
            if num_missing == 0 {
                return Ok(());
            }
            budget.take(conditions.len())?;
            let condition = only_difference(a, b).and_then(|position| conditions.get_mut(position));
            if let Some(condition) = condition
                && condition.pair.is_none()
            {
                condition.pair = Some((if_false, if_true));
                num_missing = num_missing.saturating_sub(1);
            }
        }
    }
    Ok(())
}

/// The one condition that both vectors looked at and found different.
fn only_difference(a: &TestVector, b: &TestVector) -> Option<usize> {
    let both = a.values.iter().zip(&b.values).enumerate();
    let mut differing = both.filter(|(_, pair)| matches!(pair, (Some(a), Some(b)) if a != b));
    let (position, _) = differing.next()?;
    differing.next().is_none().then_some(position)
}
