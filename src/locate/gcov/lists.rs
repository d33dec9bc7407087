//! Where lists of most frequent values begin: from GCC 11 on they are in memory that the program takes while it runs.

use super::{Counters, GcovImage, len_bytes};
use crate::locate::ListHead;

impl GcovImage {
    /// The heads of all lists, in the order of the objects, functions and counters. The image's regions begin at
    /// `first_region` of those that are read.
    #[must_use]
    pub fn lists(&self, first_region: usize) -> Vec<ListHead> {
        let layouts = self.objects.iter().filter_map(|object| Some((object, object.version.layout()?)));
        let counters = layouts.flat_map(|(object, layout)| {
            let functions = object.functions.iter().flatten();
            functions.flat_map(|function| &function.counters).filter(|it| layout.is_topn_list(it.index))
        });
        counters.flat_map(|counters| self.heads(counters, first_region)).collect()
    }

    fn heads(&self, counters: &Counters, first_region: usize) -> impl Iterator<Item = ListHead> {
        let num = usize::try_from(len_bytes(counters.num)).unwrap_or_default() / ListHead::BYTES;
        let (endianness, pointer_width) = (self.endianness, self.pointer_width);
        counters.place.into_iter().flat_map(move |place| {
            (0..num).map(move |index| ListHead {
                region: first_region.saturating_add(place.region),
                offset: place.offset.saturating_add(index.saturating_mul(ListHead::BYTES)),
                endianness,
                pointer_width,
            })
        })
    }
}
