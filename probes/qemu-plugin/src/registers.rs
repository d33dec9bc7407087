//! Registers and memory of the vCPU that executes, where QEMU lets a plugin read them: registers since 9.0, memory since 9.2.
//!
//! What always holds: only a vCPU's own thread reads them, in a callback for which QEMU has put registers in order; what
//! cannot be read is none.
#![allow(unsafe_code, reason = "QEMU's functions are C's")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api;
use crate::interrupted::Read;

/// Bytes that GLib keeps (`GByteArray`).
#[repr(C)]
struct RawBytes {
    data: *mut u8,
    len: c_uint,
}

/// Things that GLib keeps (`GArray`).
#[repr(C)]
struct RawArray {
    data: *mut RawDescriptor,
    len: c_uint,
}

/// A register (`qemu_plugin_reg_descriptor`).
#[repr(C)]
struct RawDescriptor {
    handle: *mut c_void,
    name: *const c_char,
    feature: *const c_char,
}

type ReadRegister = unsafe extern "C" fn(*mut c_void, *mut RawBytes) -> c_int;
type ReadMemory = unsafe extern "C" fn(u64, *mut RawBytes, usize) -> bool;
type NewBytes = unsafe extern "C" fn() -> *mut RawBytes;
type FreeBytes = unsafe extern "C" fn(*mut RawBytes, c_int) -> *mut u8;

/// The registers of a vCPU by QEMU's names of them, in small letters.
pub(crate) struct Registers {
    /// By addresses that are none to anybody but QEMU.
    handles: HashMap<String, usize>,
    read_register: ReadRegister,
    read_memory: Option<ReadMemory>,
    new_bytes: NewBytes,
    free_bytes: FreeBytes,
}

/// What can be read of each vCPU; none before it is there, or if QEMU does not tell.
static ALL: OnceLock<Box<[OnceLock<Option<Registers>>]>> = OnceLock::new();

/// The vCPU that was there first.
static FIRST: OnceLock<c_uint> = OnceLock::new();

/// Whether another has other registers.
static IS_MIXED: AtomicBool = AtomicBool::new(false);

/// Makes room for so many vCPUs. Before any code is executed.
pub(crate) fn prepare(num_vcpus: usize) {
    ALL.get_or_init(|| (0..num_vcpus).map(|_| OnceLock::new()).collect());
}

/// Looks what can be read of a vCPU that is there now, and whose thread calls.
pub(crate) fn learn(vcpu: c_uint) {
    let Some(place) = ALL.get().and_then(|all| all.get(vcpu as usize)) else { return };
    place.get_or_init(Registers::of_this_vcpu);
    let handles = |vcpu| of(vcpu).map(|registers| &registers.handles);
    if handles(*FIRST.get_or_init(|| vcpu)) != handles(vcpu) {
        IS_MIXED.store(true, Ordering::Release);
    }
}

/// What can be read of a vCPU, whose thread calls.
pub(crate) fn of(vcpu: c_uint) -> Option<&'static Registers> {
    ALL.get()?.get(vcpu as usize)?.get()?.as_ref()
}

/// What can be read of whichever vCPU's thread calls, if all have the same registers.
pub(crate) fn of_any() -> Option<&'static Registers> {
    of(*FIRST.get()?).filter(|_| !IS_MIXED.load(Ordering::Acquire))
}

impl Read for Registers {
    fn register(&self, name: &str) -> Option<u64> {
        self.get(name)
    }

    fn words(&self, address: u64) -> Option<[u32; 8]> {
        let bytes: [u8; 32] = self.memory(address)?;
        let mut words = [0; 8];
        words.iter_mut().zip(bytes.as_chunks().0).for_each(|(word, four)| *word = u32::from_le_bytes(*four));
        Some(words)
    }
}

impl Registers {
    /// Those of the vCPU whose thread calls, when it is there.
    fn of_this_vcpu() -> Option<Self> {
        type List = unsafe extern "C" fn() -> *mut RawArray;
        let found = |name: &str| api::find(name).ok();
        let list = found("qemu_plugin_get_registers\0")?;
        let read_register = found("qemu_plugin_read_register\0")?;
        let (new_bytes, free_bytes) = (found("g_byte_array_new\0")?, found("g_byte_array_free\0")?);
        // SAFETY: the headers of QEMU and GLib declare the functions of these names so.
        let registers = unsafe {
            Self {
                handles: handles(std::mem::transmute::<*mut c_void, List>(list)().as_ref()?),
                read_register: std::mem::transmute::<*mut c_void, ReadRegister>(read_register),
                read_memory: found("qemu_plugin_read_memory_vaddr\0")
                    .map(|found| std::mem::transmute::<*mut c_void, ReadMemory>(found)),
                new_bytes: std::mem::transmute::<*mut c_void, NewBytes>(new_bytes),
                free_bytes: std::mem::transmute::<*mut c_void, FreeBytes>(free_bytes),
            }
        };
        Some(registers)
    }

    /// A register of at most 64 bits, as QEMU gives it: in the target's byte order, which is taken to be little-endian.
    fn get(&self, name: &str) -> Option<u64> {
        let handle = ptr::with_exposed_provenance_mut(*self.handles.get(name)?);
        // SAFETY: the handle is QEMU's, and the bytes GLib's.
        let bytes = self.bytes(|bytes| unsafe { (self.read_register)(handle, bytes) } > 0)?;
        if bytes.is_empty() || bytes.len() > size_of::<u64>() {
            return None;
        }
        Some(bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// Memory at a virtual address.
    fn memory<const LEN: usize>(&self, address: u64) -> Option<[u8; LEN]> {
        let read = self.read_memory?;
        // SAFETY: the bytes are GLib's.
        let bytes = self.bytes(|bytes| unsafe { read(address, bytes, LEN) })?;
        bytes.first_chunk().copied()
    }

    /// What is put in an array of bytes, if that succeeds.
    fn bytes(&self, fill: impl FnOnce(*mut RawBytes) -> bool) -> Option<Vec<u8>> {
        // SAFETY: it takes nothing.
        let array = unsafe { (self.new_bytes)() };
        let is_filled = fill(array);
        // SAFETY: GLib gave the array, and nobody else has it.
        let raw = unsafe { array.as_ref() }?;
        let bytes = if is_filled && !raw.data.is_null() {
            // SAFETY: there are so many bytes.
            Some(unsafe { std::slice::from_raw_parts(raw.data, raw.len as usize) }.to_vec())
        } else {
            None
        };
        // SAFETY: as above; its bytes go with it.
        unsafe { (self.free_bytes)(array, 1) };
        bytes
    }
}

fn handles(list: &RawArray) -> HashMap<String, usize> {
    if list.data.is_null() {
        return HashMap::new();
    }
    // SAFETY: there are so many descriptors.
    let all = unsafe { std::slice::from_raw_parts(list.data, list.len as usize) };
    let named = all.iter().filter(|register| !register.name.is_null()).map(|register| {
        // SAFETY: it is a string of QEMU's.
        let name = unsafe { CStr::from_ptr(register.name) };
        (name.to_string_lossy().to_ascii_lowercase(), register.handle.expose_provenance())
    });
    named.collect()
}
