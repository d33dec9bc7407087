//! The site in a browser, from `file://`: reading, sorting, filtering and keys.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::input::{self, Written};
use crate::pages::{HOSTILE_NAME, HOSTILE_TEXT};

/// The names of the rows that are shown, in their order.
const ROWS: &str = "[...document.querySelectorAll('.files tbody tr')].filter(row => !row.hidden)\
                    .map(row => row.querySelector('th').textContent)";

fn column(browser: &mut Browser, number: usize) -> Vec<f64> {
    let cells = browser.eval(&format!(
        "[...document.querySelectorAll('.files tbody tr')].filter(row => !row.hidden)\
         .map(row => parseFloat(row.cells[{number}].querySelector('b').textContent))"
    ));
    cells.as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap()).collect()
}

#[test]
fn the_index_sorts_by_every_column() {
    let written = Written::corpus();
    let mut browser = Browser::start();
    browser.open(&written.path().join("index.html"), "");
    assert_eq!(browser.eval(ROWS), json!(["header.h", "other.cpp", "program.cpp"]));
    let click = |browser: &mut Browser, number: usize| {
        browser.eval(&format!("document.querySelectorAll('.files thead button')[{number}].click()"));
        browser.eval(&format!(
            "document.querySelectorAll('.files thead th')[{number}].getAttribute('aria-sort')"
        ))
    };
    for number in 1..=4 {
        assert_eq!(click(&mut browser, number), json!("ascending"));
        let values = column(&mut browser, number);
        assert!(values.is_sorted() && values.first() < values.last(), "{number}: {values:?}");
        assert_eq!(click(&mut browser, number), json!("descending"));
        let values = column(&mut browser, number);
        assert!(values.is_sorted_by(|a, b| a >= b), "{number}: {values:?}");
    }
    click(&mut browser, 0);
    assert_eq!(click(&mut browser, 0), json!("descending"));
    assert_eq!(browser.eval(ROWS), json!(["program.cpp", "other.cpp", "header.h"]));
    let sorted = "document.querySelectorAll('[aria-sort=ascending], [aria-sort=descending]').length";
    assert_eq!(browser.eval(sorted), json!(1));
    browser.assert_quiet(&written.path());
}

#[test]
fn the_index_filters_and_is_walked_by_keys() {
    let written = Written::corpus();
    let mut browser = Browser::start();
    browser.open(&written.path().join("index.html"), "");
    browser.press("/");
    browser.write("CPP");
    assert_eq!(browser.eval(ROWS), json!(["other.cpp", "program.cpp"]));
    assert_eq!(browser.eval("document.getElementById('said').textContent"), json!("2 of 3 files"));
    browser.press("Escape");
    browser.press("o");
    assert_eq!(browser.eval(ROWS), json!(["program.cpp"]));
    browser.press("j");
    assert_eq!(browser.eval("document.activeElement.textContent"), json!("program.cpp"));
    browser.eval("document.activeElement.click()");
    browser.wait_for_load();
    assert_eq!(browser.eval("document.querySelector('h1').textContent"), json!("program.cpp"));
    browser.press("u");
    browser.wait_for_load();
    assert_eq!(browser.eval("document.body.dataset.page"), json!("index"));
    browser.assert_quiet(&written.path());
}

#[test]
fn directories_fold_and_make_way_for_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("site");
    input::write(&Written::in_directories(), &path, &|_| None);
    let mut browser = Browser::start();
    browser.open(&path.join("index.html"), "");
    let tree = json!(["a/", "one.c", "two.c", "b/three.c"]);
    assert_eq!(browser.eval(ROWS), tree);
    let fold = |browser: &mut Browser| {
        browser.eval("document.querySelector('.fold').click()");
        browser.eval("document.querySelector('.fold').getAttribute('aria-expanded')")
    };
    assert_eq!(fold(&mut browser), json!("false"));
    assert_eq!(browser.eval(ROWS), json!(["a/", "b/three.c"]));
    browser.press("f");
    assert_eq!(browser.eval(ROWS), json!(["a/one.c", "a/two.c", "b/three.c"]));
    browser.press("f");
    assert_eq!(browser.eval(ROWS), json!(["a/", "b/three.c"]), "folded as it was");
    browser.press("/");
    browser.write("two");
    assert_eq!(browser.eval(ROWS), json!(["a/", "two.c"]), "what is looked for is shown");
    browser.press("Escape");
    let clear = "filter.value = ''; filter.dispatchEvent(new Event('input'))";
    browser.eval(&format!("{{ const filter = document.getElementById('filter'); {clear} }}"));
    assert_eq!(fold(&mut browser), json!("true"));
    assert_eq!(browser.eval(ROWS), tree);
    browser.assert_quiet(&path);
}

/// The first lines of the stretches that did not run, or ran in part, by the page without its script.
fn stops(browser: &mut Browser, page: &Path) -> Vec<u64> {
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(page, "");
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": false}));
    let marks = browser.eval(
        "[...document.querySelectorAll('.source .chunk > .l > .k')].map(k => +k.parentNode.id.slice(1))",
    );
    let marks: Vec<u64> = marks.as_array().unwrap().iter().map(|mark| mark.as_u64().unwrap()).collect();
    marks.iter().copied().filter(|line| !marks.contains(&(line - 1))).collect()
}

#[test]
fn keys_go_to_what_did_not_run() {
    let written = Written::corpus();
    let page = written.page_path("program.cpp-");
    let mut browser = Browser::start();
    let stops = stops(&mut browser, &page);
    assert!(stops.len() > 2, "{stops:?}");
    browser.open(&page, "");
    let here = |browser: &mut Browser| browser.eval("+location.hash.slice(2)").as_u64().unwrap();
    for stop in &stops {
        browser.press("n");
        assert_eq!(here(&mut browser), *stop);
    }
    browser.press("n");
    assert_eq!(here(&mut browser), stops[stops.len() - 1]);
    browser.press("p");
    browser.press("k");
    assert_eq!(here(&mut browser), stops[stops.len() - 3]);
    browser.press("j");
    assert_eq!(here(&mut browser), stops[stops.len() - 2]);
    let said = browser.eval("document.getElementById('where').textContent");
    assert!(
        said.as_str().unwrap().starts_with(&format!("{} of {} ", stops.len() - 1, stops.len())),
        "{said}"
    );
    let is_focused = "document.activeElement.parentNode.id === location.hash.slice(1)";
    assert_eq!(browser.eval(is_focused), json!(true));
    browser.press("?");
    assert_eq!(browser.eval("document.querySelector('dialog').open"), json!(true));
    browser.press("Escape");
    assert_eq!(browser.eval("document.querySelectorAll('dialog[open]').length"), json!(0));
    browser.assert_quiet(&written.path());
}

/// The script finds the stretches that the page's own links join.
#[test]
fn links_lead_from_stretch_to_stretch() {
    let written = Written::corpus();
    let page = written.page_path("program.cpp-");
    let mut browser = Browser::start();
    let stops = stops(&mut browser, &page);
    let links = browser.eval(
        "[...document.querySelectorAll('a.k')].map(a => [+a.parentNode.id.slice(1), +a.hash.slice(2)])",
    );
    let expected: Vec<[u64; 2]> = stops.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    assert_eq!(links, json!(expected));
}

#[test]
fn a_long_page_is_gone_through() {
    let mut text = String::from("volatile int sink;\n");
    for number in 0..5000 {
        writeln!(text, "int f{number}(int a) {{\n  if (a > {number})\n    return sink;\n  return a;\n}}")
            .unwrap();
    }
    text.push_str("int start(int a) { return f0(a); }\n");
    let written = Written::of_text(OsStr::new("long.c"), text.as_bytes(), None);
    let mut browser = Browser::start();
    browser.open(&written.page_path("long.c-"), "#L25001");
    let in_view = "(() => { const box = document.querySelector(location.hash).getBoundingClientRect();\
                   return box.top >= 0 && box.bottom <= innerHeight; })()";
    let lines = browser.eval("document.querySelectorAll('.source .chunk > .l').length");
    assert_eq!(lines, json!(text.lines().count()));
    for key in ["p", "p", "n"] {
        browser.press(key);
        assert_eq!(browser.eval(in_view), json!(true), "{key}");
    }
    browser.assert_quiet(&written.path());
}

#[test]
fn the_theme_is_kept() {
    let written = Written::corpus();
    let mut browser = Browser::start();
    let index = written.path().join("index.html");
    let paper = "getComputedStyle(document.body).backgroundColor";
    let scheme = |browser: &mut Browser, value: &str| {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        browser.call("Emulation.setEmulatedMedia", &features);
        browser.eval(paper)
    };
    browser.open(&index, "");
    let light = scheme(&mut browser, "light");
    let dark = scheme(&mut browser, "dark");
    assert_ne!(light, dark);
    browser.press("t");
    assert_eq!(browser.eval(paper), light, "light, whatever the system has");
    browser.open(&written.page_path("program.cpp-"), "");
    assert_eq!(browser.eval(paper), light, "on the next page, too");
    assert_eq!(browser.eval("document.getElementById('theme').textContent"), json!("Theme: light"));
    browser.press("t");
    assert_eq!(browser.eval(paper), dark);
    assert_eq!(scheme(&mut browser, "light"), dark, "dark, whatever the system has");
    browser.eval("document.getElementById('theme').click()");
    assert_eq!(browser.eval(paper), light, "as the system has it");
    browser.assert_quiet(&written.path());
}

/// Without a script all is there: the text, the counts, and what is folded.
#[test]
fn pages_are_read_without_a_script() {
    let written = Written::corpus();
    let mut browser = Browser::start();
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    let visible = |browser: &mut Browser, selector: &str| -> Value {
        browser.eval(&format!(
            "[...document.querySelectorAll({selector:?})].every(e => e.getBoundingClientRect().height > 0)\
             && document.querySelectorAll({selector:?}).length"
        ))
    };
    browser.open(&written.path().join("index.html"), "");
    assert_eq!(visible(&mut browser, ".files tbody a"), json!(3));
    assert_eq!(visible(&mut browser, "button, input"), json!(0));
    browser.open(&written.page_path("program.cpp-"), "");
    assert_eq!(visible(&mut browser, ".source .chunk > .l"), json!(36));
    let notes = "document.querySelectorAll('.source details').forEach(details => details.open = true)";
    browser.eval(notes);
    let shown = visible(&mut browser, ".source details table");
    assert!(shown.as_u64().unwrap() > 5, "{shown}");
}

#[test]
fn nothing_of_a_program_runs() {
    let written = Written::of_text(OsStr::from_bytes(HOSTILE_NAME), HOSTILE_TEXT.as_bytes(), Some("/etc"));
    let mut browser = Browser::start();
    for page in [written.path().join("index.html"), written.page_path("")] {
        browser.open(&page, "");
        browser.press("f");
        let title = browser.eval("document.title");
        assert!(title.as_str().unwrap().contains("program.elf"), "{title}");
        assert_eq!(browser.eval("document.images.length + document.scripts.length"), json!(1));
    }
    browser.assert_quiet(&written.path());
}
