//! A unit's counts beside what gcov prints of it.
//!
//! What always holds: all that gcov prints is compared, but for [`LEFT_OUT`] and for the order of functions that begin
//! at the same place: gcov's sort is not stable.

use std::fs;
use std::path::Path;

use covtap::coverage::gcov::{Branch, ConditionCount, FunctionCount, LineCount, SourceCount, UnitCoverage};
use serde_json::{Value, json};

use super::toolchains::Toolchain;

/// How many prime paths a function has.
const TOTAL_PATHS: &str = "total_prime_paths";

/// What gcov prints and covtap does not: names that people read, numbers of blocks, and paths block by block.
const LEFT_OUT: [&str; 5] =
    ["demangled_name", "block_ids", "source_block_id", "destination_block_id", "prime_path_coverage"];

/// What of it differs, and the first difference in words.
pub(super) fn compare(
    toolchain: &Toolchain,
    unit: &UnitCoverage,
    theirs: &Value,
) -> Vec<(&'static str, String)> {
    let mut ours = json!(unit.sources.iter().map(source).collect::<Vec<_>>());
    let mut theirs = theirs.get("files").cloned().unwrap_or_default();
    let [our_paths, their_paths] = [&mut ours, &mut theirs].map(|files| {
        normalise(toolchain, files);
        take_paths(files)
    });
    let all = first_difference("files", &ours, &theirs).map_err(|detail| ("json", detail));
    let paths = first_difference("paths", &our_paths, &their_paths).map_err(|detail| ("paths", detail));
    // Before GCC 15 there are none.
    let paths = if their_paths == json!([]) { Ok(()) } else { paths };
    [all, paths].into_iter().filter_map(Result::err).collect()
}

/// Takes the numbers of prime paths away: gcov does not always find as many as the compiler did.
fn take_paths(files: &mut Value) -> Value {
    let files = files.as_array_mut().into_iter().flatten();
    let functions = files.filter_map(|file| file.get_mut("functions")?.as_array_mut()).flatten();
    let taken = functions.filter_map(|function| {
        let total = function.as_object_mut()?.remove(TOTAL_PATHS)?;
        Some(json!({ "name": function.get("name"), TOTAL_PATHS: total }))
    });
    taken.collect::<Vec<_>>().into()
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// A source as gcov's JSON has it.
fn source(source: &SourceCount) -> Value {
    json!({
        "file": text(&source.name),
        "functions": source.functions.iter().map(function).collect::<Vec<_>>(),
        "lines": source.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

fn function(function: &FunctionCount) -> Value {
    json!({
        "name": text(&function.name),
        "start_line": function.start_line, "start_column": function.start_column,
        "end_line": function.end_line, "end_column": function.end_column,
        "blocks": function.blocks, "blocks_executed": function.blocks_executed,
        "execution_count": function.execution_count,
        TOTAL_PATHS: function.paths.map_or(0, |paths| paths.total),
        "covered_prime_paths": function.paths.map_or(0, |paths| paths.covered),
    })
}

fn line(line: &LineCount) -> Value {
    let branch = |branch: &Branch| json!({ "count": branch.count, "throw": branch.throw, "fallthrough": branch.fallthrough });
    let mut shown = json!({
        "line_number": line.line_number, "count": line.count, "unexecuted_block": line.unexecuted_block,
        "branches": line.branches.iter().map(branch).collect::<Vec<_>>(),
        "conditions": line.conditions.iter().map(condition).collect::<Vec<_>>(),
        "calls": line.calls.iter().map(|call| json!({ "returned": call.returned })).collect::<Vec<_>>(),
    });
    if let (Some(name), Some(shown)) = (&line.function_name, shown.as_object_mut()) {
        shown.insert("function_name".to_owned(), text(name).into());
    }
    shown
}

fn condition(condition: &ConditionCount) -> Value {
    json!({
        "count": condition.count(), "covered": condition.covered(),
        "not_covered_true": condition.not_covered_true().collect::<Vec<_>>(),
        "not_covered_false": condition.not_covered_false().collect::<Vec<_>>(),
    })
}

/// Brings what means the same into one form.
fn normalise(toolchain: &Toolchain, files: &mut Value) {
    for file in files.as_array_mut().into_iter().flatten() {
        let name = file.get("file").and_then(Value::as_str).unwrap_or_default().to_owned();
        // gcov elides `..` if the disk says that no symbolic link is in the way, which covtap does not ask.
        if name.contains("/../")
            && let Ok(name) = fs::canonicalize(toolchain.outside(Path::new(&name)))
            && let Some(file) = file.get_mut("file")
        {
            *file = toolchain.inside(&name).display().to_string().into();
        }
        let list =
            |file: &mut Value, key: &str| file.get_mut(key).and_then(Value::as_array_mut).map(std::mem::take);
        let mut functions = list(file, "functions").unwrap_or_default();
        functions.iter_mut().for_each(without_left_out);
        functions.sort_by_key(|function| {
            let number = |key: &str| function.get(key).and_then(Value::as_u64);
            (number("start_line"), number("start_column"), function.get("name").map(Value::to_string))
        });
        let mut lines = list(file, "lines").unwrap_or_default();
        lines.iter_mut().for_each(without_left_out);
        lines.sort_by_key(|line| {
            let number = line.get("line_number").and_then(Value::as_u64);
            (number, line.get("function_name").map(Value::to_string))
        });
        if let Some(file) = file.as_object_mut() {
            file.insert("functions".to_owned(), functions.into());
            file.insert("lines".to_owned(), lines.into());
        }
    }
}

fn without_left_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            LEFT_OUT.iter().for_each(|key| drop(fields.remove(*key)));
            fields.values_mut().for_each(without_left_out);
        }
        Value::Array(values) => values.iter_mut().for_each(without_left_out),
        _ => {}
    }
}

/// The first place where two values differ. What only ours has is no difference: older releases print less.
fn first_difference(place: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            for (a, b) in a.iter().zip(b) {
                first_difference(&within(place, b), a, b)?;
            }
            if a.len() == b.len() {
                return Ok(());
            }
            let more = if a.len() > b.len() { a.get(b.len()) } else { b.get(a.len()) };
            let more = more.map(Value::to_string).unwrap_or_default();
            Err(format!("{place}: {} entries, {} of gcov; the next is {more}", a.len(), b.len()))
        }
        (Value::Object(ours), Value::Object(theirs)) => theirs.iter().try_for_each(|(key, theirs)| {
            let ours = ours.get(key).unwrap_or(&Value::Null);
            first_difference(&format!("{place} {key}"), ours, theirs)
        }),
        _ if ours == theirs => Ok(()),
        _ => Err(format!("{place}: {ours}, {theirs} of gcov")),
    }
}

/// What an entry of a list is called.
fn within(place: &str, entry: &Value) -> String {
    let name = ["file", "name", "line_number"].iter().find_map(|key| entry.get(key));
    name.map_or_else(|| place.to_owned(), |name| format!("{place} {name}"))
}
