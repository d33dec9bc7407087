//! The layouts of LLVM's raw profile versions: one table, for reading data records and for writing profiles.
//!
//! Header fields after `Magic` and `Version`, each a u64, in order:
//!
//! | version | LLVM | header fields | header bytes |
//! |---|---|---|---|
//! | 5 | 11, 12 | NumData, PadBefore, NumCounters, PadAfter, NamesSize, CountersDelta, NamesDelta, ValueKindLast | 80 |
//! | 7 | 13 | BinaryIdsSize, then as 5 | 88 |
//! | 8 | 14 - 17 | as 7 | 88 |
//! | 9 | 18 | BinaryIdsSize, NumData, PadBefore, NumCounters, PadAfter, NumBitmapBytes, PadAfterBitmap, NamesSize, CountersDelta, BitmapDelta, NamesDelta, ValueKindLast | 112 |
//! | 10 | 19 - 22 | as 9, with NumVTables, VNamesSize before ValueKindLast | 128 |
//! | 11 | 23 | as 10, with NumUniformCounters, PadAfterUniform, UniformCountersDelta after PadAfterBitmap | 152 |
//!
//! Data records all begin `NameRef` u64 at 0, `FuncHash` u64 at 8, `CounterPtr` at 16; the rest is in the
//! table below. Pointers are as wide as the target's, and a record's length is a multiple of 8 in every version.
//!
//! Source: `InstrProfData.inc` (`INSTR_PROF_RAW_HEADER`, `INSTR_PROF_DATA`) of llvmorg-12.0.1, 13.0.1, 14.0.6,
//! 18.1.8, 19.1.7 and of what became 23.

use std::fmt;

use covtap_link::PointerWidth;

/// The number that a raw profile begins with: `ff 6c 70 72 6f 66 72 81`, most significant byte first, with `52`
/// for `72` where pointers have 32 bits.
pub(crate) const fn magic(width: PointerWidth) -> u64 {
    let letter = match width {
        PointerWidth::Bits32 => b'R',
        PointerWidth::Bits64 => b'r',
    };
    u64::from_be_bytes([0xff, b'l', b'p', b'r', b'o', b'f', letter, 0x81])
}

/// A version of LLVM's raw profile format. Writers and readers must agree on it exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RawVersion {
    /// LLVM 11 and 12.
    V5,
    /// LLVM 13; 6 was never released.
    V7,
    /// LLVM 14 to 17; rustc 1.60 to 1.77.
    V8,
    /// LLVM 18; rustc 1.78 to 1.81.
    V9,
    /// LLVM 19 to 22; rustc since 1.82.
    V10,
    /// LLVM 23.
    V11,
}

impl RawVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 6] = [Self::V5, Self::V7, Self::V8, Self::V9, Self::V10, Self::V11];

    /// The number in the profile's header.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::V5 => 5,
            Self::V7 => 7,
            Self::V8 => 8,
            Self::V9 => 9,
            Self::V10 => 10,
            Self::V11 => 11,
        }
    }

    /// The version of that number, where it is known here.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// The LLVM releases whose tools read and write it.
    #[must_use]
    pub const fn llvm_releases(self) -> &'static str {
        match self {
            Self::V5 => "11 and 12",
            Self::V7 => "13",
            Self::V8 => "14 to 17",
            Self::V9 => "18",
            Self::V10 => "19 to 22",
            Self::V11 => "23",
        }
    }

    /// What the version's header and records look like.
    pub(crate) const fn layout(self) -> &'static Layout {
        match self {
            Self::V5 => &V5,
            Self::V7 => &V7,
            Self::V8 => &V8,
            Self::V9 => &V9,
            Self::V10 => &V10,
            Self::V11 => &V11,
        }
    }
}

impl fmt::Display for RawVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// A header field after `Magic` and `Version`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderField {
    BinaryIdsSize,
    NumData,
    PadBeforeCounters,
    NumCounters,
    PadAfterCounters,
    NumBitmapBytes,
    PadAfterBitmap,
    NumUniformCounters,
    PadAfterUniform,
    UniformCountersDelta,
    NamesSize,
    CountersDelta,
    BitmapDelta,
    NamesDelta,
    NumVTables,
    VNamesSize,
    ValueKindLast,
}

/// What `CounterPtr` and `BitmapPtr` hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CounterPtr {
    /// An address; the reader subtracts `CountersDelta`.
    Absolute,
    /// The distance from the record to the counters; the reader subtracts `CountersDelta` less the bytes of
    /// the records before.
    Relative,
}

/// Where the fields of a data record are, in bytes from its start. A pointer is as wide as the target's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordLayout {
    pub(crate) stride: usize,
    pub(crate) bitmap_ptr: Option<usize>,
    pub(crate) function_ptr: usize,
    pub(crate) values_ptr: usize,
    pub(crate) num_counters: usize,
    pub(crate) value_sites: usize,
    pub(crate) num_bitmap_bytes: Option<usize>,
}

impl RecordLayout {
    pub(crate) const NAME_REF: usize = 0;
    pub(crate) const FUNC_HASH: usize = 8;
    pub(crate) const COUNTER_PTR: usize = 16;
}

/// A version's header and records.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) header: &'static [HeaderField],
    pub(crate) counter_ptr: CounterPtr,
    /// The value of the field `ValueKindLast`; a record has one more u16 of value sites.
    pub(crate) value_kind_last: u16,
    record32: RecordLayout,
    record64: RecordLayout,
}

impl Layout {
    pub(crate) const fn record(&self, width: PointerWidth) -> &RecordLayout {
        match width {
            PointerWidth::Bits32 => &self.record32,
            PointerWidth::Bits64 => &self.record64,
        }
    }

    pub(crate) fn has(&self, field: HeaderField) -> bool {
        self.header.contains(&field)
    }
}

use HeaderField as H;

const V5: Layout = Layout {
    header: &[
        H::NumData,
        H::PadBeforeCounters,
        H::NumCounters,
        H::PadAfterCounters,
        H::NamesSize,
        H::CountersDelta,
        H::NamesDelta,
        H::ValueKindLast,
    ],
    counter_ptr: CounterPtr::Absolute,
    value_kind_last: 1,
    record32: RecordLayout {
        stride: 40,
        bitmap_ptr: None,
        function_ptr: 20,
        values_ptr: 24,
        num_counters: 28,
        value_sites: 32,
        num_bitmap_bytes: None,
    },
    record64: RecordLayout {
        stride: 48,
        bitmap_ptr: None,
        function_ptr: 24,
        values_ptr: 32,
        num_counters: 40,
        value_sites: 44,
        num_bitmap_bytes: None,
    },
};

const V7: Layout = Layout {
    header: &[
        H::BinaryIdsSize,
        H::NumData,
        H::PadBeforeCounters,
        H::NumCounters,
        H::PadAfterCounters,
        H::NamesSize,
        H::CountersDelta,
        H::NamesDelta,
        H::ValueKindLast,
    ],
    ..V5
};

const V8: Layout = Layout { counter_ptr: CounterPtr::Relative, ..V7 };

const V9: Layout = Layout {
    header: &[
        H::BinaryIdsSize,
        H::NumData,
        H::PadBeforeCounters,
        H::NumCounters,
        H::PadAfterCounters,
        H::NumBitmapBytes,
        H::PadAfterBitmap,
        H::NamesSize,
        H::CountersDelta,
        H::BitmapDelta,
        H::NamesDelta,
        H::ValueKindLast,
    ],
    counter_ptr: CounterPtr::Relative,
    value_kind_last: 1,
    record32: RecordLayout {
        stride: 48,
        bitmap_ptr: Some(20),
        function_ptr: 24,
        values_ptr: 28,
        num_counters: 32,
        value_sites: 36,
        num_bitmap_bytes: Some(40),
    },
    record64: RecordLayout {
        stride: 64,
        bitmap_ptr: Some(24),
        function_ptr: 32,
        values_ptr: 40,
        num_counters: 48,
        value_sites: 52,
        num_bitmap_bytes: Some(56),
    },
};

const V10: Layout = Layout {
    header: &[
        H::BinaryIdsSize,
        H::NumData,
        H::PadBeforeCounters,
        H::NumCounters,
        H::PadAfterCounters,
        H::NumBitmapBytes,
        H::PadAfterBitmap,
        H::NamesSize,
        H::CountersDelta,
        H::BitmapDelta,
        H::NamesDelta,
        H::NumVTables,
        H::VNamesSize,
        H::ValueKindLast,
    ],
    counter_ptr: CounterPtr::Relative,
    value_kind_last: 2,
    record32: RecordLayout { num_bitmap_bytes: Some(44), ..V9.record32 },
    record64: RecordLayout { num_bitmap_bytes: Some(60), ..V9.record64 },
};

const V11: Layout = Layout {
    header: &[
        H::BinaryIdsSize,
        H::NumData,
        H::PadBeforeCounters,
        H::NumCounters,
        H::PadAfterCounters,
        H::NumBitmapBytes,
        H::PadAfterBitmap,
        H::NumUniformCounters,
        H::PadAfterUniform,
        H::UniformCountersDelta,
        H::NamesSize,
        H::CountersDelta,
        H::BitmapDelta,
        H::NamesDelta,
        H::NumVTables,
        H::VNamesSize,
        H::ValueKindLast,
    ],
    counter_ptr: CounterPtr::Relative,
    value_kind_last: 2,
    record32: RecordLayout {
        stride: 56,
        bitmap_ptr: Some(24),
        function_ptr: 28,
        values_ptr: 32,
        num_counters: 36,
        value_sites: 40,
        num_bitmap_bytes: Some(48),
    },
    record64: RecordLayout {
        stride: 72,
        bitmap_ptr: Some(32),
        function_ptr: 40,
        values_ptr: 48,
        num_counters: 56,
        value_sites: 60,
        num_bitmap_bytes: Some(68),
    },
};

/// A bit of the version word above the version's number.
///
/// Source: `VARIANT_MASK_*` in `InstrProfData.inc`, llvmorg-19.1.7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Variant(u64);

impl Variant {
    /// Counters are one byte, 0xff until their code runs (`BYTE_COVERAGE`).
    pub const BYTE_COVERAGE: Self = Self(1 << 60);
    /// Loops count their entries (`INSTRUMENT_LOOP_ENTRIES`, since LLVM 20).
    pub const LOOP_ENTRIES: Self = Self(1 << 55);
    /// Data records are found through debug information or the binary (`DBG_CORRELATE`).
    pub const CORRELATE: Self = Self(1 << 59);
    /// The compiler counted in its intermediate code, for optimisation (`IR_PROF`).
    pub const IR_LEVEL: Self = Self(1 << 56);
    /// Counted in the intermediate code a second time, after inlining (`CSIR_PROF`).
    pub const CONTEXT_SENSITIVE_IR: Self = Self(1 << 57);
    /// The first counter of a function is that of its entry block (`INSTR_ENTRY`).
    pub const ENTRY_FIRST: Self = Self(1 << 58);
    /// Only entries of functions are counted (`FUNCTION_ENTRY_ONLY`).
    pub const FUNCTION_ENTRY_ONLY: Self = Self(1 << 61);
    /// Memory accesses are counted (`MEMPROF`).
    pub const MEMORY: Self = Self(1 << 62);
    /// The first counter of a function is its first entry's time stamp (`TEMPORAL_PROF`).
    pub const TEMPORAL: Self = Self(1 << 63);

    /// The bits of a version word above the number.
    #[must_use]
    pub const fn of_word(word: u64) -> Self {
        Self(word & !NUMBER_MASK)
    }

    /// The bits, as they are in the version word.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The bits of the version word that are the version's number (`GET_VERSION`: all but `VARIANT_MASKS_ALL`).
const NUMBER_MASK: u64 = 0xffff_ffff;

/// The number in a version word.
pub(crate) const fn version_number(word: u64) -> u64 {
    word & NUMBER_MASK
}
