//! SonarQube's generic test coverage, version 1 (`sonar.coverageReportPaths`).
//!
//! ```text
//! <coverage version="1">
//!   <file path="src/valve.rs">
//!     <lineToCover lineNumber="7" covered="true" branchesToCover="2" coveredBranches="1"/>
//! ```
//!
//! The format says whether a line ran, not how often. A line without branches has no word of them. SonarQube refuses a
//! report that names a line which its copy of the file does not have.
//! Source: `sonar-generic-coverage.xsd` in SonarQube's documentation of generic test data, 10.7.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, Event};

use crate::coverage::Coverage;

use super::by_line::{self, Line, NamedFile};

/// Writes the coverage for SonarQube. Files below `root` are named from there, others as the compiler had them:
/// SonarQube looks for them from the folder of the module.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, root: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    let root = root.map(Path::as_os_str).map(OsStr::as_encoded_bytes);
    let mut writer = Writer::new_with_indent(&mut *out, b' ', 1);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let top = writer.create_element("coverage").with_attribute(("version", "1"));
    top.write_inner_content(|xml| {
        by_line::files(coverage, root).try_for_each(|file| write_file(xml, &file))
    })?;
    out.write_all(b"\n")
}

fn write_file<W: Write>(xml: &mut Writer<W>, file: &NamedFile<'_>) -> io::Result<()> {
    let element = xml.create_element("file").with_attribute(("path", file.name.as_str()));
    element.write_inner_content(|xml| file.lines.iter().try_for_each(|line| write_line(xml, line)))?;
    Ok(())
}

fn write_line<W: Write>(xml: &mut Writer<W>, line: Line<'_>) -> io::Result<()> {
    let covered = if line.count > 0 { "true" } else { "false" };
    let mut element = xml
        .create_element("lineToCover")
        .with_attribute(("lineNumber", line.number.to_string().as_str()))
        .with_attribute(("covered", covered));
    if !line.branches.is_empty() {
        let outcomes = line.outcomes();
        element = element
            .with_attribute(("branchesToCover", outcomes.total.to_string().as_str()))
            .with_attribute(("coveredBranches", outcomes.covered.to_string().as_str()));
    }
    element.write_empty()?;
    Ok(())
}
