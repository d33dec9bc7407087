//! What is done when QEMU translates a block: it gets an entry in the file, and is counted there when it is executed.
//!
//! What always holds: the same code at the same address has one entry, however often it is translated; other bytes at the
//! same address have another one, which says so; code that found no room is executed uncounted, and counted as that.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use covtap_insn::Isa;

use crate::api::{Api, Block, Executed, Info};
use crate::arguments::Arguments;
use crate::branch;
use crate::callbacks::{self, Branch, Ended};
use crate::graft::{self, Graft};
use crate::layout::{self, CHUNK_ENTRIES, Kind, Mode, WORD, word};
use crate::memory::{Counter, Entry, Memory};

/// The plugin in one QEMU.
pub(crate) struct Plugin {
    pub(crate) api: Api,
    mode: Mode,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    ids: HashMap<Entry, usize>,
    /// Where something was executed: address, length and kind.
    places: HashSet<(u64, u32, Kind)>,
    vcpus: Vec<u32>,
    /// One for each chunk; `None` where calls count.
    grafts: Option<Vec<Option<Graft>>>,
    /// What was given to calls, by entry.
    counters: HashMap<usize, &'static Counter>,
    ends: HashMap<usize, &'static Ended>,
    isa: Option<Isa>,
    /// A block that found no room.
    unrecorded: &'static Ended,
}

/// Instructions that follow one another.
#[derive(Default)]
struct Code {
    vaddr: u64,
    bytes: Vec<u8>,
    /// The last one's address and length.
    last: (u64, usize),
    has_short: bool,
}

impl Plugin {
    pub(crate) fn new(arguments: &Arguments, info: &Info) -> Result<Self, String> {
        let api = Api::find(info.version)?;
        if info.max_vcpus == 0 {
            return Err("it counts what systems execute: programs alone are not emulated with it".to_owned());
        }
        let mode = arguments.mode;
        let memory = Memory::create(arguments.file.as_ref(), mode, &info.target_name, info.max_vcpus)?;
        let is_inline = arguments.is_inline && mode != Mode::Edges && info.max_vcpus <= graft::MAX_VCPUS;
        callbacks::prepare(info.max_vcpus);
        let unrecorded = Box::leak(Box::new(Ended { vaddr: 0, counter: None, branch: None }));
        let state = State {
            memory,
            ids: HashMap::new(),
            places: HashSet::new(),
            vcpus: Vec::new(),
            grafts: is_inline.then(Vec::new),
            counters: HashMap::new(),
            ends: HashMap::new(),
            isa: branch::isa_of(&info.target_name),
            unrecorded,
        };
        state.say_how();
        Ok(Self { api, mode, state: Mutex::new(state) })
    }

    /// A vCPU is there, and has executed nothing.
    pub(crate) fn vcpu(&self, vcpu: u32) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = state.vcpu(&self.api, vcpu) {
            crate::say(&format!("count vCPU {vcpu}: {error}; what it executes is missing"));
            let flags = state.memory.get(word::FLAGS) | layout::FLAG_UNCOUNTED_VCPU;
            state.memory.set(word::FLAGS, flags);
        }
    }

    /// A block is translated.
    pub(crate) fn translated(&self, block: &Block<'_>) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mode == Mode::Insns {
            for insn in block.insns() {
                let mut code = Code::default();
                code.append(insn.vaddr(), |bytes| insn.read(bytes));
                if let Some(id) = state.entry(&self.api, &code.entry(Kind::Instruction)) {
                    state.count(&insn, id);
                }
            }
            return;
        }
        let mut code = Code::default();
        block.insns().for_each(|insn| code.append(insn.vaddr(), |bytes| insn.read(bytes)));
        let id = state.entry(&self.api, &code.entry(Kind::Block));
        match (self.mode, id) {
            (Mode::Edges, Some(id)) => callbacks::follow(block, state.ended(&self.api, &code, id)),
            (Mode::Edges, None) => callbacks::follow(block, state.unrecorded),
            (_, Some(id)) => state.count(block, id),
            (_, None) => {}
        }
    }

    /// QEMU ends in order.
    pub(crate) fn end(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.memory.set(word::STATE, layout::STATE_ENDED);
    }
}

impl State {
    /// Tells the file how is counted.
    fn say_how(&self) {
        let how = if self.grafts.is_some() { layout::COUNTING_INLINE } else { layout::COUNTING_CALLBACKS };
        self.memory.set(word::COUNTING, how);
    }

    /// Gives a vCPU that has executed nothing its rows.
    fn vcpu(&mut self, api: &Api, vcpu: u32) -> Result<(), String> {
        if vcpu as usize >= self.memory.num_vcpus() {
            return Err(format!("QEMU said that there are {} at most", self.memory.num_vcpus()));
        }
        for (chunk, graft) in self.grafts.iter().flatten().enumerate() {
            if let Some(graft) = graft {
                graft.vcpu(api, &self.memory, chunk, vcpu)?;
            }
        }
        self.vcpus.push(vcpu);
        Ok(())
    }

    /// The number of some code's entry, which is made if it is new; none where there is no room.
    fn entry(&mut self, api: &Api, entry: &Entry) -> Option<usize> {
        if let Some(id) = self.ids.get(entry) {
            return Some(*id);
        }
        if self.memory.is_full() && self.memory.get(word::NOT_RECORDED) == 0 {
            match self.memory.grow() {
                Ok(()) => self.graft(api),
                Err(error) => crate::say(&format!("{error}; more code is executed uncounted")),
            }
        }
        let is_known = self.places.contains(&(entry.vaddr, entry.len_bytes, entry.kind));
        let flags = if is_known { layout::FLAG_OTHER_BYTES } else { 0 };
        let Some(id) = self.memory.push(entry, flags) else {
            self.memory.set(word::NOT_RECORDED, self.memory.get(word::NOT_RECORDED).saturating_add(1));
            return None;
        };
        self.places.insert((entry.vaddr, entry.len_bytes, entry.kind));
        self.ids.insert(*entry, id);
        Some(id)
    }

    /// Has QEMU's own code count the newest chunk, if it can.
    fn graft(&mut self, api: &Api) {
        let Some(grafts) = &mut self.grafts else { return };
        let Some(chunk) = self.memory.num_chunks().checked_sub(1) else { return };
        match Graft::new(api, &self.memory, chunk, &self.vcpus) {
            Ok(graft) => grafts.push(Some(graft)),
            // What was grafted already goes on to be counted so.
            Err(error) if chunk > 0 => {
                crate::say(&format!("{error}; calls count what is new"));
                grafts.push(None);
            }
            Err(error) => {
                crate::say(&format!("{error}; calls count instead"));
                self.grafts = None;
                self.say_how();
            }
        }
    }

    /// Has the executions of some code counted.
    fn count(&mut self, code: &impl Executed, id: usize) {
        let graft = self.grafts.as_ref().and_then(|grafts| grafts.get(id / CHUNK_ENTRIES));
        if let Some(Some(graft)) = graft {
            let offset = (id % CHUNK_ENTRIES).saturating_mul(WORD).saturating_add(graft.offset);
            code.add(graft.scoreboard, offset);
        } else if let Some(counter) = self.memory.counter(id) {
            let given = self.counters.entry(id).or_insert_with(|| Box::leak(Box::new(counter)));
            callbacks::count(code, given);
        }
    }

    /// What is followed of a block that ends.
    fn ended(&mut self, api: &Api, code: &Code, id: usize) -> &'static Ended {
        if let Some(ended) = self.ends.get(&id) {
            return ended;
        }
        let branch = self.branch(api, code);
        let ended = Ended { vaddr: code.vaddr, counter: self.memory.counter(id), branch };
        let ended = Box::leak(Box::new(ended));
        self.ends.insert(id, ended);
        ended
    }

    fn branch(&mut self, api: &Api, code: &Code) -> Option<Branch> {
        if code.has_short && self.isa == Some(Isa::A32) {
            self.isa = Some(Isa::Thumb);
        }
        let (vaddr, len) = code.last;
        let bytes = code.bytes.get(code.bytes.len().checked_sub(len)?..)?;
        let target = branch::target(self.isa?, vaddr, bytes)?;
        let last = Code { vaddr, bytes: bytes.to_vec(), ..Code::default() };
        let [taken, fell_through] = [Kind::BranchTaken, Kind::BranchFellThrough]
            .map(|kind| self.entry(api, &last.entry(kind)).and_then(|id| self.memory.counter(id)));
        let next = vaddr.wrapping_add(len as u64);
        Some(Branch { next, target, taken: taken?, fell_through: fell_through? })
    }
}

impl Code {
    fn append(&mut self, vaddr: u64, read: impl FnOnce(&mut Vec<u8>) -> usize) {
        if self.bytes.is_empty() {
            self.vaddr = vaddr;
        }
        self.last = (vaddr, read(&mut self.bytes));
        self.has_short |= self.last.1 == 2;
    }

    fn entry(&self, kind: Kind) -> Entry {
        let len_bytes = self.bytes.len().try_into().unwrap_or(u32::MAX);
        Entry { vaddr: self.vaddr, len_bytes, kind, hash: hash(&self.bytes) }
    }
}

/// FNV-1a of 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
