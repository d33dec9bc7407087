//! Which conditions belong to which decision.
//!
//! A condition belongs to the first decision before it that is around it, or around the expansion that it is in, and
//! that still lacks a condition of its number. What always holds: a decision that is given has all its conditions,
//! each number once.

use super::super::mapping::{Counter, Region, RegionKind};
use super::Budget;

/// A decision that has all its conditions.
pub(super) struct Decision<'a> {
    pub(super) region: &'a Region,
    /// In LLVM's order: number 0 first, then as they come.
    pub(super) conditions: Vec<Condition<'a>>,
}

/// A condition and where it leads.
pub(super) struct Condition<'a> {
    pub(super) region: &'a Region,
    pub(super) number: u16,
    /// The next condition if it is false, and if it is true.
    pub(super) next: [Option<u16>; 2],
}

impl Condition<'_> {
    pub(super) fn is_folded(&self) -> bool {
        (self.region.count, self.region.false_count) == (Counter::Zero, Counter::Zero)
    }
}

/// The decisions in the order in which they become complete, and what is wrong with others.
pub(super) fn collect<'a>(regions: &'a [Region], budget: &mut Budget) -> (Vec<Decision<'a>>, Vec<String>) {
    let mut collector = Collector { pending: Vec::new(), complete: Vec::new(), faults: Vec::new() };
    for region in regions {
        if let Err(fault) = collector.add(region, budget) {
            collector.faults.push(fault);
            return (collector.complete, collector.faults);
        }
    }
    for Pending { decision, missing, .. } in &collector.pending {
        let at = decision.region.start;
        let missing = missing.iter().filter(|is_missing| **is_missing).count();
        let fault =
            format!("the decision at {}:{}: {missing} of its conditions are missing", at.line, at.col);
        collector.faults.push(fault);
    }
    (collector.complete, collector.faults)
}

struct Collector<'a> {
    pending: Vec<Pending<'a>>,
    complete: Vec<Decision<'a>>,
    faults: Vec<String>,
}

/// A decision that still lacks conditions.
struct Pending<'a> {
    decision: Decision<'a>,
    /// By number.
    missing: Vec<bool>,
    /// The files of the expansions in it.
    expanded: Vec<u32>,
}

impl<'a> Collector<'a> {
    fn add(&mut self, region: &'a Region, budget: &mut Budget) -> Result<(), String> {
        match region.kind {
            RegionKind::McdcDecision { num_conditions, .. } => {
                budget.take(usize::from(num_conditions))?;
                self.pending.push(Pending {
                    decision: Decision { region, conditions: Vec::new() },
                    missing: vec![true; usize::from(num_conditions)],
                    expanded: Vec::new(),
                });
            }
            RegionKind::Expansion { file } => {
                for pending in &mut self.pending {
                    if pending.is_around(region, budget)? {
                        pending.expanded.push(file);
                        break;
                    }
                }
            }
            RegionKind::McdcBranch { condition, next_if_false, next_if_true } => {
                let next = [next_if_false, next_if_true];
                self.add_condition(Condition { region, number: condition, next }, budget)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_condition(&mut self, condition: Condition<'a>, budget: &mut Budget) -> Result<(), String> {
        for index in 0..self.pending.len() {
            budget.take(1)?;
            let Some(pending) = self.pending.get_mut(index) else { break };
            let is_missing = pending.missing.get(usize::from(condition.number)) == Some(&true);
            if !is_missing || !pending.is_around(condition.region, budget)? {
                continue;
            }
            if pending.take(condition) {
                budget.take(self.pending.len())?;
                self.complete.push(self.pending.remove(index).decision);
            }
            return Ok(());
        }
        let at = condition.region.start;
        let fault = format!("condition {} at {}:{} is in no decision", condition.number, at.line, at.col);
        self.faults.push(fault);
        Ok(())
    }
}

impl<'a> Pending<'a> {
    fn is_around(&self, region: &Region, budget: &mut Budget) -> Result<bool, String> {
        budget.take(self.expanded.len().saturating_add(1))?;
        let decision = self.decision.region;
        let is_inside =
            region.file == decision.file && decision.start <= region.start && region.end <= decision.end;
        Ok(is_inside || self.expanded.contains(&region.file))
    }

    /// Takes a condition; says whether it was the last one.
    fn take(&mut self, condition: Condition<'a>) -> bool {
        if let Some(missing) = self.missing.get_mut(usize::from(condition.number)) {
            *missing = false;
        }
        let conditions = &mut self.decision.conditions;
        let index = if condition.number == 0 { 0 } else { conditions.len() };
        conditions.insert(index, condition);
        conditions.len() == self.missing.len()
    }
}
