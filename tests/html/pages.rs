//! Pages as documents: they are well formed, say what the coverage says, and take nothing for markup.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use covtap::coverage::{Coverage, FileCoverage, Statistics, Tally};
use roxmltree::{Document, Node};

use crate::input::{self, Written};

/// The body, which has no element that HTML leaves open; HTML's own names of characters are not used in it.
pub(crate) fn body(page: &str) -> &str {
    let start = page.find("<body").unwrap();
    let end = page.rfind("</body>").unwrap() + "</body>".len();
    &page[start..end]
}

pub(crate) fn has_class(node: &Node<'_, '_>, class: &str) -> bool {
    node.attribute("class").is_some_and(|classes| classes.split(' ').any(|one| one == class))
}

pub(crate) fn find_in<'a, 'i>(node: Node<'a, 'i>, tag: &str, class: &str) -> Vec<Node<'a, 'i>> {
    let is_wanted =
        |node: &Node<'_, '_>| node.has_tag_name(tag) && (class.is_empty() || has_class(node, class));
    node.descendants().filter(is_wanted).collect()
}

/// All text below a node.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// A number as shown, exact: the title has it where the text is short.
pub(crate) fn exact(node: Node<'_, '_>) -> u64 {
    let shown = node.attribute("title").map_or_else(|| text(node), str::to_owned);
    shown.replace(',', "").trim_start_matches("✕ ").parse().unwrap()
}

/// The counts of a page's lines.
fn shown_counts(document: &Document<'_>) -> BTreeMap<u32, u64> {
    let lines = document
        .descendants()
        .filter(|node| has_class(node, "l") && node.attribute("id").is_some_and(|id| id.starts_with('L')));
    let count = |line: Node<'_, '_>| {
        let number = line.attribute("id").unwrap()[1..].parse().unwrap();
        let count = line.children().find(|node| node.has_tag_name("span") && has_class(node, "c"))?;
        Some((number, exact(count)))
    };
    lines.filter_map(count).collect()
}

fn counts(file: &FileCoverage<'_>) -> BTreeMap<u32, u64> {
    file.lines().into_iter().flat_map(|run| run.lines.map(move |line| (line, run.count))).collect()
}

fn tallies(statistics: &Statistics) -> [Tally; 4] {
    [statistics.lines, statistics.functions, statistics.regions, statistics.branches]
}

/// The numbers in a row of the index; `None` where it has a dash.
pub(crate) fn row_tallies(row: Node<'_, '_>) -> Vec<Tally> {
    let cells = row.children().filter(|node| node.has_tag_name("td"));
    let tally = |cell: Node<'_, '_>| {
        let numbers = cell.children().find(|node| node.has_tag_name("span")).map(text)?.replace(',', "");
        let (covered, total) = numbers.split_once('/').unwrap();
        Some(Tally { covered: covered.parse().unwrap(), total: total.parse().unwrap() })
    };
    cells.map(|cell| tally(cell).unwrap_or_default()).collect()
}

/// Every count of every line, every function and every total is the coverage's.
#[test]
fn pages_say_what_the_coverage_says() {
    let written = Written::corpus();
    let index = written.index();
    let index = Document::parse(body(&index)).unwrap();
    let rows: Vec<_> = index.descendants().filter(|node| node.has_tag_name("tr")).collect();
    let mut counted_lines = 0;
    for file in written.coverage.files() {
        let name = file.name().rsplit(|byte| *byte == b'/').next().unwrap();
        let name = std::str::from_utf8(name).unwrap();
        let page = written.page(&format!("{name}-"));
        let page = Document::parse(body(&page)).unwrap();
        assert_eq!(shown_counts(&page), counts(&file), "{name}");
        counted_lines += counts(&file).len();
        let source = fs::read_to_string(OsStr::from_bytes(file.name())).unwrap();
        let code = |line: &Node<'_, '_>| line.children().find(|node| node.has_tag_name("code")).map(text);
        let lines =
            page.descendants().filter(|node| node.attribute("id").is_some_and(|id| id.starts_with('L')));
        let shown: Vec<String> = lines.filter_map(|line| code(&line)).collect();
        assert_eq!(shown, source.lines().collect::<Vec<_>>(), "{name}");
        let row = rows.iter().find(|row| row.descendants().any(|node| node.text() == Some(name))).unwrap();
        assert_eq!(row_tallies(*row), tallies(&file.statistics()), "{name}");
        let entered: Vec<u64> = find_in(page.root(), "details", "functions")
            .iter()
            .flat_map(|list| {
                list.descendants().filter(|node| node.has_tag_name("td") && node.attribute("title").is_some())
            })
            .filter(|cell| !cell.attribute("title").unwrap().contains(" of "))
            .map(exact)
            .collect();
        let mut functions: Vec<_> = file.functions().collect();
        functions.sort_by_key(|function| function.start_line());
        assert_eq!(entered, functions.iter().map(|function| function.count).collect::<Vec<_>>(), "{name}");
    }
    assert!(counted_lines > 30, "{counted_lines} lines");
    assert_eq!(written.site.files, written.coverage.files().count());
    let total =
        index.descendants().find(|node| node.has_tag_name("tfoot")).unwrap().first_element_child().unwrap();
    assert_eq!(row_tallies(total), tallies(&written.coverage.statistics()));
}

/// Branches, macros in macros and instantiations stand at their lines, with the counts of the coverage.
#[test]
fn lines_say_what_is_behind_them() {
    let written = Written::corpus();
    let page = written.page("program.cpp-");
    let page = Document::parse(body(&page)).unwrap();
    let line = |number: u32| {
        let id = format!("L{number}");
        page.descendants().find(|node| node.attribute("id") == Some(&id)).unwrap()
    };
    let file = written.coverage.files().find(|file| file.name().ends_with(b"program.cpp")).unwrap();
    let mut branches = 0;
    for branch in file.own_branches().iter().filter(|branch| !branch.is_folded) {
        let place = format!("{}:{}", branch.start.line, branch.start.col);
        let row = line(branch.start.line).descendants().find(|node| node.text() == Some(&place)).unwrap();
        let cells: Vec<_> = row.parent().unwrap().children().filter(Node::is_element).collect();
        let counts: Vec<u64> = branch.outcomes().map(|outcome| outcome.count).collect();
        assert_eq!([exact(cells[2]), exact(cells[3])], counts[..], "{place}");
        branches += 1;
    }
    assert!(branches > 5, "{branches} branches");
    let nested = file.macro_uses().into_iter().find(|expansion| !expansion.macro_uses().is_empty()).unwrap();
    let shown = line(nested.start.line).descendants().filter(|node| has_class(node, "macro")).count();
    assert!(shown > 1, "{shown} macros on line {}", nested.start.line);
    let groups = file.instantiation_groups();
    let (start, group) = groups.iter().find(|(_, group)| group.len() > 1).unwrap();
    let table = line(start.line).descendants().find(|node| has_class(node, "instantiations")).unwrap();
    for function in group {
        let name = covtap::write::demangle::demangle(function.name).into_owned();
        assert!(text(table).contains(&name), "{name} in {}", text(table));
    }
}

/// A build with MC/DC has a column of it, and each decision its conditions, with what shows that they decide.
#[test]
fn decisions_stand_at_their_lines() {
    let written = Written::corpus_with(&["-fcoverage-mcdc"]);
    let index = written.index();
    let index = Document::parse(body(&index)).unwrap();
    let total =
        index.descendants().find(|node| node.has_tag_name("tfoot")).unwrap().first_element_child().unwrap();
    assert_eq!(row_tallies(total).last(), Some(&written.coverage.statistics().mcdc));
    let page = written.page("program.cpp-");
    let page = Document::parse(body(&page)).unwrap();
    let file = written.coverage.files().find(|file| file.name().ends_with(b"program.cpp")).unwrap();
    let decisions = file.own_decisions();
    let conditions = || decisions.iter().flat_map(|decision| &decision.conditions);
    assert!(
        conditions().any(|c| c.pair.is_some()) && conditions().any(|c| c.pair.is_none()),
        "{decisions:?}"
    );
    for decision in &decisions {
        let id = format!("L{}", decision.start.line);
        let line = page.descendants().find(|node| node.attribute("id") == Some(&id)).unwrap();
        let tables = find_in(line, "table", "decision").into_iter().map(|table| find_in(table, "tr", ""));
        let decides = decision.conditions.iter().map(|condition| match condition.pair {
            _ if condition.is_folded => "known to the compiler".to_owned(),
            None => "✕ not shown".to_owned(),
            Some((a, b)) => format!("shown by {} and {}", a + 1, b + 1),
        });
        let decides: Vec<String> = decides.collect();
        let cell =
            |row: &Node<'_, '_>| row.children().filter(|cell| cell.has_tag_name("td")).nth(2).map(text);
        let shown = tables.map(|rows| rows.iter().filter_map(cell).take(decides.len()).collect::<Vec<_>>());
        let shown: Vec<_> = shown.collect();
        assert!(shown.contains(&decides), "{decides:?} at {:?}: {shown:?}", decision.start);
    }
}

#[test]
fn a_metric_that_the_build_does_not_carry_has_no_column() {
    let written = Written::of_text(OsStr::new("plain.c"), b"int start(void) {\n  return 1;\n}\n", None);
    assert_eq!(written.coverage.statistics().branches, Tally::default());
    for page in [written.index(), written.page("plain.c-")] {
        assert!(page.contains("Regions") && !page.contains("Branches"), "{page}");
    }
}

/// The same input gives the same bytes, and they say when and of what they were made.
#[test]
fn a_site_is_the_same_each_time() {
    let read = |written: &Written| -> Vec<_> {
        let files = fs::read_dir(written.path().join("files")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let [one, other] = [(), ()].map(|()| Written::corpus());
    assert_eq!(read(&one), read(&other));
    let index = one.index();
    assert_eq!(index, other.index());
    for said in
        ["2026-02-03 04:05:06 UTC", "build/program.elf", "&lt;two&gt;.profraw", env!("CARGO_PKG_VERSION")]
    {
        assert!(index.contains(said), "{said}");
    }
}

/// Text that would be markup, in the source, in the names of a file and of a function.
pub(crate) const HOSTILE_TEXT: &str = "/* </code></div><script>document.title = 'owned'</script> \u{202e} \u{1}&amp; */\n\
    #define BAD(x) ((x) ? 1 : /* <img src=x onerror=\"document.title='owned'\"> */ 2)\n\
    int f(int a) __asm__(\"<script>document.title='owned'</script>\");\n\
    int f(int a) { return a ? BAD(a) : 4; }\n\
    int start(int a) { return f(a) + BAD(a); }\n";
pub(crate) const HOSTILE_NAME: &[u8] = b"\"'><img src=x onerror=\"document.title='owned'\">\n\xff.c";

#[test]
fn names_and_sources_are_text() {
    let written = Written::of_text(OsStr::from_bytes(HOSTILE_NAME), HOSTILE_TEXT.as_bytes(), Some("/etc"));
    let name = written.coverage.files().next().unwrap().name().to_vec();
    assert!(name.starts_with(b"/etc/"), "{}", String::from_utf8_lossy(&name));
    let outside = fs::read_dir(written.path().parent().unwrap()).unwrap().count();
    assert_eq!(outside, 3, "the object, the program, and the site");
    let pages = [written.index(), written.page("")];
    for page in &pages {
        let document = Document::parse(body(page)).unwrap();
        let names: Vec<&str> = document.descendants().map(|node| node.tag_name().name()).collect();
        assert!(!names.contains(&"img") && !names.contains(&"script"), "{names:?}");
        let attributes =
            document.descendants().flat_map(|node| node.attributes().map(|a| a.name().to_owned()));
        assert!(attributes.into_iter().all(|name| !name.starts_with("on")));
        let hrefs: Vec<_> = document.descendants().filter_map(|node| node.attribute("href")).collect();
        for href in hrefs.iter().filter(|href| !href.starts_with('#') && !href.starts_with("../index.html")) {
            let name = href.strip_prefix("files/").unwrap_or(href).split('#').next().unwrap();
            assert!(!name.contains('/') && !name.contains(".."), "{href}");
            assert!(written.path().join("files").join(name).is_file(), "{href}");
        }
        let head = &page[..page.find("<body").unwrap()];
        assert_eq!(head.matches("<script").count(), 1, "{head}");
    }
    assert!(pages[1].contains("⟨U+202E⟩ ␁&amp;amp;"), "{}", pages[1]);
}

#[test]
fn a_source_that_cannot_be_read_leaves_its_counts() {
    let written = Written::corpus();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("site");
    let site = input::write(&written.coverage, &path, &|_| None);
    assert_eq!(site.without_text.len(), site.files);
    for file in written.coverage.files() {
        let name = String::from_utf8_lossy(file.name()).into_owned();
        let page = fs::read_dir(path.join("files"))
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        let page =
            page.into_iter().find(|page| page.contains(&format!("<p class=\"path\">{name}</p>"))).unwrap();
        assert!(page.contains("read the source /nowhere/to/be/found.c: No such file"), "{name}");
        let firsts =
            file.lines().iter().map(|run| (*run.lines.start(), run.count)).collect::<BTreeMap<_, _>>();
        assert_eq!(shown_counts(&Document::parse(body(&page)).unwrap()), firsts, "{name}");
    }
}

#[test]
fn a_text_that_was_not_compiled_is_told() {
    let written = Written::corpus();
    let dir = tempfile::tempdir().unwrap();
    input::write(&written.coverage, &dir.path().join("site"), &|_| Some(b"// one line\n".to_vec()));
    let pages = fs::read_dir(dir.path().join("site/files")).unwrap();
    let told = pages.filter(|page| {
        let page = fs::read_to_string(page.as_ref().unwrap().path()).unwrap();
        page.contains(
            "This is not the text that was compiled: it has 1 line, and there are counts up to line ",
        )
    });
    assert_eq!(told.count(), written.site.files);
}

#[test]
fn no_coverage_is_a_site_too() {
    let dir = tempfile::tempdir().unwrap();
    let site = input::write(&Coverage::default(), &dir.path().join("site"), &|_| None);
    assert_eq!(site.files, 0);
    let index = fs::read_to_string(dir.path().join("site/index.html")).unwrap();
    assert!(Document::parse(body(&index)).is_ok() && index.contains("0 files"));
}
