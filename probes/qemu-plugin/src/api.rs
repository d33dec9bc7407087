//! QEMU's plugin interface as far as it is used: versions 2 (QEMU 9.0) to 5 (10.1).
//!
//! What always holds: functions are looked up when the plugin begins, so that one that is missing is said by its name,
//! and what QEMU lends for the time of a callback does not outlive it.
#![allow(unsafe_code, reason = "QEMU's functions are C's")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;

/// The version that QEMU is asked for.
pub(crate) const API_VERSION: c_int = 2;

/// From this version on an instruction's bytes are copied, and were lent before; and QEMU's own code can store, and call
/// under a condition.
const SINCE_9_1: c_int = 3;

/// No instruction is longer.
const MAX_INSN_BYTES: usize = 16;

/// What callbacks need of registers: nothing, and that they can be read.
const NO_REGISTERS: c_int = 0;
const READ_REGISTERS: c_int = 1;

/// Inline operations: an addition, and a store.
const ADD: c_int = 0;
const STORE: c_int = 1;

/// A condition: the word is not the number.
const NOT_EQUAL: c_int = 3;

/// Which plugin is meant, to QEMU.
pub(crate) type PluginId = u64;

type TranslatedCallback = extern "C" fn(PluginId, *mut RawBlock);
type VcpuCallback = extern "C" fn(PluginId, c_uint);
type EndCallback = extern "C" fn(PluginId, *mut c_void);

/// What QEMU calls when code is executed: the vCPU, and what was given.
pub(crate) type ExecutedCallback = extern "C" fn(c_uint, *mut c_void);

/// A block that is translated (`struct qemu_plugin_tb`).
#[repr(C)]
pub(crate) struct RawBlock([u8; 0]);

#[repr(C)]
struct RawInsn([u8; 0]);

#[repr(C)]
struct RawScoreboard([u8; 0]);

/// A word of each vCPU's element of a scoreboard (`qemu_plugin_u64`).
#[repr(C)]
#[derive(Clone, Copy)]
struct RawWord {
    scoreboard: *mut RawScoreboard,
    offset: usize,
}

/// What QEMU tells of itself (`qemu_info_t`).
#[repr(C)]
pub(crate) struct RawInfo {
    target_name: *const c_char,
    min_version: c_int,
    version: c_int,
    is_system: bool,
    num_vcpus: c_int,
    max_vcpus: c_int,
}

/// The same, checked.
pub(crate) struct Info {
    pub(crate) target_name: String,
    pub(crate) version: c_int,
    /// 0: QEMU emulates no system.
    pub(crate) max_vcpus: usize,
}

impl Info {
    /// # Safety
    ///
    /// It is what QEMU gave to the plugin's installation, and lives.
    pub(crate) unsafe fn new(raw: *const RawInfo) -> Self {
        // SAFETY: the caller's word.
        let raw = unsafe { &*raw };
        // SAFETY: the name is a string of QEMU's.
        let name = unsafe { CStr::from_ptr(raw.target_name) };
        let max = if raw.is_system { raw.max_vcpus.max(1) } else { 0 };
        Self {
            target_name: name.to_string_lossy().into_owned(),
            version: raw.version,
            max_vcpus: max.try_into().unwrap_or(0),
        }
    }
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            fn find() -> Result<Self, String> {
                Ok(Self { $($name: {
                    let found = find(concat!("qemu_plugin_", stringify!($name), "\0"))?;
                    // SAFETY: QEMU's header declares the function of this name so.
                    unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>(found) }
                },)* })
            }
        }
    };
}

functions! {
    register_vcpu_tb_trans_cb: fn(PluginId, TranslatedCallback);
    register_vcpu_init_cb: fn(PluginId, VcpuCallback);
    register_atexit_cb: fn(PluginId, EndCallback, *mut c_void);
    register_vcpu_tb_exec_cb: fn(*mut RawBlock, ExecutedCallback, c_int, *mut c_void);
    register_vcpu_insn_exec_cb: fn(*mut RawInsn, ExecutedCallback, c_int, *mut c_void);
    register_vcpu_insn_exec_inline_per_vcpu: fn(*mut RawInsn, c_int, RawWord, u64);
    tb_n_insns: fn(*const RawBlock) -> usize;
    tb_get_insn: fn(*const RawBlock, usize) -> *mut RawInsn;
    insn_size: fn(*const RawInsn) -> usize;
    insn_vaddr: fn(*const RawInsn) -> u64;
    insn_data: fn(*const RawInsn, *mut u8, usize) -> usize;
    scoreboard_new: fn(usize) -> *mut RawScoreboard;
    scoreboard_find: fn(*mut RawScoreboard, c_uint) -> *mut c_void;
}

/// A function of QEMU's, or of a library of its, by its name with a zero byte.
pub(crate) fn find(name: &str) -> Result<*mut c_void, String> {
    // SAFETY: the name ends with a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr().cast()) };
    let name = name.trim_end_matches('\0');
    if found.is_null() {
        return Err(format!("this QEMU has no {name}: the plugin needs QEMU 9.0 or later"));
    }
    Ok(found)
}

type CallUnderCondition =
    unsafe extern "C" fn(*mut RawBlock, ExecutedCallback, c_int, c_int, RawWord, u64, *mut c_void);

/// The interface of the QEMU that has loaded the plugin.
pub(crate) struct Api {
    functions: Functions,
    version: c_int,
    call_under_condition: Option<CallUnderCondition>,
}

impl Api {
    pub(crate) fn find(version: c_int) -> Result<Self, String> {
        let functions = Functions::find()?;
        let name = "qemu_plugin_register_vcpu_tb_exec_cond_cb\0";
        let found = (version >= SINCE_9_1).then(|| find(name).ok()).flatten();
        // SAFETY: QEMU's header declares the function of this name so.
        let convert = |found| unsafe { std::mem::transmute::<*mut c_void, CallUnderCondition>(found) };
        Ok(Self { functions, version, call_under_condition: found.map(convert) })
    }

    /// Whether QEMU's own code can store, and call under a condition.
    pub(crate) fn has_conditions(&self) -> bool {
        self.call_under_condition.is_some()
    }

    pub(crate) fn on_translation(&self, id: PluginId, callback: TranslatedCallback) {
        // SAFETY: `id` is this plugin's, and the callback stays where it is.
        unsafe { (self.functions.register_vcpu_tb_trans_cb)(id, callback) };
    }

    pub(crate) fn on_vcpu(&self, id: PluginId, callback: VcpuCallback) {
        // SAFETY: as above.
        unsafe { (self.functions.register_vcpu_init_cb)(id, callback) };
    }

    pub(crate) fn on_end(&self, id: PluginId, callback: EndCallback) {
        // SAFETY: as above.
        unsafe { (self.functions.register_atexit_cb)(id, callback, std::ptr::null_mut()) };
    }

    /// A block that QEMU lends.
    ///
    /// # Safety
    ///
    /// `raw` is what QEMU gave to the callback for translations, which goes on as long as the block is used.
    pub(crate) unsafe fn block<'a>(&'a self, raw: *mut RawBlock) -> Block<'a> {
        Block { api: self, raw }
    }

    /// A scoreboard with so many bytes for each vCPU.
    pub(crate) fn scoreboard(&self, len: usize) -> Scoreboard {
        // SAFETY: it takes a number.
        Scoreboard(unsafe { (self.functions.scoreboard_new)(len) })
    }

    /// The address of a vCPU's element.
    pub(crate) fn element(&self, scoreboard: Scoreboard, vcpu: c_uint) -> usize {
        // SAFETY: QEMU gave the scoreboard, which is never freed here, and has said that there is the vCPU.
        unsafe { (self.functions.scoreboard_find)(scoreboard.0, vcpu) }.expose_provenance()
    }
}

/// Memory of QEMU's with an element for each vCPU.
#[derive(Clone, Copy)]
pub(crate) struct Scoreboard(*mut RawScoreboard);

// SAFETY: QEMU's functions lock what they need, and nothing here looks behind the pointer.
unsafe impl Send for Scoreboard {}
// SAFETY: as above.
unsafe impl Sync for Scoreboard {}

/// A block while it is translated.
pub(crate) struct Block<'a> {
    api: &'a Api,
    raw: *mut RawBlock,
}

/// One of its instructions.
pub(crate) struct Insn<'a> {
    api: &'a Api,
    raw: *mut RawInsn,
    lent: PhantomData<&'a RawBlock>,
}

impl Block<'_> {
    pub(crate) fn insns(&self) -> impl Iterator<Item = Insn<'_>> {
        // SAFETY: the block is lent.
        let num = unsafe { (self.api.functions.tb_n_insns)(self.raw) };
        (0..num).map(|index| {
            // SAFETY: it has more instructions than `index`.
            let raw = unsafe { (self.api.functions.tb_get_insn)(self.raw, index) };
            Insn { api: self.api, raw, lent: PhantomData }
        })
    }
}

impl Block<'_> {
    /// The callback is called with `given` when the block begins and the first word of the executing vCPU's element is not
    /// zero. Only where QEMU [has conditions](Api::has_conditions).
    pub(crate) fn call_unless_zero(
        &self,
        scoreboard: Scoreboard,
        callback: ExecutedCallback,
        given: *mut c_void,
    ) {
        let word = RawWord { scoreboard: scoreboard.0, offset: 0 };
        if let Some(register) = self.api.call_under_condition {
            // SAFETY: the block is lent, the scoreboard QEMU's, and the callback stays where it is.
            unsafe { register(self.raw, callback, READ_REGISTERS, NOT_EQUAL, word, 0, given) };
        }
    }

    /// The same whenever the block begins.
    pub(crate) fn call_with_registers(&self, callback: ExecutedCallback, given: *mut c_void) {
        // SAFETY: the block is lent, and the callback stays where it is.
        unsafe {
            (self.api.functions.register_vcpu_tb_exec_cb)(self.raw, callback, READ_REGISTERS, given);
        }
    }
}

impl Insn<'_> {
    /// The value is stored in the first word of the executing vCPU's element. Only where QEMU
    /// [has conditions](Api::has_conditions).
    pub(crate) fn store(&self, scoreboard: Scoreboard, value: u64) {
        let word = RawWord { scoreboard: scoreboard.0, offset: 0 };
        // SAFETY: the instruction is lent, and the scoreboard QEMU's.
        unsafe {
            (self.api.functions.register_vcpu_insn_exec_inline_per_vcpu)(self.raw, STORE, word, value);
        }
    }

    pub(crate) fn vaddr(&self) -> u64 {
        // SAFETY: the instruction is lent.
        unsafe { (self.api.functions.insn_vaddr)(self.raw) }
    }

    /// Appends its bytes, and gives their number.
    pub(crate) fn read(&self, bytes: &mut Vec<u8>) -> usize {
        let mut copy = [0; MAX_INSN_BYTES];
        // SAFETY: the instruction is lent.
        let len = unsafe { (self.api.functions.insn_size)(self.raw) }.min(MAX_INSN_BYTES);
        if self.api.version >= SINCE_9_1 {
            // SAFETY: `copy` has room for `len` bytes.
            unsafe { (self.api.functions.insn_data)(self.raw, copy.as_mut_ptr(), len) };
        } else {
            self.copy_lent(&mut copy, len);
        }
        bytes.extend(copy.iter().take(len));
        len
    }

    fn copy_lent(&self, copy: &mut [u8; MAX_INSN_BYTES], len: usize) {
        type Lent = unsafe extern "C" fn(*const RawInsn) -> *const u8;
        let function = self.api.functions.insn_data as *const c_void;
        // SAFETY: in this version the function takes one argument and gives a pointer.
        let lent = unsafe { std::mem::transmute::<*const c_void, Lent>(function)(self.raw) };
        // SAFETY: an instruction of `len` bytes is there as long as the block is lent.
        unsafe { std::ptr::copy_nonoverlapping(lent, copy.as_mut_ptr(), len.min(MAX_INSN_BYTES)) };
    }
}

impl Insn<'_> {
    /// One is added to the word `offset` bytes from the start of the executing vCPU's element.
    pub(crate) fn add(&self, scoreboard: Scoreboard, offset: usize) {
        let word = RawWord { scoreboard: scoreboard.0, offset };
        // SAFETY: the instruction is lent, and the scoreboard QEMU's.
        unsafe { (self.api.functions.register_vcpu_insn_exec_inline_per_vcpu)(self.raw, ADD, word, 1) };
    }

    /// The callback is called with `given`.
    pub(crate) fn call(&self, callback: ExecutedCallback, given: *mut c_void) {
        // SAFETY: the instruction is lent, and the callback stays where it is.
        unsafe { (self.api.functions.register_vcpu_insn_exec_cb)(self.raw, callback, NO_REGISTERS, given) };
    }
}
