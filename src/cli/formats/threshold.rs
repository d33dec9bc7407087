//! `--fail-under-*`: how much must be covered.

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::Verdict;
use crate::coverage::{Statistics, Tally};

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
    pub(super) fn are_given(&self) -> bool {
        self.by_metric(&Statistics::default()).into_iter().any(|(_, threshold, _)| threshold.is_some())
    }

    fn by_metric(&self, found: &Statistics) -> [(&'static str, Option<f64>, Tally); 4] {
        [
            ("lines", self.fail_under_lines, found.lines),
            ("functions", self.fail_under_functions, found.functions),
            ("regions", self.fail_under_regions, found.regions),
            ("branches", self.fail_under_branches, found.branches),
        ]
    }

    /// Compares, and says on stderr what is below.
    ///
    /// # Errors
    ///
    /// There is nothing of which the share could be told.
    pub(super) fn judge(&self, found: &Statistics) -> Result<Verdict> {
        let mut verdict = Verdict::Passed;
        for (metric, threshold, tally) in self.by_metric(found) {
            let Some(threshold) = threshold else { continue };
            let Some(percent) = tally.percent() else {
                bail!("compare with --fail-under-{metric}: the build has no {metric} to measure");
            };
            if percent < threshold {
                let Tally { covered, total } = tally;
                eprintln!(
                    "covtap: below --fail-under-{metric} {threshold}: {covered} of {total}, {percent:.2} %"
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
    fn a_share_is_judged_and_none_is_no_share() {
        let found = Statistics { lines: Tally { covered: 2, total: 3 }, ..Statistics::default() };
        let judge = |lines, branches| {
            let thresholds = ThresholdArgs {
                fail_under_lines: lines,
                fail_under_branches: branches,
                ..ThresholdArgs::default()
            };
            thresholds.judge(&found)
        };
        assert_eq!(judge(Some(66.6), None).unwrap(), Verdict::Passed);
        assert_eq!(judge(Some(66.7), None).unwrap(), Verdict::BelowThreshold);
        let error = judge(None, Some(0.0)).unwrap_err().to_string();
        assert_eq!(error, "compare with --fail-under-branches: the build has no branches to measure");
        assert!(percent("100.5").is_err() && percent("nan").is_err() && percent("80%") == Ok(80.0));
    }
}
