//! `--fail-under-*`: how much must be covered.

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::Verdict;
use crate::coverage::{Coverage, Metric, Tally};

/// How much must be covered, in per cent.
#[derive(Debug, Default, Args)]
pub(super) struct ThresholdArgs {
    /// Exit with 1 if less than PERCENT of the lines ran
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_lines: Option<f64>,
    /// Exit with 1 if less than PERCENT of the functions ran
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_functions: Option<f64>,
    /// Exit with 1 if less than PERCENT of the regions ran
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_regions: Option<f64>,
    /// Exit with 1 if less than PERCENT of the outcomes of branches were seen
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_branches: Option<f64>,
    /// Exit with 1 if less than PERCENT of the conditions of decisions were shown to matter (MC/DC)
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_mcdc: Option<f64>,
    /// Exit with 1 if less than PERCENT of the outcomes of conditions were seen to matter (gcov)
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_under_conditions: Option<f64>,
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) => Err("must be from 0 to 100".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl ThresholdArgs {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.by_metric().into_iter().any(|(_, _, threshold)| threshold.is_some())
    }

    fn by_metric(&self) -> [(Metric, &'static str, Option<f64>); 6] {
        [
            (Metric::Lines, "lines", self.fail_under_lines),
            (Metric::Functions, "functions", self.fail_under_functions),
            (Metric::Regions, "regions", self.fail_under_regions),
            (Metric::Branches, "branches", self.fail_under_branches),
            (Metric::Mcdc, "mcdc", self.fail_under_mcdc),
            (Metric::Conditions, "conditions", self.fail_under_conditions),
        ]
    }

    /// Compares, and says on stderr what is below.
    ///
    /// # Errors
    ///
    /// There is nothing of which the share could be told.
    pub(super) fn judge(&self, coverage: &Coverage) -> Result<Verdict> {
        if !self.any() {
            return Ok(Verdict::Passed);
        }
        let (mut verdict, found) = (Verdict::Passed, coverage.statistics());
        for (metric, name, threshold) in self.by_metric() {
            let Some(threshold) = threshold else { continue };
            let tally = found.of(metric);
            let Some(percent) = tally.percent().filter(|_| coverage.carries(metric)) else {
                bail!("compare with --fail-under-{name}: the build has no {name} to measure");
            };
            if percent < threshold {
                let Tally { covered, total } = tally;
                eprintln!(
                    "covtap: below --fail-under-{name} {threshold}: {covered} of {total}, {percent:.2} %"
                );
                verdict = Verdict::BelowThreshold;
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_from_0_to_100() {
        assert_eq!(percent("80%"), Ok(80.0));
        assert_eq!(percent("66.7"), Ok(66.7));
        for text in ["100.5", "-1", "nan", "many"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
