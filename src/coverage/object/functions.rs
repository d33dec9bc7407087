//! Where functions begin and end in an image's code.
//!
//! What enters is symbols and the parts that are code, or data among it; what leaves is functions with their parts, by
//! address. What always holds: functions are apart, and none is without code; data is of the function that has code before
//! it. A function ends where its symbol says, or where the next one
//! begins. Code of no function, as assembly has it that does not name its functions so, belongs to the label before it;
//! code that has none is left out where its section has functions, for it pads them, and is one function where it has not.

use std::collections::BTreeMap;

use super::DataPart;
use crate::image::{CodePart, Image, ImageAddr, Symbol, SymbolKind};

/// A function.
pub(super) struct Extent<'a> {
    pub(super) name: &'a str,
    pub(super) address: ImageAddr,
    /// Its code, without literal pools.
    pub(super) parts: Vec<CodePart>,
    /// Literal pools and the like, among its code or right behind it.
    pub(super) data: Vec<DataPart>,
}

/// What begins at an address.
#[derive(Clone, Copy)]
struct Start<'a> {
    name: &'a str,
    /// 0 if it lasts until the next one.
    len_bytes: u64,
    kind: SymbolKind,
}

/// The functions of an image, by address.
pub(super) fn extents(image: &Image) -> Vec<Extent<'_>> {
    let parts = image.code_parts();
    let data = data(image);
    let starts = starts(image, &parts);
    let mut extents = Vec::new();
    let mut next_part = 0;
    let ends = starts.keys().skip(1).copied().map(Some).chain([None]);
    for ((&address, start), next) in starts.iter().zip(ends) {
        // A symbol that is longer than its function would take what is the next one's.
        let own = (start.len_bytes > 0).then(|| address.saturating_add(start.len_bytes));
        let end = own.into_iter().chain(next).min().unwrap_or(u64::MAX);
        while parts.get(next_part).is_some_and(|part| end_of(part) <= address) {
            next_part += 1;
        }
        let code: Vec<_> = parts
            .get(next_part..)
            .unwrap_or_default()
            .iter()
            .take_while(|part| part.address.get() < end)
            .filter_map(|part| clipped(part, address, end))
            .collect();
        if !code.is_empty() {
            let data = within(&data, address, end, &code);
            extents.push(Extent { name: start.name, address: ImageAddr::new(address), parts: code, data });
        }
    }
    extents
}

/// Data among the code of an image.
fn data(image: &Image) -> Vec<DataPart> {
    let part = |(address, last): (ImageAddr, ImageAddr)| {
        let len_bytes = last.get().checked_sub(address.get())?.checked_add(1)?;
        Some(DataPart { address, len_bytes })
    };
    image.data_among_code().into_iter().filter_map(part).collect()
}

/// The data of a function from `start` to before `end`, which has this code.
fn within(data: &[DataPart], start: u64, end: u64, code: &[CodePart]) -> Vec<DataPart> {
    let first = data.partition_point(|part| part.end() <= start);
    // A function that is the last one may have no end of its own: what follows its code at once is its data.
    let code_end = code.last().map_or(start, end_of);
    let inside = data.get(first..).unwrap_or_default().iter();
    let inside = inside.take_while(|part| part.address.get() < end && part.address.get() <= code_end);
    let clipped = inside.filter_map(|part| {
        let (start, end) = (part.address.get().max(start), part.end().min(end));
        let len_bytes = end.checked_sub(start).filter(|len| *len > 0)?;
        Some(DataPart { address: ImageAddr::new(start), len_bytes })
    });
    clipped.collect()
}

/// Functions and labels by their addresses. A label within a function is a part of it.
fn starts<'a>(image: &'a Image, parts: &[CodePart]) -> BTreeMap<u64, Start<'a>> {
    let is_arm = image.architecture().starts_with("arm");
    let mut starts = BTreeMap::new();
    let symbols =
        || image.symbols().filter(|symbol| !symbol.name.is_empty() && !symbol.name.starts_with('$'));
    for symbol in symbols().filter(|symbol| symbol.kind == SymbolKind::Function) {
        let address = code_address(&symbol, is_arm);
        let start = Start { name: symbol.name, len_bytes: symbol.len_bytes, kind: symbol.kind };
        let known = starts.entry(address).or_insert(start);
        // The longest of those that begin there is the function that all code of it belongs to.
        if known.len_bytes < symbol.len_bytes {
            *known = start;
        }
    }
    for symbol in symbols().filter(|symbol| symbol.kind == SymbolKind::Other) {
        let address = symbol.address.get();
        let is_within =
            starts.range(..=address).next_back().is_some_and(|(begin, start): (&u64, &Start<'_>)| {
                start.kind == SymbolKind::Function && (*begin == address || address - begin < start.len_bytes)
            });
        if !is_within && is_code(parts, address) {
            let start = Start { name: symbol.name, len_bytes: 0, kind: symbol.kind };
            starts.entry(address).or_insert(start);
        }
    }
    for section in image.sections().filter(|section| section.is_executable()) {
        let address = section.address().get();
        let end = address.saturating_add(section.len_bytes());
        if starts.range(address..end).next().is_none() {
            let start =
                Start { name: section.name(), len_bytes: section.len_bytes(), kind: SymbolKind::Other };
            starts.insert(address, start);
        }
    }
    starts
}

/// Bit 0 of a function's address tells that it is Thumb.
fn code_address(symbol: &Symbol<'_>, is_arm: bool) -> u64 {
    let address = symbol.address.get();
    if is_arm { address & !1 } else { address }
}

fn is_code(parts: &[CodePart], address: u64) -> bool {
    let after = parts.partition_point(|part| part.address.get() <= address);
    let part = after.checked_sub(1).and_then(|index| parts.get(index));
    part.is_some_and(|part| address < end_of(part))
}

fn end_of(part: &CodePart) -> u64 {
    part.address.get().saturating_add(part.len_bytes)
}

/// What of a part is from `start` to before `end`.
fn clipped(part: &CodePart, start: u64, end: u64) -> Option<CodePart> {
    let (start, end) = (part.address.get().max(start), end_of(part).min(end));
    let len_bytes = end.checked_sub(start).filter(|len| *len > 0)?;
    Some(CodePart { address: ImageAddr::new(start), len_bytes, ..*part })
}
