//! A report as people read it.

use std::fmt::{self, Write};

use crate::cli::hints;
use crate::cli::terminal::one_line;
use crate::inspect::{Cost, Finding, Gcov, Instrumentation, Mapping, Region, Report};
use crate::locate;
use crate::locate::gcov::GcovError;
use crate::locate::llvm::LocateError;

/// Where the second column begins.
const LABEL: usize = 14;

/// How many of what a large program has thousands of are listed.
const MAX_LISTED: usize = 8;

/// The report as lines of text.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_all(&mut text, report);
    text
}

fn write_all(out: &mut String, report: &Report) -> fmt::Result {
    line(out, "file", &report.file)?;
    let (arch, order, bits) = (report.architecture, report.byte_order, report.pointer_bits);
    line(out, "target", &format!("{arch}, {order}-endian, {bits}-bit, {}", report.image_type))?;
    line(out, "build id", &build_id(report))?;
    let mut label = "made by";
    for producer in &report.producers {
        line(out, label, producer)?;
        label = "";
    }
    if let Some(found) = &report.instrumentation {
        write_instrumentation(out, found)?;
    } else if report.gcov.is_none() {
        line(out, "instrumented", not_instrumented(report))?;
    }
    if let Some(mapping) = &report.mapping {
        line(out, "mapping", &describe_mapping(mapping))?;
    }
    if report.has_runtime {
        line(out, "runtime", "a profiling runtime is linked in; covtap does not need it")?;
    }
    if let Some(gcov) = &report.gcov {
        write_gcov(out, gcov)?;
    }
    if !report.sections.is_empty() {
        write_costs(out, report)?;
    }
    write_findings(out, report)
}

fn line(out: &mut String, label: &str, value: &str) -> fmt::Result {
    writeln!(out, "{label:<LABEL$}{}", one_line(value))
}

fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

fn build_id(report: &Report) -> String {
    match &report.build_id {
        None => "none".to_owned(),
        Some(id) => match id.address {
            Some(address) => format!("{}, loaded at {address}", id.id),
            None => format!("{}, not loaded", id.id),
        },
    }
}

fn write_instrumentation(out: &mut String, found: &Instrumentation) -> fmt::Result {
    let level = match found.level {
        "front-end" => "counted by the front end, for coverage",
        "ir" => "counted in IR, for optimisation",
        _ => "counted by the front end or in IR",
    };
    line(out, "instrumented", &format!("by LLVM, {level}"))?;
    let (version, releases) = (found.raw_version, found.llvm_releases);
    line(out, "raw profile", &format!("version {version}, read by LLVM {releases}"))?;
    if found.correlation != "none" {
        line(out, "correlation", found.correlation)?;
    }
    line(out, "functions", &found.functions.to_string())?;
    let kind = if found.is_byte_coverage { ", each a byte cleared when its code runs" } else { "" };
    line(out, "counters", &format!("{}{kind}", found.counters))?;
    if found.has_mcdc {
        line(out, "MC/DC", &format!("{} in bitmaps", bytes(found.bitmap_bytes as u64)))?;
    }
    write_regions(out, &found.regions)
}

fn write_regions(out: &mut String, regions: &[Region]) -> fmt::Result {
    let mut label = "read from";
    for region in regions.iter().take(MAX_LISTED) {
        let (name, len, address) = (&region.name, bytes(region.len_bytes), region.address);
        let moved =
            region.bias_address.map(|at| format!(", moved by the number at {at}")).unwrap_or_default();
        line(out, label, &format!("{address}, {len}: {name}{moved}"))?;
        label = "";
    }
    write_more(out, regions.len())
}

/// Says how many of something are not listed.
fn write_more(out: &mut String, count: usize) -> fmt::Result {
    match count.checked_sub(MAX_LISTED) {
        Some(more @ 1..) => line(out, "", &format!("and {more} more: --json lists them")),
        _ => Ok(()),
    }
}

fn write_gcov(out: &mut String, found: &Gcov) -> fmt::Result {
    line(
        out,
        "instrumented",
        &format!("for gcov, by version {} of the compiler", found.versions.join(" and ")),
    )?;
    line(out, "functions", &found.functions.to_string())?;
    let kinds: Vec<String> =
        found.counters.iter().map(|kind| format!("{} for {}", kind.counters, kind.kind)).collect();
    line(out, "counters", &format!("{}: {}", kinds.join(", "), bytes(found.counter_bytes)))?;
    write_regions(out, &found.regions)?;
    let mut label = "files";
    for object in found.objects.iter().take(MAX_LISTED) {
        let plural = if object.functions == 1 { "" } else { "s" };
        line(out, label, &format!("{}, {} function{plural}", object.gcda, object.functions))?;
        label = "";
    }
    write_more(out, found.objects.len())?;
    if let Some(runtime) = &found.runtime {
        let code = bytes(runtime.code_bytes);
        line(
            out,
            "runtime",
            &format!("gcov's own is linked in, {code} and what it calls; covtap does not need it"),
        )?;
    }
    Ok(())
}

fn not_instrumented(report: &Report) -> &'static str {
    match report.findings.first() {
        Some(Finding::Locate(locate::Error::Llvm(LocateError::NotInstrumented { .. }))) => "no",
        Some(Finding::Locate(
            locate::Error::Llvm(LocateError::Gcov { .. }) | locate::Error::Gcov(GcovError::Clang { .. }),
        )) => "for gcov, not so that covtap can read it",
        _ => "not so that covtap can read it",
    }
}

fn describe_mapping(mapping: &Mapping) -> String {
    let words: Vec<String> = mapping.version_words.iter().map(u32::to_string).collect();
    let version = if words.is_empty() { "unknown".to_owned() } else { words.join(" and ") };
    let without = match mapping.functions_without_counters {
        None | Some(0) => String::new(),
        Some(count) => format!(", {count} of them without counters: dropped by the linker, or never emitted"),
    };
    format!("version word {version}, {} functions{without}", mapping.functions)
}

fn write_costs(out: &mut String, report: &Report) -> fmt::Result {
    const NAME: usize = 30;
    let row = |out: &mut String, name: &str, cost: Cost| {
        let Cost { ram_bytes, image_bytes, file_only_bytes } = cost;
        writeln!(out, "{name:<NAME$}{ram_bytes:>10}{image_bytes:>10}{file_only_bytes:>12}")
    };
    writeln!(out, "\n{:<NAME$}{:>10}{:>10}{:>12}", "cost in bytes", "RAM", "image", "ELF only")?;
    for section in &report.sections {
        let name = match &section.within {
            Some(within) => format!("{} in {}", section.name, one_line(within)),
            None => section.name.to_owned(),
        };
        row(out, &name, section.cost)?;
    }
    row(out, "all", report.cost)?;
    writeln!(
        out,
        "RAM is what can be written; image is flash, or what a loader copies. The code that counts comes"
    )?;
    writeln!(out, "on top: an ELF does not tell it from other code.")
}

fn write_findings(out: &mut String, report: &Report) -> fmt::Result {
    if report.findings.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.severity(), one_line(&finding.to_string()))?;
        if let Some(hint) = hints::for_finding(finding) {
            writeln!(out, "  {hint}")?;
        }
    }
    Ok(())
}
