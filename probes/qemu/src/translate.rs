//! From an address as the guest's code uses it to an address in the QEMU process.
//!
//! What enters is a range of the guest's addresses; what leaves is [`Stretch`]es, each contiguous in the
//! guest's addresses, in guest-physical memory and in QEMU's own memory.
//!
//! Physical memory costs two questions per memory region, not per page: `info mtree -f` tells how far a region
//! reaches, and `gpa2hva` of its first and its last byte must agree on the region's name and lie exactly as far
//! apart as they do in the guest. Where they do not, or the map does not list the address, one page at a time
//! is proven the same way. Virtual memory costs one `gva2gpa` per page, many on the way at once.
//!
//! What always holds:
//! - every byte of a range lies in exactly one stretch, in order, or the range is an error that names the
//!   first address that could not be translated;
//! - a virtual address that no page table translates is never taken for a physical one;
//! - physical translations live until [`Translator::forget`]; virtual ones are checked again after a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::AddressSpace;
use crate::failure::Failure;
use crate::human::{self, FlatRange, HostPlace};

/// The smallest unit of translation that QEMU's common targets have.
const PAGE_BYTES: u64 = 4096;

/// Who answers questions in the human monitor's language.
pub(crate) trait Human {
    /// Carries out `lines` for one CPU and gives what each printed.
    fn human(&mut self, lines: &[String], cpu: Option<u32>) -> Result<Vec<String>, Failure>;
}

impl Human for crate::qmp::Client {
    fn human(&mut self, lines: &[String], cpu: Option<u32>) -> Result<Vec<String>, Failure> {
        Self::human(self, lines, cpu)
    }
}

/// Guest-physical memory that was proven contiguous in the QEMU process.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Backing {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) hva: u64,
    /// QEMU's name of the memory region.
    pub(crate) region: String,
    /// Where `first` lies in that region, where the memory map tells.
    pub(crate) region_offset: Option<u64>,
}

impl Backing {
    /// Whether all of `other` is memory that this has as well.
    fn shows(&self, other: &Self) -> bool {
        let before = other.hva.checked_sub(self.hva);
        let end = before.and_then(|before| before.checked_add(other.last.checked_sub(other.first)?));
        self.last.checked_sub(self.first).zip(end).is_some_and(|(len, end)| end <= len)
    }
}

/// Part of a range that is contiguous in every address space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    /// The first address, as it was asked for.
    pub(crate) addr: u64,
    /// The first guest-physical address.
    pub(crate) gpa: u64,
    pub(crate) len_bytes: u64,
    pub(crate) backing: Arc<Backing>,
}

impl Stretch {
    /// The first byte's address in the QEMU process.
    pub(crate) fn hva(&self) -> u64 {
        self.backing.hva.wrapping_add(self.gpa.wrapping_sub(self.backing.first))
    }

    /// The first byte's offset in its memory region, where the memory map tells.
    pub(crate) fn region_offset(&self) -> Option<u64> {
        self.backing.region_offset?.checked_add(self.gpa.checked_sub(self.backing.first)?)
    }
}

/// A virtually and physically contiguous run of pages.
#[derive(Clone, Copy, Debug)]
struct Run {
    gpa: u64,
    len_bytes: u64,
    checked: Instant,
}

/// What is known of the guest's memory.
#[derive(Debug)]
pub(crate) struct Translator {
    space: AddressSpace,
    recheck_after: Duration,
    /// The last address that the target's CPUs can use, where the target's name tells.
    last_addr: u64,
    layout: Option<Vec<FlatRange>>,
    backings: BTreeMap<u64, Arc<Backing>>,
    runs: BTreeMap<u64, Run>,
}

impl Translator {
    pub(crate) fn new(space: AddressSpace, recheck_after: Duration, last_addr: u64) -> Self {
        Self {
            space,
            recheck_after,
            last_addr,
            layout: None,
            backings: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// What addresses mean; `Auto` as long as that is not decided.
    pub(crate) fn space(&self) -> AddressSpace {
        self.space
    }

    /// Drops everything that was learnt, but for what addresses mean.
    pub(crate) fn forget(&mut self) {
        self.layout = None;
        self.backings.clear();
        self.runs.clear();
    }

    /// Keeps what was learnt from now on: nobody answers any more.
    pub(crate) fn freeze(&mut self) {
        self.recheck_after = Duration::MAX;
    }

    /// Memory regions that may be RAM, the largest first, proven; at most `max` of them.
    pub(crate) fn largest(
        &mut self,
        monitor: &mut impl Human,
        max: usize,
    ) -> Result<Vec<Arc<Backing>>, Failure> {
        let mut ranges: Vec<FlatRange> =
            self.layout(monitor)?.iter().filter(|range| range.may_be_ram).cloned().collect();
        ranges.sort_by_key(|range| std::cmp::Reverse(range.last - range.first));
        ranges.truncate(max);
        let mut found = Vec::new();
        for range in ranges {
            found.extend(self.backing(monitor, range.first)?.ok());
        }
        Ok(found)
    }

    /// All memory that was proven, in order; what shows at several addresses once, by the lowest.
    pub(crate) fn ram(&mut self, monitor: &mut impl Human) -> Result<Vec<Arc<Backing>>, Failure> {
        let ranges: Vec<u64> =
            self.layout(monitor)?.iter().filter(|range| range.may_be_ram).map(|range| range.first).collect();
        let mut found: Vec<Arc<Backing>> = Vec::with_capacity(ranges.len());
        for first in ranges {
            let Ok(backing) = self.backing(monitor, first)? else { continue };
            if !found.iter().any(|earlier| earlier.shows(&backing)) {
                found.push(backing);
            }
        }
        Ok(found)
    }

    /// Appends the stretches of guest-physical memory to `stretches`, whatever addresses mean otherwise.
    pub(crate) fn translate_physical(
        &mut self,
        monitor: &mut impl Human,
        gpa: u64,
        len_bytes: u64,
        stretches: &mut Vec<Stretch>,
    ) -> Result<(), Failure> {
        let Some(beyond_first) = len_bytes.checked_sub(1) else { return Ok(()) };
        let last = gpa
            .checked_add(beyond_first)
            .ok_or_else(|| Failure::Refused("it passes the end of memory".to_owned()))?;
        self.physical(monitor, gpa, gpa, last, stretches)
    }

    /// Appends the stretches of a range to `stretches`.
    pub(crate) fn translate(
        &mut self,
        monitor: &mut impl Human,
        addr: u64,
        len_bytes: u64,
        stretches: &mut Vec<Stretch>,
    ) -> Result<(), Failure> {
        if len_bytes == 0 {
            return Ok(());
        }
        let last = addr.checked_add(len_bytes - 1).filter(|last| *last <= self.last_addr);
        let last = last.ok_or_else(|| {
            Failure::Refused(format!("the target's addresses end at {:#x}", self.last_addr))
        })?;
        match self.space {
            AddressSpace::Physical => self.physical(monitor, addr, addr, last, stretches),
            AddressSpace::Virtual { cpu } => self.of_cpu(monitor, cpu, addr, last, stretches),
            AddressSpace::Auto => {
                let mapped = ask_cpu(monitor, 0, &[addr & !(PAGE_BYTES - 1)])?;
                let translates = mapped.first().is_some_and(Option::is_some);
                if translates {
                    self.of_cpu(monitor, 0, addr, last, stretches)?;
                    self.space = AddressSpace::Virtual { cpu: 0 };
                } else {
                    self.physical(monitor, addr, addr, last, stretches)?;
                    self.space = AddressSpace::Physical;
                }
                Ok(())
            }
        }
    }

    /// Virtual addresses `addr..=last`.
    fn of_cpu(
        &mut self,
        monitor: &mut impl Human,
        cpu: u32,
        addr: u64,
        last: u64,
        stretches: &mut Vec<Stretch>,
    ) -> Result<(), Failure> {
        self.recheck(monitor, cpu, addr, last)?;
        self.fill_runs(monitor, cpu, addr, last)?;
        let mut next = addr;
        loop {
            let (start, run) = self.run_at(next).ok_or_else(|| untranslated(cpu, next))?;
            let within = next - start;
            let run_last = start + (run.len_bytes - 1);
            let end = run_last.min(last);
            let gpa = run.gpa.checked_add(within);
            let span = gpa.and_then(|gpa| Some((gpa, gpa.checked_add(end - next)?)));
            let (gpa, gpa_last) = span.ok_or_else(|| {
                Failure::Protocol(format!("gva2gpa: {next:#x} is at the end of physical memory"))
            })?;
            self.physical(monitor, next, gpa, gpa_last, stretches)?;
            if end == last {
                return Ok(());
            }
            next = end + 1;
        }
    }

    fn run_at(&self, addr: u64) -> Option<(u64, Run)> {
        let (start, run) = self.runs.range(..=addr).next_back()?;
        (addr - start < run.len_bytes).then_some((*start, *run))
    }

    /// Drops all runs if the first page of one that is old by now has moved.
    fn recheck(&mut self, monitor: &mut impl Human, cpu: u32, addr: u64, last: u64) -> Result<(), Failure> {
        let from = self.run_at(addr).map_or(addr, |(start, _)| start);
        let (patience, now) = (self.recheck_after, Instant::now());
        let old: Vec<(u64, u64)> = self
            .runs
            .range(from..=last)
            .filter(|(_, run)| now.duration_since(run.checked) >= patience)
            .map(|(start, run)| (*start, run.gpa))
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let pages: Vec<u64> = old.iter().map(|(start, _)| *start).collect();
        let mapped = ask_cpu(monitor, cpu, &pages)?;
        if old.iter().zip(&mapped).any(|((_, gpa), now)| Some(*gpa) != *now) {
            self.runs.clear();
            return Ok(());
        }
        for start in pages {
            if let Some(run) = self.runs.get_mut(&start) {
                run.checked = now;
            }
        }
        Ok(())
    }

    /// Asks for every page of `addr..=last` that no run has, and joins the answers to runs.
    fn fill_runs(&mut self, monitor: &mut impl Human, cpu: u32, addr: u64, last: u64) -> Result<(), Failure> {
        let mut pages = Vec::new();
        let mut page = addr & !(PAGE_BYTES - 1);
        loop {
            let next = match self.run_at(page) {
                Some((start, run)) => start.checked_add(run.len_bytes),
                None => {
                    pages.push(page);
                    page.checked_add(PAGE_BYTES)
                }
            };
            match next {
                Some(next) if next <= last => page = next,
                _ => break,
            }
        }
        let mapped = ask_cpu(monitor, cpu, &pages)?;
        for (page, gpa) in pages.into_iter().zip(mapped) {
            let gpa = gpa.ok_or_else(|| untranslated(cpu, page.max(addr)))?;
            self.join(page, gpa);
        }
        Ok(())
    }

    fn join(&mut self, page: u64, gpa: u64) {
        let before = self.runs.range_mut(..page).next_back();
        if let Some((start, run)) = before
            && start.checked_add(run.len_bytes) == Some(page)
            && run.gpa.checked_add(run.len_bytes) == Some(gpa)
            && run.checked.elapsed() < self.recheck_after
        {
            run.len_bytes += PAGE_BYTES;
        } else {
            self.runs.insert(page, Run { gpa, len_bytes: PAGE_BYTES, checked: Instant::now() });
        }
    }

    /// Guest-physical addresses `gpa..=last`, asked for as `addr`.
    fn physical(
        &mut self,
        monitor: &mut impl Human,
        mut addr: u64,
        mut gpa: u64,
        last: u64,
        stretches: &mut Vec<Stretch>,
    ) -> Result<(), Failure> {
        loop {
            let backing =
                self.backing(monitor, gpa)?.map_err(|why| Failure::Refused(no_ram(addr, gpa, &why)))?;
            let end = backing.last.min(last);
            stretches.push(Stretch { addr, gpa, len_bytes: (end - gpa).saturating_add(1), backing });
            if end == last {
                return Ok(());
            }
            addr = addr.wrapping_add(end - gpa + 1);
            gpa = end + 1;
        }
    }

    /// The proven memory around `gpa`, or why there is none.
    fn backing(
        &mut self,
        monitor: &mut impl Human,
        gpa: u64,
    ) -> Result<Result<Arc<Backing>, String>, Failure> {
        let known = self.backings.range(..=gpa).next_back();
        if let Some((_, backing)) = known.filter(|(_, backing)| gpa <= backing.last) {
            return Ok(Ok(Arc::clone(backing)));
        }
        let listed = self.layout(monitor)?.iter().find(|r| r.first <= gpa && gpa <= r.last).cloned();
        let proven = match &listed {
            Some(range) if !range.may_be_ram => {
                return Ok(Err(format!("{} is not RAM", human::clip(&range.label))));
            }
            Some(range) => prove(monitor, range.first, range.last)?.map(|place| {
                let region_offset = range.offset_in(&place.region);
                Backing {
                    first: range.first,
                    last: range.last,
                    hva: place.hva,
                    region: place.region,
                    region_offset,
                }
            }),
            None => Err(String::new()),
        };
        let proven = match proven {
            Ok(backing) => Ok(backing),
            Err(_) => page_backing(monitor, gpa, listed.as_ref())?,
        };
        Ok(proven.map(|backing| {
            let backing = Arc::new(backing);
            self.backings.insert(backing.first, Arc::clone(&backing));
            backing
        }))
    }

    /// The memory map. A server that does not tell has an empty one.
    fn layout(&mut self, monitor: &mut impl Human) -> Result<&[FlatRange], Failure> {
        if self.layout.is_none() {
            let printed = match monitor.human(&["info mtree -f".to_owned()], None) {
                Err(failure) if failure.leaves_monitor_usable() => Vec::new(),
                other => other?,
            };
            self.layout = Some(printed.first().map(|text| human::flat_view(text)).unwrap_or_default());
        }
        Ok(self.layout.as_deref().unwrap_or_default())
    }
}

/// One page around `gpa`, clipped to the range that the memory map lists, proven.
fn page_backing(
    monitor: &mut impl Human,
    gpa: u64,
    listed: Option<&FlatRange>,
) -> Result<Result<Backing, String>, Failure> {
    let first = gpa & !(PAGE_BYTES - 1);
    let last = first | (PAGE_BYTES - 1);
    let (first, last) = listed.map_or((first, last), |range| (first.max(range.first), last.min(range.last)));
    Ok(prove(monitor, first, last)?.map(|place| Backing {
        first,
        last,
        hva: place.hva,
        region: place.region,
        region_offset: None,
    }))
}

/// Asks where the first and the last byte of `first..=last` are: the first one's place if the bytes between
/// can only lie between, else why not.
fn prove(monitor: &mut impl Human, first: u64, last: u64) -> Result<Result<HostPlace, String>, Failure> {
    let lines = [format!("gpa2hva {first:#x}"), format!("gpa2hva {last:#x}")];
    let printed = monitor.human(&lines, None)?;
    let [at_first, at_last] = printed.as_slice() else {
        return Err(Failure::Protocol(format!("{} answers to 2 commands", printed.len())));
    };
    let (at_first, at_last) = match (human::gpa2hva(first, at_first)?, human::gpa2hva(last, at_last)?) {
        (Ok(at_first), Ok(at_last)) => (at_first, at_last),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
    };
    let straight =
        at_first.region == at_last.region && at_last.hva.checked_sub(at_first.hva) == Some(last - first);
    Ok(if straight { Ok(at_first) } else { Err(format!("{first:#x} and {last:#x} are not in one piece")) })
}

/// The physical address of each page of virtual memory.
fn ask_cpu(monitor: &mut impl Human, cpu: u32, pages: &[u64]) -> Result<Vec<Option<u64>>, Failure> {
    let lines: Vec<String> = pages.iter().map(|page| format!("gva2gpa {page:#x}")).collect();
    monitor.human(&lines, Some(cpu))?.iter().map(|printed| human::gva2gpa(printed)).collect()
}

fn untranslated(cpu: u32, addr: u64) -> Failure {
    Failure::Refused(format!("CPU {cpu} has no translation of {addr:#x}"))
}

fn no_ram(addr: u64, gpa: u64, why: &str) -> String {
    if addr == gpa {
        format!("no memory at {addr:#x}: {why}")
    } else {
        format!("no memory at {addr:#x}, physical {gpa:#x}: {why}")
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
