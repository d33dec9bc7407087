//! Cobertura, SonarQube and Codecov files, and the list of missing lines: valid by their schemas, and with the numbers
//! of the lcov trace.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use covtap::coverage::Coverage;
use covtap::image::{Image, Slide};
use covtap::locate::{CounterRegion, llvm};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::{cobertura, codecov, lcov, missing, sonarqube};
use covtap_testbed::{fixture, run, workspace_root};
use proptest::prelude::*;
use roxmltree::{Document, Node};
use schemas::{assert_valid, schema, xmllint};
use tempfile::tempdir;

/// A moment for the time stamp.
const SOME_TIME_S: u64 = 1_700_000_000;

/// The highest count that the formats have.
const HIGHEST: u64 = 2_147_483_647;

/// The coverage of a program whose counters are what `fill` makes of the regions.
fn coverage(elf: &Path, fill: impl Fn(&CounterRegion) -> Vec<u8>) -> Coverage {
    let image = Image::parse("program.elf", fs::read(elf).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    let regions: Vec<Vec<u8>> = located.regions.iter().map(fill).collect();
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    Coverage::new(&image, &located.image, &profile).unwrap()
}

/// Little-endian counters, the first with the count that `of` gives for 0.
fn counts(region: &CounterRegion, of: impl Fn(u64) -> u64) -> Vec<u8> {
    let len = usize::try_from(region.range.len_bytes()).unwrap();
    let counters = (0..region.range.len_bytes().div_ceil(8)).flat_map(|index| of(index).to_le_bytes());
    counters.take(len).collect()
}

fn of_guest(name: &str) -> Coverage {
    let counters = fs::read(fixture(name).join("counters.bin")).unwrap();
    coverage(&fixture(name).join("covered.elf"), |_| counters.clone())
}

/// Compiles sources to a program without a runtime.
fn build(dir: &Path, sources: &[PathBuf]) -> PathBuf {
    let flags = ["--target=x86_64-none-elf", "-O1", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-c"];
    let flags = flags.into_iter().chain(["-fprofile-instr-generate", "-fcoverage-mapping"]).map(OsStr::new);
    let mut objects = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let object = dir.join(format!("{number}.o"));
        let paths = [source.as_os_str(), OsStr::new("-o"), object.as_os_str()];
        run("clang-19", flags.clone().chain(paths)).unwrap();
        objects.push(object.into_os_string());
    }
    let exe = dir.join("program.elf");
    let link = ["-e", "start", "--defsym=__llvm_profile_runtime=0", "--unresolved-symbols=ignore-all", "-o"];
    let link = link.into_iter().map(OsString::from).chain([exe.clone().into_os_string()]).chain(objects);
    run("ld.lld-19", link).unwrap();
    exe
}

/// Macros, templates, headers in several units, switches: the program that the line rules are tested with.
fn with_branches(seed: u64) -> Coverage {
    let dir = tempdir().unwrap();
    let source = |name| workspace_root().join("tests/coverage").join(name);
    let elf = build(dir.path(), &[source("program.cpp"), source("other.cpp")]);
    coverage(&elf, |region| counts(region, |index| (index * 7 + seed) % 11 * seed))
}

fn written(write: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    write(&mut once).unwrap();
    write(&mut twice).unwrap();
    assert_eq!(once, twice, "the same coverage gives the same bytes");
    String::from_utf8(once).unwrap()
}

fn as_cobertura(coverage: &Coverage, root: Option<&Path>) -> String {
    written(|out| cobertura::write(coverage, root, SOME_TIME_S, out))
}

fn as_sonarqube(coverage: &Coverage, root: Option<&Path>) -> String {
    written(|out| sonarqube::write(coverage, root, out))
}

fn as_codecov(coverage: &Coverage, root: Option<&Path>) -> String {
    written(|out| codecov::write(coverage, root, out))
}

/// What one line has: how often it ran, and how many of its branches' outcomes there were of how many.
type LineFigures = (u64, u64, u64);

/// Files by path, with their lines.
type Figures = BTreeMap<String, BTreeMap<u32, LineFigures>>;

/// The numbers of a trace of LLVM's, which other tests compare with llvm-cov.
fn of_trace(trace: &[u8]) -> Figures {
    let mut figures = Figures::new();
    let mut file = String::new();
    for line in String::from_utf8_lossy(trace).lines() {
        let (kind, rest) = line.split_once(':').unwrap_or((line, ""));
        let fields: Vec<&str> = rest.split(',').collect();
        let lines = figures.entry(file.clone()).or_default();
        match kind {
            "SF" => rest.clone_into(&mut file),
            "DA" => lines.entry(fields[0].parse().unwrap()).or_default().0 = fields[1].parse().unwrap(),
            "BRDA" => {
                let line = lines.entry(fields[0].parse().unwrap()).or_default();
                line.1 += u64::from(!["-", "0"].contains(&fields[3]));
                line.2 += 1;
            }
            _ => {}
        }
    }
    figures.remove("");
    figures
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(node: Node<'_, '_>, attribute: &str) -> T {
    node.attribute(attribute).unwrap_or_else(|| panic!("no {attribute} in {node:?}")).parse().unwrap()
}

fn elements<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.descendants().filter(move |node| node.has_tag_name(name))
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Node<'a, 'a> {
    node.children().find(|child| child.has_tag_name(name)).unwrap()
}

/// The lines right below a class or a method, after a look at what they say of their conditions.
fn cobertura_lines(node: Node<'_, '_>) -> BTreeMap<u32, LineFigures> {
    let mut lines = BTreeMap::new();
    for line in child(node, "lines").children().filter(Node::is_element) {
        let conditions: Vec<_> = elements(line, "condition").collect();
        let (mut covered, mut total) = (0, 0);
        if line.attribute("branch") == Some("true") {
            let text = line.attribute("condition-coverage").unwrap();
            let (percent, fraction) = text.strip_suffix(')').unwrap().split_once("% (").unwrap();
            let (c, t) = fraction.split_once('/').unwrap();
            (covered, total) = (c.parse().unwrap(), t.parse().unwrap());
            assert_eq!(percent.parse::<u64>().unwrap(), covered * 100 / total);
        }
        let percents = conditions.iter().map(|c| c.attribute("coverage").unwrap());
        let of_conditions = percents.map(|p| p.strip_suffix('%').unwrap().parse::<u64>().unwrap() / 50);
        assert_eq!((of_conditions.sum::<u64>(), conditions.len() as u64 * 2), (covered, total));
        let known = lines.insert(number(line, "number"), (number(line, "hits"), covered, total));
        assert_eq!(known, None, "a line is there once");
    }
    lines
}

/// Lines covered and all, outcomes covered and all.
fn totals<'a>(lines: impl IntoIterator<Item = &'a BTreeMap<u32, LineFigures>>) -> [u64; 4] {
    lines.into_iter().flat_map(BTreeMap::values).fold([0; 4], |sum, (count, covered, total)| {
        [sum[0] + u64::from(*count > 0), sum[1] + 1, sum[2] + covered, sum[3] + total]
    })
}

/// The rates of an element are those of the lines in it, cut to four digits.
fn assert_rates(node: Node<'_, '_>, [lines, all_lines, outcomes, all_outcomes]: [u64; 4]) {
    let parts = |name| (number::<f64>(node, name) * 10_000.0).round();
    let share = |covered: u64, total: u64| (covered * 10_000).checked_div(total).unwrap_or(10_000) as f64;
    assert!((parts("line-rate") - share(lines, all_lines)).abs() < 0.5, "{node:?}");
    assert!((parts("branch-rate") - share(outcomes, all_outcomes)).abs() < 0.5, "{node:?}");
}

/// Reads a Cobertura file as a consumer does, and checks that its parts agree.
fn of_cobertura(text: &str) -> Figures {
    let document = Document::parse(text).unwrap();
    let root = document.root_element();
    let source = elements(root, "source").next().and_then(|node| node.text()).unwrap();
    let mut figures = Figures::new();
    for package in elements(root, "package") {
        let mut in_package = Vec::new();
        for class in elements(package, "class") {
            let lines = cobertura_lines(class);
            assert_rates(class, totals([&lines]));
            let path = Path::new(source).join(class.attribute("filename").unwrap());
            let path = path.strip_prefix(".").unwrap_or(&path).to_str().unwrap().to_owned();
            assert_eq!(path.rsplit('/').next(), class.attribute("name"));
            in_package.push(lines.clone());
            assert_eq!(figures.insert(path, lines), None, "a file is there once");
        }
        assert_rates(package, totals(&in_package));
    }
    let sum = totals(figures.values());
    assert_rates(root, sum);
    let names = ["lines-covered", "lines-valid", "branches-covered", "branches-valid"];
    assert_eq!(names.map(|name| number::<u64>(root, name)), sum);
    assert_eq!(number::<u64>(root, "timestamp"), SOME_TIME_S);
    figures
}

/// No method is there twice, what ran of it ran as often in the file, and its branches are among those of the file.
/// That is so of counts that a run gave; of others LLVM's rules for lines say anything.
fn assert_methods(coverage: &Coverage) {
    let text = as_cobertura(coverage, None);
    for class in elements(Document::parse(&text).unwrap().root_element(), "class") {
        let lines = cobertura_lines(class);
        let mut names = BTreeSet::new();
        let mut outcomes: BTreeMap<u32, u64> = BTreeMap::new();
        for method in elements(class, "method") {
            let name = method.attribute("name").unwrap();
            assert!(names.insert(name), "{name}");
            let own = cobertura_lines(method);
            assert_rates(method, totals([&own]));
            for (number, (count, _, total)) in own {
                assert!(count <= lines[&number].0, "line {number} of {name}");
                *outcomes.entry(number).or_default() += total;
            }
        }
        assert!(outcomes.iter().all(|(number, total)| *total <= lines[number].2), "{outcomes:?}");
    }
}

fn of_sonarqube(text: &str) -> Figures {
    let document = Document::parse(text).unwrap();
    let outcomes = |line: Node<'_, '_>| match line.has_attribute("branchesToCover") {
        true => (number(line, "coveredBranches"), number(line, "branchesToCover")),
        false => (0, 0),
    };
    let line = |line| {
        let (covered, total) = outcomes(line);
        (number(line, "lineNumber"), (u64::from(number::<bool>(line, "covered")), covered, total))
    };
    let file = |file| {
        (
            Node::attribute(&file, "path").unwrap().to_owned(),
            elements(file, "lineToCover").map(line).collect(),
        )
    };
    elements(document.root_element(), "file").map(file).collect()
}

/// Compares Codecov's file; gives how many lines are covered in part.
fn assert_codecov(text: &str, expected: &Figures) -> usize {
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let files = json["coverage"].as_object().unwrap();
    assert!(files.keys().eq(expected.keys()), "{:?}", files.keys());
    let mut in_part = 0;
    for (path, lines) in expected {
        let values = files[path].as_object().unwrap();
        assert_eq!(values.len(), lines.len());
        for (number, (count, covered, total)) in lines {
            let value = &values[&number.to_string()];
            if let Some(text) = value.as_str() {
                assert_eq!(text, format!("{covered}/{total}"), "line {number} of {path}");
                in_part += 1;
            } else {
                assert_eq!(value.as_u64(), Some(*count), "line {number} of {path}");
                assert!(*count == 0 && *covered == 0 || covered == total, "line {number} of {path}");
            }
        }
    }
    in_part
}

/// Compares all three with the trace; gives lines, outcomes, and lines covered in part.
fn check(coverage: &Coverage) -> [usize; 3] {
    let mut expected = of_trace(&lcov::encode(coverage));
    expected.values_mut().flat_map(BTreeMap::values_mut).for_each(|line| line.0 = line.0.min(HIGHEST));
    let (cobertura, sonarqube) = (as_cobertura(coverage, None), as_sonarqube(coverage, None));
    assert_valid(&cobertura, &sonarqube);
    assert_eq!(of_cobertura(&cobertura), expected);
    let mut ran = expected.clone();
    ran.values_mut().flat_map(BTreeMap::values_mut).for_each(|line| line.0 = line.0.min(1));
    assert_eq!(of_sonarqube(&sonarqube), ran);
    let in_part = assert_codecov(&as_codecov(coverage, None), &expected);
    let [_, lines, _, outcomes] = totals(expected.values());
    [usize::try_from(lines).unwrap(), usize::try_from(outcomes).unwrap(), in_part]
}

#[test]
fn guests_have_the_numbers_of_the_trace() {
    for guest in ["x86-pvh", "arm-cortexm"] {
        let [lines, outcomes, in_part] = check(&of_guest(guest));
        assert!(lines > 100, "{guest} has {lines} lines");
        // rustc does not count branches unless it is told to.
        assert_eq!((outcomes, in_part), (0, 0), "{guest}");
    }
    let [lines, outcomes, in_part] = check(&of_guest("c-an385"));
    assert!(lines > 100 && outcomes > 20 && in_part > 0, "{lines} {outcomes} {in_part}");
}

#[test]
fn methods_are_parts_of_their_files() {
    for guest in ["x86-pvh", "arm-cortexm", "c-an385"] {
        assert_methods(&of_guest(guest));
    }
}

#[test]
fn branches_in_macros_and_templates_have_the_numbers_of_the_trace() {
    for seed in 0..4 {
        let [lines, outcomes, in_part] = check(&with_branches(seed));
        assert!(lines > 30 && outcomes > 100 && (in_part > 0) == (seed > 0), "{lines} {outcomes} {in_part}");
    }
}

#[test]
fn a_build_without_branches_says_so() {
    let text = as_cobertura(&of_guest("x86-pvh"), None);
    let document = Document::parse(&text).unwrap();
    let root = document.root_element();
    let attributes = ["branch-rate", "branches-valid", "complexity"].map(|name| root.attribute(name));
    assert_eq!(attributes, [Some("1.0"), Some("0"), Some("0")]);
    assert!(elements(root, "line").all(|line| line.attribute("branch") == Some("false")));
    assert!(elements(root, "line").all(|line| !line.has_attribute("condition-coverage")));
    let methods: Vec<_> = elements(root, "method").map(|method| method.attribute("name").unwrap()).collect();
    assert!(methods.iter().any(|name| name.starts_with("<workload::valve::Valve>::")), "{methods:?}");
    assert!(!as_sonarqube(&of_guest("x86-pvh"), None).contains("ranches"));
}

#[test]
fn counts_are_written_as_high_as_readers_go() {
    let elf = fixture("hosted").join("clang-19.elf");
    let coverage = coverage(&elf, |region| counts(region, |index| if index == 0 { u64::MAX } else { 1 }));
    let highest = |text: &str| {
        let figures = of_cobertura(text);
        figures.values().flat_map(BTreeMap::values).map(|line| line.0).max()
    };
    assert_eq!(highest(&as_cobertura(&coverage, None)), Some(HIGHEST));
    let codecov = as_codecov(&coverage, None);
    assert!(
        codecov.contains(&format!(":{HIGHEST}")) && !codecov.contains("18446744073709551615"),
        "{codecov}"
    );
}

/// Names that XML and JSON have to escape, and some that they cannot hold.
#[test]
fn hostile_names_are_escaped_or_replaced() {
    let dir = tempdir().unwrap();
    let folder = dir.path().join(OsStr::from_bytes(b"a&b <c>'\"]]>\x01\xff\xc3\xa9"));
    fs::create_dir(&folder).unwrap();
    let text = "struct S { int v; };\nbool operator<(S a, S b) { return a.v < b.v && a.v; }\n\
                bool operator&&(S a, S b) { return a.v; }\ntemplate <typename T> T f(T t) { return t; }\n\
                extern \"C\" int start(S a, S b) { return f(a.v) + f('c') + (a < b) + (a && b); }\n";
    // Three names that become one when their last byte is replaced, and one that stays.
    let sources = ["x\x02.cpp", "x\x03.cpp", "x\u{fffd}.cpp", "y\\\t.cpp"].map(|name| folder.join(name));
    for (number, source) in sources.iter().enumerate() {
        fs::write(source, text.replace("start", ["start", "b", "c", "d"][number])).unwrap();
    }
    // Only the first unit's functions are linked if they have one name each; so they do not.
    for (number, source) in sources.iter().enumerate() {
        let text = fs::read_to_string(source).unwrap().replace("struct S", &format!("struct S{number}"));
        fs::write(source, text.replace("S a, S b", &format!("S{number} a, S{number} b"))).unwrap();
    }
    let coverage = coverage(&build(dir.path(), &sources), |region| counts(region, |index| index % 2));
    let (cobertura, sonarqube) = (as_cobertura(&coverage, None), as_sonarqube(&coverage, Some(&folder)));
    assert_valid(&cobertura, &sonarqube);
    let document = Document::parse(&cobertura).unwrap();
    let root = document.root_element();
    let source = elements(root, "source").next().unwrap();
    let folder_text = format!("{}/a&b <c>'\"]]>\u{fffd}\u{fffd}é", dir.path().display());
    assert_eq!(source.text(), Some(folder_text.as_str()));
    let methods: BTreeSet<_> =
        elements(root, "method").map(|method| method.attribute("name").unwrap()).collect();
    assert!(methods.contains("operator<(S0, S0)") && methods.contains("operator&&(S3, S3)"), "{methods:?}");
    let long = format!("{folder_text}/x\u{fffd}.cpp");
    let names = ["x\u{fffd}.cpp", &long, &format!("{long} (2)"), "y\\\u{fffd}.cpp"];
    let names = BTreeSet::from(names.map(str::to_owned));
    let classes: Vec<_> = elements(root, "class").map(|class| class.attribute("filename").unwrap()).collect();
    assert!(classes.len() == 4 && names.iter().all(|name| classes.contains(&name.as_str())), "{classes:?}");
    assert!(of_sonarqube(&sonarqube).keys().eq(&names), "{:?}", of_sonarqube(&sonarqube).keys());
    let codecov: serde_json::Value = serde_json::from_str(&as_codecov(&coverage, Some(&folder))).unwrap();
    assert!(codecov["coverage"].as_object().unwrap().keys().eq(&names), "{codecov}");
}

/// Files below the root are named from there; those elsewhere keep their path.
#[test]
fn paths_are_relative_to_the_root() {
    let dir = tempdir().unwrap();
    let (one, two) = (dir.path().join("repo/src/deep/one.c"), dir.path().join("repository/two.c"));
    for (path, text) in [(&one, "int start(void) { return 1; }\n"), (&two, "int two(void) { return 2; }\n")] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let coverage = coverage(&build(dir.path(), &[one.clone(), two.clone()]), |region| counts(region, |_| 1));
    let names = |root: Option<&Path>| {
        let text = as_cobertura(&coverage, root);
        let document = Document::parse(&text).unwrap();
        let all = |name, attribute: &str| {
            let nodes = elements(document.root_element(), name);
            nodes.map(|node| node.attribute(attribute).unwrap().to_owned()).collect::<Vec<_>>()
        };
        let source = elements(document.root_element(), "source").next().unwrap().text().unwrap().to_owned();
        (source, all("class", "filename"), all("package", "name"))
    };
    let shown = |path: &Path| path.display().to_string();
    let pair = |one: &str, two: &str| vec![one.to_owned(), two.to_owned()];
    assert_eq!(
        names(None),
        (
            shown(dir.path()),
            pair("repo/src/deep/one.c", "repository/two.c"),
            pair("repo.src.deep", "repository")
        )
    );
    let repo = dir.path().join("repo/");
    let outside = shown(two.parent().unwrap()).trim_start_matches('/').replace('/', ".");
    let (source, files, packages) = names(Some(&repo));
    assert_eq!((source, files), (shown(&repo), pair("src/deep/one.c", &shown(&two))));
    assert_eq!(packages.into_iter().collect::<BTreeSet<_>>(), [outside, "src.deep".to_owned()].into());
    let sonarqube = of_sonarqube(&as_sonarqube(&coverage, Some(&repo)));
    let absolute = of_sonarqube(&as_sonarqube(&coverage, None));
    assert!(sonarqube.keys().eq(&[shown(&two), "src/deep/one.c".to_owned()]), "{:?}", sonarqube.keys());
    assert!(absolute.keys().eq(&[shown(&one), shown(&two)]), "{:?}", absolute.keys());
}

/// The schemas refuse what a reader would.
#[test]
fn the_schemas_can_tell() {
    let coverage = of_guest("c-an385");
    let dtd = ["--dtdvalid", &schema("cobertura-04.dtd")];
    let xsd = ["--schema", &schema("sonarqube-generic-1.xsd")];
    for (schema, text, from, to, said) in [
        (&dtd, as_cobertura(&coverage, None), " hits=", " times=", "hits"),
        (&dtd, as_cobertura(&coverage, None), "<methods>", "<methods><class>", "class"),
        (&xsd, as_sonarqube(&coverage, None), "lineNumber=\"", "lineNumber=\"-", "positiveInteger"),
        (&xsd, as_sonarqube(&coverage, None), "covered=\"", "covered=\"?", "boolean"),
    ] {
        let damaged = text
            .replace(from, to)
            .replace("</methods>", if to.ends_with("<class>") { "</class></methods>" } else { "</methods>" });
        let error = xmllint(schema, &damaged).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn missing_lines_are_those_that_the_trace_has_without_a_count() {
    for coverage in [of_guest("x86-pvh"), of_guest("c-an385"), with_branches(0), with_branches(3)] {
        let mut expected: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (path, lines) in of_trace(&lcov::encode(&coverage)) {
            let missing = lines.iter().filter(|(_, line)| line.0 == 0).map(|(number, _)| *number);
            expected.entry(path).or_default().extend(missing);
        }
        expected.retain(|_, missing| !missing.is_empty());
        assert!(!expected.is_empty());
        let text = written(|out| missing::write(&coverage, out));
        let of_line = |line: &str| {
            let (path, ranges) = line.split_once(": ").unwrap();
            let lines = ranges.split(", ").flat_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse::<u32>().unwrap()..=last.parse().unwrap()
            });
            (path.to_owned(), lines.collect::<Vec<u32>>())
        };
        assert_eq!(text.lines().map(of_line).collect::<BTreeMap<_, _>>(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a damaged mapping makes of lines and names, the files are valid and their parts agree.
    #[test]
    fn files_of_damaged_mappings_are_valid(
        section in prop::sample::select(vec!["__llvm_covmap", "__llvm_covfun"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = fs::read(fixture("c-an385").join("covered.elf")).unwrap();
        let image = Image::parse("whole.elf", bytes.clone()).unwrap();
        let section = image.section(section).unwrap();
        let (damaged, start) = (section.file_bytes().unwrap(), usize::try_from(section.file_offset()).unwrap());
        for (index, byte) in changes {
            bytes[start + index.index(damaged.len())] = byte;
        }
        let counters = fs::read(fixture("c-an385").join("counters.bin")).unwrap();
        let located = llvm::locate(&image, Slide::ZERO).unwrap();
        let profile = LlvmProfile::new(&located.image, &[counters]).unwrap();
        let damaged = Image::parse("damaged.elf", bytes).unwrap();
        let coverage = Coverage::new(&damaged, &located.image, &profile).unwrap();
        let lines = coverage.files().flat_map(|file| file.lines()).map(|run| run.num_lines()).sum::<u64>();
        // A mapping may say that there are millions of lines, which take long to check.
        if lines < 10_000 {
            let cobertura = as_cobertura(&coverage, None);
            let figures = of_cobertura(&cobertura);
            let in_part = assert_codecov(&as_codecov(&coverage, None), &figures);
            prop_assert!(in_part <= figures.values().map(BTreeMap::len).sum());
            prop_assert!(!of_sonarqube(&as_sonarqube(&coverage, None)).values().any(|lines| lines.contains_key(&0)));
        }
    }
}
