//! What a unit of debug information has of functions.
//!
//! What enters is the head of a unit, or a skeleton and the [rest](super::split) of it; what leaves is what
//! [its entries](super::entries) are read into. What always holds: what is of discarded code is left out, with all that is
//! inlined into it.

use gimli::{
    AttributeValue, DebugAddrBase, DebugRngListsBase, DebugStrOffsetsBase, DwarfFileType, UnitHeader,
    UnitType,
};

use super::code::Code;
use super::sections::{Bases, DebugSections, Slice};
use super::segments::Extent;
use super::split::SplitPart;

/// As often an entry refers to another that says more.
pub(super) const MAX_ORIGINS: usize = 8;

/// What a unit has of functions.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    /// Where it begins in `.debug_info`; behind all of that, if the rest of it is in another file.
    pub(super) offset: usize,
    /// Where the file's units begin, as offsets count.
    pub(super) first: usize,
    /// What its texts, addresses and ranges are in.
    pub(super) sections: &'a DebugSections<'a>,
    pub(super) bases: Bases,
    /// Those of its lines, which are in the image.
    pub(super) line_bases: Bases,
    /// Where its lines are in `.debug_line`.
    pub(super) line_program: Option<usize>,
    pub(super) folder: Option<&'a [u8]>,
    pub(super) name: Option<&'a [u8]>,
    /// Whether the rest of it is in another file, and was found there.
    pub(super) is_found: bool,
    /// The file and the number of the rest, if that is in another file and was not found.
    pub(super) split: Split<'a>,
    /// In the order of their offsets.
    pub(super) declarations: Vec<Declaration<'a>>,
    pub(super) instances: Vec<Instance>,
    pub(super) extents: Vec<Extent>,
    /// What is wrong with it.
    pub(super) fault: Option<String>,
}

/// Where the rest of a unit is.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Split<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) id: Option<u64>,
}

/// A function as an entry declares it; what it does not say, its origin may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declaration<'a> {
    pub(super) offset: usize,
    /// The entry that says more: `DW_AT_abstract_origin` or `DW_AT_specification`.
    pub(super) origin: Option<usize>,
    pub(super) name: Option<AttributeValue<Slice<'a>>>,
    pub(super) linkage_name: Option<AttributeValue<Slice<'a>>>,
    pub(super) file: Option<u64>,
    pub(super) line: Option<u64>,
}

/// Where a function is, out of line or inlined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instance {
    /// The entry that declares it.
    pub(super) declaration: usize,
    /// Its first address, where it is entered.
    pub(super) entry: u64,
    /// Whether its code is in the image.
    pub(super) is_live: bool,
    /// Whether any of it was executed.
    pub(super) has_run: bool,
    /// The number of the instance out of line that it is inlined into; its own if it is none.
    pub(super) around: u32,
}

impl<'a> Unit<'a> {
    pub(super) fn new(header: &UnitHeader<Slice<'a>>, sections: &'a DebugSections<'a>) -> Self {
        let bases = Bases {
            encoding: header.encoding(),
            strings: DebugStrOffsetsBase(0),
            addresses: DebugAddrBase(0),
            range_lists: DebugRngListsBase(0),
            ranges: 0,
            low_pc: 0,
        };
        let id = match header.type_() {
            UnitType::Skeleton(id) => Some(id.0),
            _ => None,
        };
        Self {
            offset: header.offset().0,
            first: 0,
            sections,
            bases,
            line_bases: bases,
            line_program: None,
            folder: None,
            name: None,
            is_found: false,
            split: Split { name: None, id },
            declarations: Vec::new(),
            instances: Vec::new(),
            extents: Vec::new(),
            fault: None,
        }
    }

    /// The rest of a unit in another file, not yet read. Lines are the skeleton's, and addresses.
    pub(super) fn rest_of(skeleton: &Self, part: &'a SplitPart<'a>) -> Self {
        let encoding = part.header.encoding();
        let is_old = encoding.version < 5;
        let of_dwo = DwarfFileType::Dwo;
        let bases = Bases {
            encoding,
            strings: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, of_dwo),
            addresses: skeleton.bases.addresses,
            range_lists: DebugRngListsBase::default_for_encoding_and_file(encoding, of_dwo),
            ranges: if is_old { skeleton.bases.range_lists.0 } else { 0 },
            low_pc: skeleton.bases.low_pc,
        };
        Self {
            offset: part.base.saturating_add(part.header.offset().0),
            first: part.base,
            sections: &part.sections,
            bases,
            line_bases: skeleton.bases,
            line_program: skeleton.line_program,
            folder: skeleton.folder,
            name: skeleton.name,
            is_found: true,
            split: Split::default(),
            ..Self::new(&part.header, &part.sections)
        }
    }

    /// The declaration at an offset.
    pub(super) fn declaration(&self, offset: usize) -> Option<&Declaration<'a>> {
        let index = self.declarations.binary_search_by_key(&offset, |declaration| declaration.offset).ok()?;
        self.declarations.get(index)
    }

    /// Leaves out the instances whose code is not in the image, with what is inlined into them; and where no line says
    /// where a function begins, as in assembly, its extents: it is a symbol's.
    pub(super) fn leave_out_discarded(&mut self, code: &Code<'_>) {
        let is_live = |instance: &Instance| match instance.entry {
            0 => code.is_live_at_zero(self.text_of(instance.declaration)),
            entry => code.is_at(entry),
        };
        // What is inlined goes by what it is inlined into.
        let around = |instance: &Instance| self.instances.get(instance.around as usize);
        let live: Vec<bool> =
            self.instances.iter().map(|instance| around(instance).is_some_and(is_live)).collect();
        for (instance, is_live) in self.instances.iter_mut().zip(&live) {
            instance.is_live = *is_live;
        }
        let has_line: Vec<bool> =
            self.instances.iter().map(|instance| self.has_line(instance.declaration)).collect();
        let is_kept = |index: usize| live.get(index).zip(has_line.get(index)) == Some((&true, &true));
        self.extents.retain(|extent| is_kept(extent.instance as usize));
    }

    /// Whether a declaration says where it is, or another unit may.
    fn has_line(&self, mut offset: usize) -> bool {
        for _ in 0..MAX_ORIGINS {
            let Some(declaration) = self.declaration(offset) else { return true };
            if declaration.line.is_some() {
                return true;
            }
            let Some(origin) = declaration.origin else { return false };
            offset = origin;
        }
        false
    }

    /// The name that a symbol has, of a declaration of this unit.
    fn text_of(&self, mut offset: usize) -> Option<&'a [u8]> {
        let mut name = None;
        for _ in 0..MAX_ORIGINS {
            let Some(declaration) = self.declaration(offset) else { break };
            if let Some(linkage_name) = declaration.linkage_name {
                return self.sections.text(&linkage_name, &self.bases);
            }
            name = name.or(declaration.name);
            let Some(origin) = declaration.origin else { break };
            offset = origin;
        }
        self.sections.text(&name?, &self.bases)
    }

    pub(super) fn note_what_ran(&mut self, has_run: impl Fn(u64, u64) -> bool) {
        for extent in &self.extents {
            if let Some(instance) = self.instances.get_mut(extent.instance as usize) {
                instance.has_run |= has_run(extent.start, extent.end);
            }
        }
    }
}
