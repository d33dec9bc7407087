//! What LLVM's own tools make of counters: they go in as text, in `llvm-profdata`'s format, and come out as
//! `llvm-cov`'s report.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use covtap_testbed::run;
use serde_json::Value;

use crate::counters::Counters;

/// A function and how often it was called.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) count: u64,
}

/// The functions of `image` with what LLVM says of `counters`.
pub(crate) fn functions(image: &Path, counters: &Counters) -> Result<Vec<Function>> {
    let dir = tempfile::tempdir()?;
    let (text, profile) = (dir.path().join("counters.proftext"), dir.path().join("counters.profdata"));
    std::fs::write(&text, proftext(counters)?)?;
    run("llvm-profdata-19", ["merge".as_ref(), text.as_os_str(), "-o".as_ref(), profile.as_os_str()])?;
    let profile = format!("-instr-profile={}", profile.display());
    let json = run("llvm-cov-19", ["export".as_ref(), image.as_os_str(), profile.as_ref()])?;
    let report: Value = serde_json::from_str(&json)?;
    let functions = report.pointer("/data/0/functions").and_then(Value::as_array).context("no functions")?;
    functions.iter().map(|function| function_of(function).context("a function unlike others")).collect()
}

fn function_of(json: &Value) -> Option<Function> {
    let name = json.get("name")?.as_str()?.to_owned();
    Some(Function { name, count: json.get("count")?.as_u64()? })
}

/// Per function: name, hash, number of counters, counters, each on a line of its own.
fn proftext(counters: &Counters) -> Result<String> {
    let mut text = String::new();
    for function in &counters.0 {
        writeln!(text, "{}\n{}\n{}", function.name, function.func_hash, function.counts.len())?;
        for count in &function.counts {
            writeln!(text, "{count}")?;
        }
        writeln!(text)?;
    }
    Ok(text)
}
