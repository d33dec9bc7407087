//! What QEMU calls when code is executed, where its own code cannot count.
//!
//! What always holds: what a callback is given was made here, lives as long as the process, and is never changed.
#![allow(unsafe_code, reason = "QEMU gives back pointers")]

use std::ffi::{c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::api::Executed;
use crate::memory::Counter;

/// A block whose end is looked at.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) vaddr: u64,
    /// Of the block; none if there was no room.
    pub(crate) counter: Option<Counter>,
    pub(crate) branch: Option<Branch>,
}

/// The conditional branch at a block's end.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) next: u64,
    pub(crate) target: u64,
    pub(crate) taken: Counter,
    pub(crate) fell_through: Counter,
}

/// The block that a vCPU has begun last, if it ends with a branch. Apart, so that vCPUs do not share a line of the cache.
#[repr(align(64))]
#[derive(Default)]
struct Last(AtomicPtr<Ended>);

static LAST: OnceLock<Box<[Last]>> = OnceLock::new();

/// Makes room for so many vCPUs. Before any code is executed.
pub(crate) fn prepare(num_vcpus: usize) {
    LAST.get_or_init(|| (0..num_vcpus).map(|_| Last::default()).collect());
}

/// Has executions counted.
pub(crate) fn count(code: &impl Executed, counter: &'static Counter) {
    code.call(counted, ptr::from_ref(counter).cast_mut().cast());
}

/// Has executions counted, and which way the branch went that came before.
pub(crate) fn follow(code: &impl Executed, ended: &'static Ended) {
    code.call(begun, ptr::from_ref(ended).cast_mut().cast());
}

extern "C" fn counted(vcpu: c_uint, given: *mut c_void) {
    // SAFETY: `count` gave a counter.
    if let Some(counter) = unsafe { given.cast::<Counter>().as_ref() } {
        counter.add(vcpu);
    }
}

extern "C" fn begun(vcpu: c_uint, given: *mut c_void) {
    // SAFETY: `follow` gave a block.
    let Some(block) = (unsafe { given.cast::<Ended>().as_ref() }) else { return };
    if let Some(counter) = block.counter {
        counter.add(vcpu);
    }
    let Some(last) = LAST.get().and_then(|all| all.get(vcpu as usize)) else { return };
    // SAFETY: only what was given here is kept.
    let before = unsafe { last.0.load(Ordering::Relaxed).as_ref() };
    // Anything else than these two is an interrupt or a fault: the branch was not done, or comes again.
    match before.and_then(|before| before.branch.as_ref()) {
        Some(branch) if branch.next == block.vaddr => branch.fell_through.add(vcpu),
        Some(branch) if branch.target == block.vaddr => branch.taken.add(vcpu),
        _ => {}
    }
    let kept = if block.branch.is_some() { given.cast() } else { ptr::null_mut() };
    last.0.store(kept, Ordering::Relaxed);
}
