//! Pages of object code: they say what was executed, and take no symbol for markup.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use covtap::coverage::Coverage;
use covtap::coverage::object::{ObjectCoverage, ObjectItem, Outcome};
use covtap::coverage::trace::TracedImage;
use covtap::image::{Image, Slide};
use covtap::profile::trace::{Counting, Trace, TraceBuilder, Ways};
use covtap::write::html::ObjectProgram;
use covtap_testbed::run;
use roxmltree::{Document, Node};
use serde_json::json;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::input;
use crate::pages::{body, exact, has_class, row_tallies, text};

/// What a linker may name a function.
const HOSTILE: &str = "</h1><script>document.title='owned'</script>";

/// A constant that Armv6-M has in a literal pool, a branch that is taken both ways, and one that is not.
const SOURCE: &str = "\
extern int hostile(int) __asm__(\"</h1><script>document.title='owned'</script>\");
volatile unsigned sink;
int hostile(int n) {
  sink = 0x12345678;
  return n + 1;
}
int one(int n) {
  if (n > 3)
    sink = 1;
  return hostile(n);
}
int start(int n) {
  while (n--)
    sink += one(n);
  if (sink == 77)
    return hostile(2);
  return 0;
}
";

/// A program without counters, a trace of it that is made up, and a site.
struct Traced {
    dir: TempDir,
    image: Image,
    trace: Trace,
}

impl Traced {
    fn new(has_branches: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [source, object, elf] = ["code.c", "code.o", "program.elf"].map(|name| dir.path().join(name));
        fs::write(&source, SOURCE).unwrap();
        let flags = ["--target=thumbv6m-none-eabi", "-O1", "-g", "-fno-inline", "-ffreestanding", "-c", "-o"];
        let flags = flags.into_iter().map(Into::into);
        run("clang-19", flags.chain([object.clone().into_os_string(), source.into()])).unwrap();
        let link = ["-e", "start", "-Ttext=0x8000", "-o"].into_iter().map(Into::into);
        run("ld.lld-19", link.chain([elf.clone().into_os_string(), object.into()])).unwrap();
        let image = Image::parse("build/program.elf", fs::read(elf).unwrap()).unwrap();
        let trace = made_up(&image, has_branches);
        Self { dir, image, trace }
    }

    fn object(&self) -> ObjectCoverage<'_> {
        ObjectCoverage::new(&self.image, Slide::ZERO, &self.trace, self.trace.space("").unwrap())
    }

    /// Writes the site, with the program as often as there are spaces.
    fn write(&self, spaces: &[&str]) -> PathBuf {
        let space = self.trace.space("").unwrap();
        let traced =
            TracedImage::with_places(&self.image, &[], Slide::ZERO, space, self.trace.counting).unwrap();
        let mut coverage = Coverage::default();
        coverage.add_unit("program.elf", &traced.unit);
        let object = self.object();
        let program = |space: &&'static str| ObjectProgram { object: &object, places: &traced.places, space };
        let spaces: Vec<&'static str> = spaces.iter().map(|space| &*space.to_string().leak()).collect();
        let programs: Vec<_> = spaces.iter().map(program).collect();
        let path = self.dir.path().join("site");
        input::write_traced(&coverage, &programs, &path, &|name| fs::read(OsStr::from_bytes(name)).ok());
        path
    }
}

/// All of `one` and `start` ran but their last instructions; branches went one way, or both.
fn made_up(image: &Image, has_branches: bool) -> Trace {
    let (empty, nothing) = (Trace::default(), covtap::profile::trace::Space::default());
    let object = ObjectCoverage::new(image, Slide::ZERO, &empty, &nothing);
    let mut builder = TraceBuilder::new(Counting::Times);
    for function in object.functions().filter(|function| function.name != HOSTILE) {
        let insns = &function.instructions[..function.instructions.len() - 1];
        for (insn, number) in insns.iter().zip(0..) {
            let count = 1234 * (1 + number % 3);
            builder.block("", insn.insn.address, insn.insn.len_bytes as u64, count).unwrap();
            if insn.branch.is_some() && has_branches {
                let ways = Ways { taken: count - 7, fell_through: if number % 2 == 0 { 7 } else { 0 } };
                builder.branch("", insn.insn.address, ways).unwrap();
            }
        }
    }
    builder.finish()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The pages of functions, by the symbols that they say.
fn pages(site: &Path) -> BTreeMap<String, PathBuf> {
    let pages = fs::read_dir(site.join("object")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| text(find(Document::parse(body(&read(path))).unwrap().root(), "h1")[0]);
    pages.map(|path| (name(&path), path)).collect()
}

fn find<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Vec<Node<'a, 'i>> {
    node.descendants().filter(|node| node.has_tag_name(tag)).collect()
}

fn child<'a, 'i>(node: Node<'a, 'i>, class: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|node| has_class(node, class))
}

/// Every instruction with its count, its bytes and its ways, and data without a count.
#[test]
fn pages_say_what_was_executed() {
    let traced = Traced::new(true);
    let site = traced.write(&[""]);
    let pages = pages(&site);
    let (object, mut data, mut one_way) = (traced.object(), 0, 0);
    assert_eq!(pages.len(), object.functions().len());
    for function in object.functions() {
        let page = read(&pages[function.name]);
        let page = Document::parse(body(&page)).unwrap();
        let words = page.descendants().filter(|node| has_class(node, "b") && text(*node) == "78 56 34 12");
        data += words.count();
        for item in function.items() {
            let (address, insn) = match item {
                ObjectItem::Instruction(insn) => (insn.insn.address, Some(insn)),
                ObjectItem::Data(data) => (data.address.get(), None),
            };
            let id = format!("A{address:x}");
            let row = page.descendants().find(|node| node.attribute("id") == Some(&id)).unwrap();
            let shown = child(row, "b").map(text).unwrap().replace(' ', "");
            let Some(insn) = insn else {
                assert!(child(row, "c").is_none() && text(row).contains("data"), "{id}");
                continue;
            };
            assert_eq!(child(row, "c").map(exact), Some(insn.count), "{id}");
            assert_eq!(has_class(&row, "u"), insn.count == 0, "{id}");
            assert_eq!(shown.len(), insn.insn.len_bytes * 2, "{id}: {shown}");
            let ways = child(row, "w").map(text).unwrap();
            match insn.branch {
                Some(Outcome::Known(Ways { taken, fell_through: 0 })) if taken > 0 => {
                    one_way += 1;
                    assert!(ways.contains("✕ never fell through") && has_class(&row, "p"), "{id}: {ways}");
                }
                Some(Outcome::Known(Ways { taken, .. })) if taken > 0 => {
                    assert!(ways.contains("taken ") && !ways.contains('✕'), "{id}: {ways}");
                }
                _ => assert!(!ways.contains("taken") && !ways.contains("through"), "{id}: {ways}"),
            }
        }
    }
    assert!(data > 0 && one_way > 0, "{data} pools with the constant, {one_way} branches that went one way");
    let table = read(&site.join("object.html"));
    let table = Document::parse(body(&table)).unwrap();
    for function in object.functions() {
        let rows = find(table.root(), "tr");
        let row = rows.iter().find(|row| find(**row, "a").iter().any(|a| text(*a) == function.name)).unwrap();
        let tally = function.tally();
        assert_eq!(row_tallies(*row)[2..], [tally.instructions, tally.ways], "{}", function.name);
    }
    let total = find(table.root(), "tfoot")[0].first_element_child().unwrap();
    assert_eq!(row_tallies(total)[2..], [object.tally().instructions, object.tally().ways]);
}

/// From the index to the table to a function to its source, and back.
#[test]
fn pages_lead_to_each_other() {
    let traced = Traced::new(true);
    let site = traced.write(&[""]);
    let hrefs = |path: &Path| -> Vec<String> {
        let page = read(path);
        let page = Document::parse(body(&page)).unwrap();
        page.descendants().filter_map(|node| node.attribute("href").map(str::to_owned)).collect()
    };
    assert!(hrefs(&site.join("index.html")).contains(&"object.html".to_owned()));
    let pages = pages(&site);
    let one = pages["one"].file_name().unwrap().to_str().unwrap();
    assert!(hrefs(&site.join("object.html")).contains(&format!("object/{one}")));
    let source = hrefs(&pages["one"]).into_iter().find(|href| href.starts_with("../files/")).unwrap();
    let (file, line) = source.split_once('#').unwrap();
    assert_eq!(line, "L7");
    let file = site.join("object").join(file);
    assert!(hrefs(&file).contains(&format!("../object/{one}")));
    assert!(read(&file).contains("id=\"L7\""));
    let called = hrefs(&pages["start"]);
    assert!(called.contains(&one.to_owned()), "{called:?}");
    for target in called.iter().filter_map(|href| href.strip_prefix("#")) {
        assert!(read(&pages["start"]).contains(&format!("id=\"{target}\"")), "{target}");
    }
}

#[test]
fn symbols_are_text() {
    let traced = Traced::new(true);
    let site = traced.write(&["</th><img src=x>", "b"]);
    let mut all: Vec<PathBuf> =
        fs::read_dir(site.join("object")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.push(site.join("object.html"));
    for path in &all {
        let page = read(path);
        let page = Document::parse(body(&page)).unwrap();
        let names: Vec<&str> = page.descendants().map(|node| node.tag_name().name()).collect();
        assert!(!names.contains(&"img") && !names.contains(&"script"), "{path:?}: {names:?}");
    }
    let name = pages(&site)[HOSTILE].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)), "{name}");
    let mut browser = Browser::start();
    browser.open(&site.join("object").join(name), "");
    assert_eq!(browser.eval("document.querySelector('h1').textContent"), json!(HOSTILE));
    assert_ne!(browser.eval("document.title"), json!("owned"));
    browser.assert_quiet(&site);
}

/// Where nobody looked, no share of ways is shown; a place that never ran tells that no branch went there.
#[test]
fn ways_that_nobody_looked_at_have_no_share() {
    let traced = Traced::new(false);
    let site = traced.write(&[""]);
    for page in ["object.html", "index.html"].map(|name| read(&site.join(name))) {
        assert!(!page.contains("Ways of branches") && !page.contains("the ways of branches"), "{page}");
    }
    assert!(read(&site.join("object.html")).contains("Nobody looked which way branches went"));
    let outcomes: Vec<_> = traced
        .object()
        .functions()
        .flat_map(|function| function.instructions)
        .filter_map(|insn| insn.branch)
        .filter(|branch| *branch != Outcome::Known(Ways::default()))
        .collect();
    assert!(
        !outcomes.is_empty() && outcomes.iter().all(|it| !matches!(it, Outcome::Known(_))),
        "{outcomes:?}"
    );
}

#[test]
fn the_table_is_sorted_and_filtered_and_a_function_walked() {
    let traced = Traced::new(true);
    let site = traced.write(&["a", "b"]);
    let mut browser = Browser::start();
    browser.open(&site.join("object.html"), "");
    let rows = "[...document.querySelectorAll('.files tbody tr:not([hidden])')].map(row => row.cells[0].textContent)";
    let names = browser.eval(rows);
    assert_eq!(
        names,
        json!(["a: program.elf/", HOSTILE, "one", "start", "b: program.elf/", HOSTILE, "one", "start"])
    );
    browser.press("f");
    browser.eval("document.querySelectorAll('.files thead button')[1].click()");
    assert_eq!(
        browser.eval(&format!("({rows})[0]")),
        json!("b: program.elf/start"),
        "by address, from the last"
    );
    browser.press("/");
    browser.write("one");
    assert_eq!(browser.eval("document.getElementById('said').textContent"), json!("2 of 6 functions"));
    browser.press("Escape");
    browser.open(&pages(&site)["start"], "");
    browser.press("n");
    let at = browser.eval("location.hash");
    assert!(at.as_str().unwrap().starts_with("#A"), "{at}");
    let said = browser.eval("document.getElementById('where').textContent");
    assert!(said.as_str().unwrap().starts_with("1 of "), "{said}");
    browser.press("u");
    browser.wait_for_load();
    assert_eq!(browser.eval("document.querySelector('h1').textContent"), json!("Object code of program.elf"));
    browser.assert_quiet(&site);
}
