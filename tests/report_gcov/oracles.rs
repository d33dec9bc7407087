//! Reports of GCC's files against those that lcov and gcovr make of them.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;

use crate::build::{Dir, by_file, corpus};

/// Builds and runs the corpus, each program in a folder of its own.
fn built_corpus(release: u32) -> Dir {
    let dir = Dir::new();
    // lcov 1.16 writes the names of functions in Latin 1.
    let programs = corpus().into_par_iter().filter(|(name, _)| !name.starts_with("utf8"));
    programs.for_each(|(name, sources)| {
        let name = &name;
        std::fs::create_dir(dir.path(name)).unwrap();
        for (number, source) in sources.iter().enumerate() {
            let is_c = source.extension().unwrap() == "c";
            let driver = format!("{}-{release}", if is_c { "gcc" } else { "g++" });
            let standard = if is_c { "-std=gnu17" } else { "-std=c++20" };
            let object = format!("{number}.o");
            let args = ["--coverage", "-w", standard, "-O0", "-c", source.to_str().unwrap(), "-o", &object];
            dir.run(name, &driver, &args);
        }
        let objects: Vec<String> = (0..sources.len()).map(|number| format!("{number}.o")).collect();
        let link = ["--coverage", "-o", "program"].into_iter().chain(objects.iter().map(String::as_str));
        dir.run(name, &format!("g++-{release}"), &link.collect::<Vec<_>>());
        dir.run(name, "./program", &[""; 0]);
    });
    dir
}

/// Functions, lines and branches of all programs together are those of lcov: headers and templates are in many units.
#[test]
fn the_trace_has_what_lcov_has() {
    for release in [11, 12] {
        let dir = built_corpus(release);
        let tool = format!("gcov-{release}");
        let options = ["--rc", "lcov_branch_coverage=1", "--quiet", "--gcov-tool", &tool];
        dir.run(".", "lcov", &[&options[..], &["-c", "-d", ".", "-o", "units.info"]].concat());
        // Units of one file become one.
        dir.run(".", "lcov", &[&options[..3], &["-a", "units.info", "-o", "sum.info"]].concat());
        let theirs = by_file(&std::fs::read_to_string(dir.path("sum.info")).unwrap());
        let ours = by_file(&dir.trace(&["."]));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        let mut entries = 0;
        for (file, theirs) in &theirs {
            let differ: Vec<_> = ours[file].symmetric_difference(theirs).collect();
            assert!(differ.is_empty(), "{file}, GCC {release}: {differ:?}");
            entries += theirs.len();
        }
        println!("GCC {release}: {} files, {entries} entries", theirs.len());
        assert!(theirs.len() > 60 && entries > 4000, "{} files, {entries} entries", theirs.len());
    }
}

const UNITS: [(&str, &str); 3] = [
    ("src/shared.h", "static inline int clamp(int x) {\n  if (x > 3)\n    return 3;\n  return x;\n}\n"),
    (
        "src/a.c",
        "#include \"shared.h\"\nint b(int);\nint main(void) {\n  int sum = 0;\n  for (int i = 0; i < 9; i++)\n    sum += clamp(i);\n  return b(sum);\n}\n",
    ),
    (
        "src/b.c",
        "#include \"shared.h\"\nint unused(int x) {\n  return x ? 1 : 2;\n}\nint b(int x) {\n  switch (x) {\n  case 1: return clamp(x);\n  case 2: return 7;\n  }\n  return 0;\n}\n",
    ),
];

fn built_units() -> Dir {
    let dir = Dir::new();
    UNITS.iter().for_each(|(name, text)| dir.write(name, text));
    dir.build_and_run("build", &["../src/a.c", "../src/b.c"]);
    dir
}

/// Lines and branches of each line are those of gcovr, which adds up units by itself.
#[test]
fn lines_and_branches_are_those_of_gcovr() {
    let dir = built_units();
    let args = ["-r", "../src", "--gcov-executable", "gcov-12", "--json", "-", "."];
    let report: Value = serde_json::from_slice(&dir.run("build", "gcovr", &args)).unwrap();
    let trace = by_file(&dir.trace(&["build"]));
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    let mut branches = 0;
    for file in files {
        let name = dir.text(&format!("src/{}", file["file"].as_str().unwrap()));
        let name = std::fs::canonicalize(name).unwrap();
        let ours = &trace[name.to_str().unwrap()];
        let counted = |line: &&Value| !line["gcovr/noncode"].as_bool().unwrap();
        let mut expected = Vec::new();
        for line in file["lines"].as_array().unwrap().iter().filter(counted) {
            let (number, count) = (&line["line_number"], &line["count"]);
            expected.push(format!("DA:{number},{count}"));
            for (at, branch) in line["branches"].as_array().unwrap().iter().enumerate() {
                let taken = if *count == 0 { "-".to_owned() } else { branch["count"].to_string() };
                expected.push(format!("BRDA:{number},0,{at},{taken}"));
                branches += 1;
            }
        }
        let ours: Vec<_> = ours.iter().filter(|entry| !entry.starts_with("FN")).collect();
        expected.sort();
        assert_eq!(ours, expected.iter().collect::<Vec<_>>(), "{name:?}");
    }
    assert!(branches > 6, "{branches}");
}

/// Cobertura's lines are those that gcovr's have.
#[test]
fn cobertura_is_that_of_gcovr() {
    let dir = built_units();
    let args = ["-r", "../src", "--gcov-executable", "gcov-12", "--xml", "../theirs.xml", "."];
    dir.run("build", "gcovr", &args);
    let (ours, root) = (dir.text("ours.xml"), dir.text("src"));
    crate::common::assert_done(&dir.report(&["build"], &["--cobertura", &ours, "--root", &root]));
    let [ours, theirs] = ["ours.xml", "theirs.xml"].map(|name| cobertura(&dir.path(name)));
    assert_eq!(ours, theirs);
    assert!(ours.values().any(|line| line.contains("33% (1/3)")), "{ours:?}");
}

/// The lines of files, and what they say.
fn cobertura(path: &Path) -> BTreeMap<(String, u32), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let classes = document.descendants().filter(|node| node.has_tag_name("class"));
    let lines = classes.flat_map(|class| {
        let lists = class.children().filter(|node| node.has_tag_name("lines"));
        let lines = lists.flat_map(|list| list.children().filter(|node| node.has_tag_name("line")));
        lines.map(move |line| {
            let of = |name: &str| line.attribute(name).unwrap_or_default().to_owned();
            let conditions = line.descendants().filter(|node| node.has_tag_name("condition"));
            let conditions: Vec<_> = conditions.filter_map(|node| node.attribute("coverage")).collect();
            let place = (class.attribute("filename").unwrap().to_owned(), of("number").parse().unwrap());
            (place, format!("{} {} {conditions:?}", of("hits"), of("condition-coverage")))
        })
    });
    lines.collect()
}

/// The other forms say the same as the trace.
#[test]
fn every_form_has_the_same_counts() {
    let dir = built_units();
    let map = format!("{}={}", dir.text("src"), "/src");
    let options = ["--path-map", &map, "--ignore-filename-regex", "shared"];
    let output = |more: &[&str]| {
        let output = dir.report(&["build"], &[&options[..], more].concat());
        crate::common::assert_done(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let codecov: Value = serde_json::from_str(&output(&["--codecov", "-"])).unwrap();
    assert_eq!(
        codecov["coverage"]["/src/b.c"],
        serde_json::json!({ "2": 0, "3": 0, "5": 1, "6": "1/3", "7": 0, "8": 0, "10": 1 })
    );
    assert!(codecov["coverage"].get("/src/shared.h").is_none());
    let table = output(&["--text"]);
    let head: Vec<&str> = table.lines().next().unwrap().split("  ").filter(|it| !it.is_empty()).collect();
    assert!(!table.contains("Regions") && head.len() == 10, "{table}");
    assert!(output(&["--show-missing-lines"]).contains("/src/b.c: 2-3, 7-8\n"));
    let sonarqube = output(&["--sonarqube", "-"]);
    let line = r#"<lineToCover lineNumber="6" covered="true" branchesToCover="3" coveredBranches="1"/>"#;
    assert!(sonarqube.contains(line), "{sonarqube}");
}
