//! Data records, laid out as if data began at 0 and counters and bitmap at their starts.
//!
//! What enters is an image and where its counters and bitmap will be; what leaves is the records' bytes, in pieces. What always
//! holds: they are never all in memory, since a session keeps enough of them.

use std::io;

use crate::locate::llvm::{CounterPtr, DataRecord, LlvmImage, RawVersion, RecordLayout, put_uint};

/// So much is made at once.
const PIECE_BYTES: usize = 1 << 16;

/// The data records of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a> {
    pub(super) image: &'a LlvmImage,
    pub(super) version: RawVersion,
    pub(super) counters_start: usize,
    pub(super) bitmap_start: usize,
}

impl Records<'_> {
    fn fields(&self) -> &'static RecordLayout {
        self.version.layout().record(self.image.pointer_width())
    }

    /// The length of all.
    pub(super) fn len_bytes(&self) -> usize {
        self.image.records().len().saturating_mul(self.fields().stride)
    }

    /// Writes all.
    pub(super) fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let stride = self.fields().stride;
        let (mut piece, mut at) = (Vec::with_capacity(PIECE_BYTES.saturating_add(stride)), 0_usize);
        for record in self.image.records() {
            self.put(record, at, &mut piece);
            at = at.saturating_add(stride);
            if piece.len() >= PIECE_BYTES {
                out.write_all(&piece)?;
                piece.clear();
            }
        }
        out.write_all(&piece)
    }

    /// Appends the record that is `at` bytes behind the first.
    fn put(&self, record: &DataRecord, at: usize, piece: &mut Vec<u8>) {
        let (image, fields) = (self.image, self.fields());
        let (width, begun) = (image.pointer_width(), piece.len());
        piece.resize(begun.saturating_add(fields.stride), 0);
        let base = match self.version.layout().counter_ptr {
            CounterPtr::Absolute => 0,
            CounterPtr::Relative => at,
        };
        // Not negative: every start is at or after the end of the last record.
        let pointer = |start: usize, offset: usize| start.saturating_add(offset).saturating_sub(base) as u64;
        let mut put = |field: usize, len: usize, value: u64| {
            let start = begun.saturating_add(field);
            if let Some(slot) = piece.get_mut(start..start.saturating_add(len)) {
                put_uint(slot, value, image.endianness());
            }
        };
        put(RecordLayout::NAME_REF, 8, record.name_ref.get());
        put(RecordLayout::FUNC_HASH, 8, record.func_hash);
        put(RecordLayout::COUNTER_PTR, width.bytes(), pointer(self.counters_start, record.counters_offset));
        put(fields.num_counters, 4, record.num_counters as u64);
        if let (Some(ptr), Some(len)) = (fields.bitmap_ptr, fields.num_bitmap_bytes) {
            let has_bitmap = record.num_bitmap_bytes > 0;
            let value = if has_bitmap { pointer(self.bitmap_start, record.bitmap_offset) } else { 0 };
            put(ptr, width.bytes(), value);
            put(len, 4, record.num_bitmap_bytes as u64);
        }
    }
}
