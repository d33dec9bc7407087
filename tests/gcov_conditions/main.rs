//! Conditions and prime paths that GCC 14 and 15 count: in every report what gcov and lcov 2 say of the same files.
//!
//! `make.sh` made the files, and the tools' own words about them, with GCC 14.2.0 and 15.3.0 of Debian and lcov 2.3.1:
//! the releases that are needed to do it again are not in this one. `cargo xtask conformance gcov` has them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use covtap::coverage::gcov::{ConditionCount, FunctionCounters, Notes, UnitCoverage};
use covtap::profile::gcov;
use covtap_testbed::{tool, workspace_root};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::common::{assert_done, assert_refused, run, stderr};

const RELEASES: [&str; 2] = ["gcc-14", "gcc-15"];
const UNITS: [&str; 3] = ["decide", "one", "other"];
/// Where the units were compiled.
const COMPILED: &str = "/tmp/conditions";

fn folder() -> PathBuf {
    workspace_root().join("tests/gcov_conditions")
}

fn read(release: &str, name: &str) -> Vec<u8> {
    let path = folder().join(release).join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// What gcov prints of a unit.
fn printed(release: &str, unit: &str) -> Vec<Value> {
    let shown: Value = serde_json::from_slice(&read(release, &format!("{unit}.json"))).unwrap();
    shown["files"].as_array().unwrap().clone()
}

fn evaluated(release: &str, unit: &str) -> UnitCoverage {
    let notes = Notes::parse(&read(release, &format!("{unit}.gcno"))).unwrap();
    let data = gcov::read(unit, &read(release, &format!("{unit}.gcda"))).unwrap();
    UnitCoverage::new(&notes, FunctionCounters::of(&data))
}

/// The decisions of `decide.c` by line, as gcov prints them.
fn decisions(release: &str) -> BTreeMap<u64, Vec<Value>> {
    let files = printed(release, "decide");
    let lines = files[0]["lines"].as_array().unwrap().iter();
    let decisions = lines
        .map(|line| (line["line_number"].as_u64().unwrap(), line["conditions"].as_array().unwrap().clone()));
    decisions.filter(|(_, decisions)| !decisions.is_empty()).collect()
}

/// How many outcomes of `decide.c` were seen, and how many there are.
fn outcomes(release: &str) -> [u64; 2] {
    let decisions = decisions(release);
    let sum = |key: &str| decisions.values().flatten().map(|decision| decision[key].as_u64().unwrap()).sum();
    [sum("covered"), sum("count")]
}

fn report(release: &str, options: &[&str]) -> Output {
    let dir = folder().join(release);
    run(["report", dir.to_str().unwrap()].iter().chain(options))
}

fn text(release: &str, options: &[&str]) -> String {
    let output = report(release, options);
    assert_done(&output);
    assert_eq!(stderr(&output), "");
    String::from_utf8(output.stdout).unwrap()
}

/// The line of a table that begins with the name.
fn row<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} in: {table}")).split_whitespace().collect()
}

fn as_printed(decision: &ConditionCount) -> Value {
    json!({
        "count": decision.count(), "covered": decision.covered(),
        "not_covered_true": decision.not_covered_true().collect::<Vec<_>>(),
        "not_covered_false": decision.not_covered_false().collect::<Vec<_>>(),
    })
}

#[test]
fn units_have_the_conditions_and_paths_that_gcov_prints() {
    let (mut num_decisions, mut num_paths) = (0, 0);
    for (release, unit) in RELEASES.iter().flat_map(|release| UNITS.map(|unit| (release, unit))) {
        let sources = evaluated(release, unit).sources;
        for file in printed(release, unit) {
            let source =
                sources.iter().find(|source| *source.name == *file["file"].as_str().unwrap().as_bytes());
            let source = source.unwrap();
            let theirs: Vec<_> =
                file["lines"].as_array().unwrap().iter().map(|it| &it["conditions"]).collect();
            let ours: Vec<Value> =
                source.lines.iter().map(|line| line.conditions.iter().map(as_printed).collect()).collect();
            assert_eq!(ours.iter().collect::<Vec<_>>(), theirs, "{release} {unit}");
            num_decisions += source.lines.iter().map(|line| line.conditions.len()).sum::<usize>();
            for (ours, theirs) in source.functions.iter().zip(file["functions"].as_array().unwrap()) {
                let paths = ours.paths.map(|paths| [paths.covered, paths.total].map(u64::from));
                let [covered, total] =
                    ["covered_prime_paths", "total_prime_paths"].map(|key| theirs[key].as_u64());
                // GCC 15 prints 0 where it did not count.
                assert_eq!(
                    paths,
                    covered.zip(total).map(|(covered, total)| [covered, total]),
                    "{release} {unit}"
                );
                num_paths += paths.map_or(0, |[_, total]| total);
            }
        }
    }
    assert!(num_decisions > 10 && num_paths > 10, "{num_decisions} decisions, {num_paths} paths");
}

#[test]
fn tables_have_the_outcomes_that_gcov_counts() {
    for release in RELEASES {
        let [covered, total] = outcomes(release);
        let table = text(release, &["--text"]);
        assert!(table.lines().next().unwrap().contains("Condition Outcomes"), "{table}");
        let expected = [total.to_string(), (total - covered).to_string()];
        let decide = row(&table, "decide.c");
        assert!(decide.windows(2).any(|pair| pair == expected), "{expected:?} in {decide:?}");
        // Both units saw a part of what is in the header.
        for (unit, seen) in [("one", 3), ("other", 1)] {
            let files = printed(release, unit);
            let header = files.iter().find(|file| file["file"] == "header.h").unwrap();
            let lines = header["lines"].as_array().unwrap().iter();
            let covered: Vec<_> = lines.flat_map(|line| line["conditions"].as_array().unwrap()).collect();
            assert_eq!(
                (covered.len(), &covered[0]["covered"], &covered[0]["count"]),
                (1, &json!(seen), &json!(4))
            );
        }
        assert!(row(&table, "header.h").windows(3).any(|it| it == ["4", "0", "100.00%"]), "{table}");
        let functions = text(release, &["--functions"]);
        assert!(row(&functions, "either").windows(3).any(|it| it == ["6", "2", "66.67%"]), "{functions}");
    }
}

/// GCC 14 has none.
#[test]
fn tables_have_the_prime_paths_that_gcov_counts() {
    for release in RELEASES {
        let [table, functions] = ["--text", "--functions"].map(|option| text(release, &[option]));
        let files = printed(release, "decide");
        let paths = |function: &Value| {
            let number = |key: &str| function[key].as_u64();
            number("covered_prime_paths").zip(number("total_prime_paths"))
        };
        let mut sum = [0, 0];
        for function in files[0]["functions"].as_array().unwrap() {
            let Some((covered, total)) = paths(function) else { continue };
            let row = row(&functions, function["name"].as_str().unwrap());
            // The last three columns.
            let [.., shown, missed, _] = *row.as_slice() else { panic!("{row:?}") };
            assert_eq!([shown, missed], [total.to_string(), (total - covered).to_string()]);
            sum = [sum[0] + covered, sum[1] + total];
        }
        assert_eq!(sum[1] > 20, release == "gcc-15", "{release}: {sum:?}");
        for table in [&table, &functions] {
            assert_eq!(table.contains("Prime Paths"), sum[1] > 0, "{release}: {table}");
        }
        if sum[1] > 0 {
            let row = row(&table, "decide.c");
            let [.., shown, missed, _] = *row.as_slice() else { panic!("{row:?}") };
            assert_eq!([shown, missed], [sum[1].to_string(), (sum[1] - sum[0]).to_string()]);
        }
    }
}

/// The words are gcov's.
#[test]
fn the_source_has_below_its_lines_what_gcov_has() {
    for release in RELEASES {
        let map = format!("{COMPILED}={}", folder().display());
        for name in ["mcdc", "conditions"] {
            let shown = text(release, &[&format!("--show={name}"), "--path-map", &map]);
            let decide = shown.split("header.h:").next().unwrap();
            let ours: Vec<&str> = decide.lines().filter_map(|line| line.strip_prefix("  |  ")).collect();
            let mut theirs = String::new();
            for (line, decision) in
                decisions(release).iter().flat_map(|(line, all)| all.iter().map(move |one| (line, one)))
            {
                let (covered, count) = (&decision["covered"], decision["count"].as_u64().unwrap());
                writeln!(theirs, "Decision ({line}): condition outcomes covered {covered}/{count}").unwrap();
                for number in 0..count / 2 {
                    let is_in = |key: &str| decision[key].as_array().unwrap().contains(&number.into());
                    let missed = match (is_in("not_covered_true"), is_in("not_covered_false")) {
                        (false, false) => continue,
                        (true, false) => "true",
                        (false, true) => "false",
                        (true, true) => "true false",
                    };
                    writeln!(theirs, "  condition {number} not covered ({missed})").unwrap();
                }
            }
            assert_eq!(ours, theirs.lines().collect::<Vec<_>>(), "{release}");
        }
    }
}

#[test]
fn the_site_has_both_outcomes_of_each_condition() {
    for release in RELEASES {
        let dir = tempdir().unwrap();
        let site = dir.path().join("site");
        let map = format!("{COMPILED}={}", folder().display());
        text(release, &["--html", site.to_str().unwrap(), "--path-map", &map]);
        let [covered, total] = outcomes(release);
        let index = fs::read_to_string(site.join("index.html")).unwrap();
        assert!(index.contains(">Conditions<") && index.contains(&format!("{covered}/{total}")), "{index}");
        let mut pages = fs::read_dir(site.join("files")).unwrap().map(|entry| entry.unwrap().path());
        let page = pages.find(|path| path.to_str().unwrap().contains("decide")).unwrap();
        let page = fs::read_to_string(page).unwrap();
        for (line, decisions) in decisions(release) {
            let begin = page.find(&format!("id=\"L{line}\"")).unwrap();
            let end = page[begin..].find("</details>").unwrap();
            let note = &page[begin..begin + end];
            let sum = |key: &str| decisions.iter().map(|it| it[key].as_u64().unwrap()).sum::<u64>();
            let (covered, total) = (sum("covered"), sum("count"));
            assert!(note.contains(&format!("{covered}/{total} conditions")), "{release} {line}: {note}");
            assert_eq!(note.matches("<table class=\"conditions\">").count(), decisions.len());
            let num = |words: &str| u64::try_from(note.matches(words).count()).unwrap();
            assert_eq!(
                [num(">decided<"), num("✕ not shown<")],
                [covered, total - covered],
                "{release} {line}"
            );
        }
    }
}

/// lcov 1.16, which knows no conditions, reads the rest.
#[test]
fn the_trace_has_the_records_of_lcov_2() {
    let records = |trace: &str| -> Vec<String> {
        let is_meant = |line: &&str| ["SF:", "MC", "BRDA:"].iter().any(|start| line.starts_with(start));
        trace.lines().filter(is_meant).map(str::to_owned).collect()
    };
    let ours = text("gcc-14", &["--lcov", "-"]);
    let theirs = records(&String::from_utf8(read("gcc-14", "lcov.info")).unwrap());
    assert!(theirs.iter().filter(|line| line.starts_with("MCDC:")).count() > 20, "{theirs:?}");
    assert_eq!(records(&ours), theirs);
    let dir = tempdir().unwrap();
    let trace = dir.path().join("ours.info");
    fs::write(&trace, ours).unwrap();
    let args = ["--rc", "lcov_branch_coverage=1", "--summary", trace.to_str().unwrap()];
    let output = std::process::Command::new(tool("lcov").unwrap()).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("28 branches"), "{said}");
}

#[test]
fn a_share_of_conditions_can_be_asked_for() {
    for release in RELEASES {
        let only = ["--ignore-filename-regex", "header.h$"];
        let [covered, total] = outcomes(release);
        let percent = covered * 100 / total;
        let judged = |percent: u64| {
            let percent = percent.to_string();
            report(release, &[&only[..], &["--fail-under-conditions", &percent]].concat())
        };
        assert_done(&judged(percent));
        let below = judged(percent + 1);
        assert_eq!(below.status.code(), Some(1));
        assert!(stderr(&below).contains(&format!("{covered} of {total}")), "{}", stderr(&below));
    }
}

/// A program that is compiled without has no column, and no share.
#[test]
fn without_conditions_there_is_no_word_of_them() {
    let dir = tempdir().unwrap();
    let compile =
        ["--coverage", "-o", "program", folder().join("decide.c").to_str().unwrap()].map(str::to_owned);
    let gcc =
        std::process::Command::new(tool("gcc-12").unwrap()).args(compile).current_dir(dir.path()).status();
    assert!(gcc.unwrap().success());
    let program = std::process::Command::new(dir.path().join("program")).current_dir(dir.path()).status();
    assert!(program.unwrap().success());
    let report = |options: &[&str]| run(["report", dir.path().to_str().unwrap()].iter().chain(options));
    let site = dir.path().join("site");
    let output = report(&["--text", "--functions", "--show=mcdc", "--html", site.to_str().unwrap()]);
    assert_done(&output);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("Branches") && !shown.to_lowercase().contains("condition outcomes"), "{shown}");
    let index = fs::read_to_string(site.join("index.html")).unwrap();
    assert!(index.contains(">Branches<") && !index.contains(">Conditions<"), "{index}");
    let trace = report(&["--lcov", "-"]).stdout;
    assert!(!String::from_utf8(trace).unwrap().contains("\nMC"));
    assert_refused(&report(&["--fail-under-conditions", "1"]), "the build has no conditions to measure", "");
}
