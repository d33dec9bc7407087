//! The schemas of the XML formats, and the tool that judges by them.

use std::ffi::OsStr;
use std::fs;

use covtap_testbed::{run, workspace_root};
use tempfile::tempdir;

/// What xmllint says against a document, if anything.
pub(crate) fn xmllint(args: &[&str], text: &str) -> Result<String, String> {
    let dir = tempdir().unwrap();
    let document = dir.path().join("document.xml");
    fs::write(&document, text).unwrap();
    let args = ["--nonet", "--noout"].iter().chain(args).map(OsStr::new).chain([document.as_os_str()]);
    run("xmllint", args).map_err(|error| format!("{error:#}"))
}

pub(crate) fn schema(name: &str) -> String {
    workspace_root().join("tests/schemas").join(name).display().to_string()
}

pub(crate) fn assert_valid(cobertura: &str, sonarqube: &str) {
    xmllint(&["--dtdvalid", &schema("cobertura-04.dtd")], cobertura).unwrap();
    xmllint(&["--schema", &schema("sonarqube-generic-1.xsd")], sonarqube).unwrap();
}
