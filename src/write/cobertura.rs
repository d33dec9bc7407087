//! Cobertura's XML, which the continuous integration of Jenkins, GitLab and Azure DevOps shows.
//!
//! ```text
//! <coverage line-rate="0.75" branch-rate="0.5" ...>
//!  <sources><source>/checkout/valve</source></sources>
//!  <packages>
//!   <package name="src">                          a directory, with dots
//!    <classes>
//!     <class name="valve.rs" filename="src/valve.rs">     a file
//!      <methods><method name="valve::open" signature=""><lines>...</lines></method></methods>
//!      <lines>
//!       <line number="7" hits="3" branch="true" condition-coverage="50% (1/2)">
//!        <conditions><condition number="0" type="jump" coverage="50%"/></conditions>
//! ```
//!
//! - Rates are cut to four digits, never rounded up: only what is whole is 1.
//! - The format demands a branch rate of every element. Where there are no branches it is `1.0`, as Cobertura itself
//!   and gcovr write it; that there are none is told by `branches-valid="0"` and by lines that all say
//!   `branch="false"`. Complexity is not measured and is 0.
//! - A condition is one branch with its outcomes, in the order of columns. gcov knows one for a line, as gcovr writes it.
//! - Hits are written up to 2^31-1, since Jenkins takes more than that for 0.
//! - Signatures are empty, as demangled names have theirs where the language has it. No two methods of a file have one
//!   name, which Jenkins would refuse: the second has the mangled one behind it.
//! - There is no document type: readers refuse it or would fetch it, and none needs it.
//!
//! Source: `coverage-04.dtd` of Cobertura; `CoberturaParser` and `CoverageParser` in jenkinsci/coverage-model; gcovr 8.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::coverage::{Coverage, FileFunction, Tally};

use super::by_line::{self, Line, Lines, NamedFile};
use super::demangle::demangle;
use super::names::{self, Names};

/// Writes the coverage as Cobertura's XML.
///
/// `root` becomes the `<source>`, and files below it are named from there; GitLab wants the folder of the checkout.
/// Without it, that is the innermost directory that has all files, or `.` if one has a relative path. `timestamp_s`
/// are seconds since 1970.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(
    coverage: &Coverage,
    root: Option<&Path>,
    timestamp_s: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let paths: Vec<_> = coverage.files().collect();
    let root = root.map(Path::as_os_str).map(OsStr::as_encoded_bytes);
    let root = root.or_else(|| names::common_directory(paths.iter().map(|file| file.name())));
    let files: Vec<NamedFile<'_>> = by_line::files(coverage, root).collect();
    let mut writer = Writer::new_with_indent(&mut *out, b' ', 1);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let total = Measured::of(&files);
    let top = writer
        .create_element("coverage")
        .with_attributes(total.rates())
        .with_attributes(total.totals())
        .with_attribute(("version", concat!("covtap ", env!("CARGO_PKG_VERSION"))))
        .with_attribute(("timestamp", timestamp_s.to_string().as_str()));
    top.write_inner_content(|xml| {
        write_source(xml, root)?;
        let packages = xml.create_element("packages");
        packages.write_inner_content(|xml| {
            by_package(&files).iter().try_for_each(|(name, files)| write_package(xml, name, files))
        })?;
        Ok(())
    })?;
    out.write_all(b"\n")
}

/// What an element measured.
#[derive(Clone, Copy)]
struct Measured {
    lines: Tally,
    branches: Tally,
}

type Attribute = (&'static str, Cow<'static, str>);

impl Measured {
    fn of<'a, 'f: 'a>(files: impl IntoIterator<Item = &'a NamedFile<'f>>) -> Self {
        let none = Self { lines: Tally::default(), branches: Tally::default() };
        files.into_iter().fold(none, |sum, file| Self {
            lines: sum.lines + file.lines.covered(),
            branches: sum.branches + file.lines.outcomes(),
        })
    }

    fn rates(self) -> [Attribute; 3] {
        [
            ("line-rate", rate(self.lines).into()),
            ("branch-rate", rate(self.branches).into()),
            ("complexity", "0".into()),
        ]
    }

    fn totals(self) -> [Attribute; 4] {
        [
            ("lines-covered", self.lines.covered.to_string().into()),
            ("lines-valid", self.lines.total.to_string().into()),
            ("branches-covered", self.branches.covered.to_string().into()),
            ("branches-valid", self.branches.total.to_string().into()),
        ]
    }
}

fn rate(tally: Tally) -> String {
    match share(tally, 10_000) {
        Some(parts) => format!("{}.{:04}", parts / 10_000, parts % 10_000),
        None => "1.0".to_owned(),
    }
}

fn percent(tally: Tally) -> String {
    format!("{}%", share(tally, 100).unwrap_or(100))
}

/// How many parts of `parts` are covered, rounded down; `None` of nothing.
fn share(tally: Tally, parts: u32) -> Option<u128> {
    // 64 and 32 bits are less than 128.
    u128::from(tally.covered).saturating_mul(parts.into()).checked_div(tally.total.into())
}

fn write_source<W: Write>(xml: &mut Writer<W>, root: Option<&[u8]>) -> io::Result<()> {
    let root = match root {
        Some(b"") => "/".to_owned(),
        Some(root) => names::text(root),
        None => ".".to_owned(),
    };
    xml.create_element("sources").write_inner_content(|xml| {
        xml.create_element("source").write_text_content(BytesText::new(&root))?;
        Ok(())
    })?;
    Ok(())
}

/// The files by their directory, with dots as Java has them; those of the root by `.`.
fn by_package<'a, 'f>(files: &'a [NamedFile<'f>]) -> BTreeMap<String, Vec<&'a NamedFile<'f>>> {
    let mut packages: BTreeMap<String, Vec<&NamedFile<'_>>> = BTreeMap::new();
    for file in files {
        let directory = file.name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let dotted = directory.trim_start_matches('/').replace('/', ".");
        packages.entry(if dotted.is_empty() { ".".to_owned() } else { dotted }).or_default().push(file);
    }
    packages
}

fn write_package<W: Write>(xml: &mut Writer<W>, name: &str, files: &[&NamedFile<'_>]) -> io::Result<()> {
    let element = xml.create_element("package").with_attribute(("name", name));
    let element = element.with_attributes(Measured::of(files.iter().copied()).rates());
    element.write_inner_content(|xml| {
        let classes = xml.create_element("classes");
        classes.write_inner_content(|xml| files.iter().try_for_each(|file| write_class(xml, file)))?;
        Ok(())
    })?;
    Ok(())
}

fn write_class<W: Write>(xml: &mut Writer<W>, file: &NamedFile<'_>) -> io::Result<()> {
    let name = file.name.rsplit_once('/').map_or(file.name.as_str(), |(_, name)| name);
    let element = xml
        .create_element("class")
        .with_attribute(("name", name))
        .with_attribute(("filename", file.name.as_str()))
        .with_attributes(Measured::of([file]).rates());
    element.write_inner_content(|xml| {
        let mut names = Names::default();
        let mut methods = file.file.functions();
        xml.create_element("methods").write_inner_content(|xml| {
            methods.try_for_each(|function| write_method(xml, &mut names, file, function))
        })?;
        write_lines(xml, &file.lines)
    })?;
    Ok(())
}

fn write_method<'a, W: Write>(
    xml: &mut Writer<W>,
    names: &mut Names,
    file: &NamedFile<'a>,
    function: FileFunction<'a>,
) -> io::Result<()> {
    let demangled = names::text(demangle(function.name).as_bytes());
    let both = || format!("{demangled} [{}]", names::text(function.name));
    let name = names.claim(demangled.clone(), both);
    let lines = Lines::of_function(&file.file, function);
    let measured = Measured { lines: lines.covered(), branches: lines.outcomes() };
    let element = xml
        .create_element("method")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("signature", ""))
        .with_attributes(measured.rates());
    element.write_inner_content(|xml| write_lines(xml, &lines))?;
    Ok(())
}

fn write_lines<W: Write>(xml: &mut Writer<W>, lines: &Lines<'_>) -> io::Result<()> {
    let element = xml.create_element("lines");
    element.write_inner_content(|xml| lines.iter().try_for_each(|line| write_line(xml, line)))?;
    Ok(())
}

fn write_line<W: Write>(xml: &mut Writer<W>, line: Line<'_>) -> io::Result<()> {
    let element = xml
        .create_element("line")
        .with_attribute(("number", line.number.to_string().as_str()))
        .with_attribute(("hits", line.count.to_string().as_str()));
    if line.branches.is_empty() {
        element.with_attribute(("branch", "false")).write_empty()?;
        return Ok(());
    }
    let outcomes = line.outcomes();
    let coverage = format!("{} ({}/{})", percent(outcomes), outcomes.covered, outcomes.total);
    let element =
        element.with_attribute(("branch", "true")).with_attribute(("condition-coverage", coverage.as_str()));
    element.write_inner_content(|xml| {
        xml.create_element("conditions").write_inner_content(|xml| write_conditions(xml, line))?;
        Ok(())
    })?;
    Ok(())
}

fn write_conditions<W: Write>(xml: &mut Writer<W>, line: Line<'_>) -> io::Result<()> {
    for (number, branch) in line.branches.iter().enumerate() {
        xml.create_element("condition")
            .with_attribute(("number", number.to_string().as_str()))
            .with_attribute(("type", "jump"))
            .with_attribute(("coverage", percent(branch.tally()).as_str()))
            .write_empty()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_has_a_rate_of_one() {
        let shown = |covered, total| (rate(Tally { covered, total }), percent(Tally { covered, total }));
        let pair = |rate: &str, percent: &str| (rate.to_owned(), percent.to_owned());
        assert_eq!(shown(0, 0), pair("1.0", "100%"));
        assert_eq!(shown(0, 3), pair("0.0000", "0%"));
        assert_eq!(shown(2, 3), pair("0.6666", "66%"));
        assert_eq!(shown(999_999, 1_000_000), pair("0.9999", "99%"));
        assert_eq!(shown(u64::MAX, u64::MAX), pair("1.0000", "100%"));
    }
}
