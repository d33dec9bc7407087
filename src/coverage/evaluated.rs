//! What becomes of one function of a mapping: its coverage, or why it has none.

use super::counts::Counts;
use super::function::FunctionCoverage;
use super::mapping::{Counter, MappedFunction, RegionKind};
use super::{Mismatch, Uncounted, mcdc};

/// A function, evaluated by itself: nothing of it depends on others.
#[derive(Default)]
pub(super) struct Evaluated {
    pub(super) function: Option<FunctionCoverage>,
    pub(super) mismatch: Option<Mismatch>,
    pub(super) uncounted: Vec<Uncounted>,
    /// The profile has counts of it.
    pub(super) is_found: bool,
    pub(super) has_branches: bool,
    pub(super) has_mcdc: bool,
}

impl Evaluated {
    pub(super) fn new(mapped: &MappedFunction<'_>, profile: &Counts<'_>) -> Self {
        let regions = &mapped.regions;
        let mut evaluated = Self {
            has_branches: regions.iter().any(|region| region.kind.is_branch()),
            has_mcdc: regions.iter().any(|region| matches!(region.kind, RegionKind::McdcDecision { .. })),
            ..Self::default()
        };
        let Ok(counts) = profile.of(mapped) else {
            let (name, func_hash) = (mapped.name.to_vec(), mapped.func_hash);
            evaluated.mismatch = Some(Mismatch { name, func_hash });
            return evaluated;
        };
        evaluated.is_found = counts.is_some();
        let counters = counts.map(|counts| &*counts.counters);
        // A unit that did not use the function says nothing about one that ran.
        let is_single_zero = matches!(&regions[..], [one] if one.count == Counter::Zero);
        if is_single_zero && counters.is_some_and(|counters| counters.first().is_some_and(|count| *count > 0))
        {
            return evaluated;
        }
        match FunctionCoverage::evaluate(mapped, counters, profile.is_byte_coverage) {
            Ok(mut function) => {
                let (records, faults) = mcdc::records(mapped, counts.map(|counts| &*counts.bitmap));
                function.mcdc_records = records;
                evaluated.function = Some(function);
                evaluated.uncounted.extend(faults.into_iter().map(|fault| uncounted(mapped, fault, true)));
            }
            Err(detail) => evaluated.uncounted.push(uncounted(mapped, detail, false)),
        }
        evaluated
    }
}

fn uncounted(mapped: &MappedFunction<'_>, detail: String, is_only_mcdc: bool) -> Uncounted {
    Uncounted { name: mapped.name.to_vec(), detail, is_only_mcdc }
}
