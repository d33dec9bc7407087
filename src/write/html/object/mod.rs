//! Pages of object code: a table of functions, and one page for each with its instructions.
//!
//! ```text
//! object.html                 the functions of all programs of a trace, with what was executed of them
//! object/NAME-DIGEST.html     a function's instructions: NAME is its symbol, DIGEST of its program, address and symbol
//! ```
//!
//! What enters is what was executed of object code, and the lines that it is of; what leaves is pages, and for each
//! function of a source the pages of its code. What always holds: no more than [`MAX_PAGES`] functions have a page, those
//! that ran first; data among code is shown and counts for nothing; where nobody looked which way branches went, there is
//! no share of their ways.

mod function;
mod table;

use std::collections::HashMap;

use super::names::PageNames;
use super::notes::Around;
use super::text::visible;
use super::{Options, function_name};
use crate::coverage::object::{ObjectCoverage, ObjectTally};
use crate::coverage::trace::{Places, without_clone};
use crate::image::ImageAddr;
use crate::write::assembly::Assembly;
use crate::write::whole_dir::{WholeDir, WriteDirError};

/// The directory of the functions' pages.
pub(super) const DIR: &str = "object";
/// The page of the table.
pub(super) const TABLE: &str = "object.html";
/// As many functions have a page.
const MAX_PAGES: usize = 20_000;

/// A program of a trace.
#[derive(Clone, Copy)]
pub struct ObjectProgram<'a> {
    /// What was executed of it.
    pub object: &'a ObjectCoverage<'a>,
    /// The lines that its instructions are of.
    pub places: &'a Places,
    /// The address space that it is in; empty if there is only one.
    pub space: &'a str,
}

/// The object code of a site.
pub(super) struct ObjectPages<'a> {
    programs: Vec<Program<'a>>,
    /// By file and symbol, the code of a source's functions.
    by_source: HashMap<(&'a [u8], &'a str), Vec<Link<'a>>>,
}

/// A program, and what is shown of it.
struct Program<'a> {
    program: ObjectProgram<'a>,
    label: String,
    functions: Vec<Function<'a>>,
    tally: ObjectTally,
}

/// A function, as the table has it.
struct Function<'a> {
    symbol: &'a str,
    address: ImageAddr,
    count: u64,
    tally: ObjectTally,
    /// The name of its page, if it has one.
    page: Option<String>,
}

/// A function's page, from the source.
pub(super) struct Link<'a> {
    program: usize,
    function: usize,
    symbol: &'a str,
}

impl<'a> ObjectPages<'a> {
    /// Counts what there is, and gives pages their names.
    pub(super) fn of(programs: &'a [ObjectProgram<'a>]) -> Self {
        let mut programs: Vec<Program<'a>> = programs.iter().map(|program| Program::of(*program)).collect();
        give_pages(&mut programs);
        let mut by_source: HashMap<(&[u8], &str), Vec<Link<'_>>> = HashMap::new();
        for (number, Program { program, functions, .. }) in programs.iter().enumerate() {
            for (function, Function { symbol, address, page, .. }) in functions.iter().enumerate() {
                let place = program.places.at(*address).filter(|_| page.is_some());
                if let Some(place) = place {
                    let key = (&place.path[..], without_clone(symbol));
                    by_source.entry(key).or_default().push(Link { program: number, function, symbol });
                }
            }
        }
        Self { programs, by_source }
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.programs.is_empty()
    }

    /// How much of all of it was executed.
    pub(super) fn tally(&self) -> ObjectTally {
        self.programs.iter().fold(ObjectTally::default(), |sum, program| sum.and(program.tally))
    }

    /// Whether it is known of any which way branches went.
    pub(super) fn has_branches(&self) -> bool {
        self.programs.iter().any(|program| program.program.object.has_branches())
    }

    /// The code of a source's function: what it is called, and its page.
    pub(super) fn of_source(&self, file: &[u8], name: &[u8]) -> Vec<(String, &str)> {
        let Ok(name) = std::str::from_utf8(name) else { return Vec::new() };
        let links = self.by_source.get(&(file, name)).map_or(&[][..], Vec::as_slice);
        let link = |link: &Link<'_>| {
            let program = self.programs.get(link.program)?;
            let page = program.functions.get(link.function)?.page.as_deref()?;
            let clone = link.symbol.strip_prefix(name).filter(|clone| !clone.is_empty());
            let label = match (links.len(), clone) {
                (1, _) => "object code".to_owned(),
                (_, Some(clone)) if self.programs.len() == 1 => visible(clone.as_bytes()).into_owned(),
                (_, clone) => format!("{}{}", program.label, visible(clone.unwrap_or_default().as_bytes())),
            };
            Some((label, page))
        };
        links.iter().filter_map(link).collect()
    }

    /// Writes all pages.
    pub(super) fn write(
        &self,
        site: &WholeDir,
        options: &Options<'_>,
        around: &mut Around<'_, '_>,
    ) -> Result<(), WriteDirError> {
        site.make_dir(DIR)?;
        let table = table::page(self, options);
        site.write(None, TABLE, table.into_string().as_bytes())?;
        for program in &self.programs {
            let mut assembly = Assembly::default();
            let several = self.programs.len() > 1;
            for (function, found) in program.functions.iter().zip(program.program.object.functions()) {
                let Some(name) = &function.page else { continue };
                let page = function::FunctionPage { program, found: &found, several, options };
                let markup = page.render(&mut assembly, around);
                site.write(Some(DIR), name, markup.into_string().as_bytes())?;
            }
        }
        Ok(())
    }
}

impl<'a> Program<'a> {
    fn of(program: ObjectProgram<'a>) -> Self {
        let image = program.object.image().name();
        let base = visible(image.rsplit('/').next().unwrap_or(image).as_bytes()).into_owned();
        let label = match program.space {
            "" => base,
            space => format!("{}: {base}", visible(space.as_bytes())),
        };
        let mut tally = ObjectTally::default();
        let functions = program.object.starts().zip(program.object.functions());
        let functions = functions.map(|((symbol, address), function)| {
            let of_function = function.tally();
            tally = tally.and(of_function);
            Function { symbol, address, count: function.count(), tally: of_function, page: None }
        });
        let functions = functions.collect();
        Self { program, label, functions, tally }
    }

    /// The function that begins at an address, if it has a page: its name, and the page's.
    fn page_at(&self, address: u64) -> Option<(String, &str)> {
        let index = self.functions.binary_search_by_key(&address, |function| function.address.get()).ok()?;
        let function = self.functions.get(index)?;
        Some((function_name(function.symbol.as_bytes()), function.page.as_deref()?))
    }

    /// An address as it is shown.
    fn address(&self, address: u64) -> String {
        let digits = self.program.object.image().pointer_width().bytes() * 2;
        format!("{address:0digits$x}")
    }
}

/// Names the pages of what ran, and then of the rest, as long as there is room.
fn give_pages(programs: &mut [Program<'_>]) {
    let mut names = PageNames::default();
    let mut left = MAX_PAGES;
    for has_run in [true, false] {
        for Program { program, label, functions, .. } in programs.iter_mut() {
            for function in functions.iter_mut() {
                if left == 0 || (function.tally.instructions.covered > 0) != has_run {
                    continue;
                }
                left = left.saturating_sub(1);
                let Function { symbol, address, .. } = function;
                let symbol = symbol.replace('/', "_");
                let key = format!("{}/{label}/{:x}/{symbol}", program.space, address.get());
                function.page = Some(names.give(key.as_bytes()));
            }
        }
    }
}
