//! `covtap inspect`: what is instrumented in an ELF, what it costs the target, what will not work and why.

mod text;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{hints, tap};
use crate::inspect::{Report, Severity};

/// The linker script that the example guests are made with.
const LINKER_SCRIPT: &str = include_str!("inspect/coverage.x");

/// The region that the script names.
const SCRIPT_REGION: &str = "RAM";

/// Say what is instrumented in an ELF, what it costs the target, and what will not work and why.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The program to look at
    #[arg(required_unless_present = "linker_script")]
    elf: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print a linker script that keeps all but the counters out of the target (ld.lld, GNU ld)
    #[arg(long, conflicts_with_all = ["elf", "json"])]
    linker_script: bool,
    /// The memory region of the linker script that counters go to
    #[arg(long, value_name = "REGION", default_value = SCRIPT_REGION, requires = "linker_script",
          value_parser = region)]
    ram: String,
}

/// A report as JSON: the model's fields, and the findings with their next steps.
#[derive(Serialize)]
struct JsonReport<'a> {
    #[serde(flatten)]
    report: &'a Report,
    findings: Vec<JsonFinding>,
}

#[derive(Serialize)]
struct JsonFinding {
    severity: Severity,
    code: &'static str,
    message: String,
    hint: Option<&'static str>,
}

/// Prints a report, or the linker script, on stdout.
///
/// # Errors
///
/// The file cannot be read or is no ELF, or stdout cannot be written to. That it is not instrumented is no error.
pub(super) fn run(args: &InspectArgs) -> Result<()> {
    match &args.elf {
        None => print(&linker_script(&args.ram)),
        Some(path) => {
            let report = Report::new(&tap::load(path)?);
            print(&if args.json { json(&report)? } else { text::render(&report) })
        }
    }
}

fn json(report: &Report) -> Result<String> {
    let findings = report.findings.iter().map(|finding| JsonFinding {
        severity: finding.severity(),
        code: finding.code(),
        message: finding.to_string(),
        hint: hints::for_finding(finding),
    });
    let json = JsonReport { report, findings: findings.collect() };
    Ok(serde_json::to_string_pretty(&json).context("write the report as JSON")? + "\n")
}

/// Whoever reads stdout may stop before its end.
fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to stdout"),
        _ => Ok(()),
    }
}

fn linker_script(region: &str) -> String {
    ["> ", "region called "].into_iter().fold(LINKER_SCRIPT.to_owned(), |script, before| {
        script.replace(&format!("{before}{SCRIPT_REGION}"), &format!("{before}{region}"))
    })
}

/// A region's name as both linkers take it without quotes.
fn region(text: &str) -> Result<String, String> {
    let is_first = |c: char| c.is_ascii_alphabetic() || "_.$".contains(c);
    let is_name = text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit());
    if is_name { Ok(text.to_owned()) } else { Err("not the name of a memory region".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_the_region_and_nothing_else_changes() {
        assert_eq!(linker_script("RAM"), LINKER_SCRIPT);
        let script = linker_script("dtcm");
        assert!(
            !script.contains("RAM;") && !script.contains("> RAM") && script.contains("region called dtcm")
        );
        assert_eq!(script.matches("> dtcm").count(), 2);
        assert_eq!(script.replace("dtcm", "RAM"), LINKER_SCRIPT);
    }

    #[test]
    fn a_region_is_a_name() {
        assert_eq!(region("SRAM_1"), Ok("SRAM_1".to_owned()));
        for text in ["", "1RAM", "RAM }", "RAM\n/DISCARD/", "R-AM"] {
            assert!(region(text).is_err(), "{text}");
        }
    }
}
