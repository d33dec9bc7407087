//! Which test counted what: the difference of two snapshots has the name of the test that ran between them.
//!
//! What enters is names, and all that was counted when a test begins and when it ends; what leaves is what each test
//! counted, over all of its runs.
//!
//! What always holds: one test runs at a time; what is counted outside of tests is no test's; a reset of the target, and a
//! new baseline, take nothing from a test. Elements that a test left alone take no memory.
//!
//! Limits: a byte or a bit is set once, so it is of the test that ran it first. Values that are no counts
//! ([`MergeRule::Minimum`], [`MergeRule::Latest`]) are of no test.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Counters;
use super::counters::differing;
use super::sums::{merged, without};
use super::torn::write_uint;
use crate::image::uint;
use crate::locate::{CounterRegion, MergeRule};

/// The longest name of a test, in bytes.
pub const MAX_TEST_NAME_BYTES: usize = 256;

/// More tests than this are refused.
const MAX_TESTS: usize = 1 << 16;

/// What one test counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestCounts {
    /// Its name.
    pub name: String,
    /// The index of the test among all, by when they first ended.
    pub index: usize,
    /// How often it ran to its end.
    pub runs: u64,
    /// Whether it was running when the session ended: what that run counted until then is in it too.
    pub is_cut: bool,
    /// By region, and by the index of an element's first byte.
    counted: Vec<BTreeMap<usize, u64>>,
}

/// The tests of a session.
#[derive(Default)]
pub(super) struct Labels {
    /// The one that runs, and what was counted before it.
    running: Option<(String, Arc<Counters>)>,
    ended: Vec<TestCounts>,
}

/// A test cannot begin, or end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TestError {
    /// Another one runs.
    #[error("begin test {name:?}: {running:?} has not ended")]
    Runs {
        /// The one that was to begin.
        name: String,
        /// The one that runs.
        running: String,
    },
    /// None runs.
    #[error("end a test: none has begun")]
    None,
    /// Another one runs.
    #[error("end test {name:?}: {running:?} is what runs")]
    Other {
        /// The one that was to end.
        name: String,
        /// The one that runs.
        running: String,
    },
    /// It is no name.
    #[error("begin a test: its name {reason}")]
    Name {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are too many.
    #[error("begin test {name:?}: there are {MAX_TESTS} tests already")]
    TooMany {
        /// The one that was to begin.
        name: String,
    },
}

impl Labels {
    /// The test that runs.
    pub(super) fn running(&self) -> Option<&str> {
        self.running.as_ref().map(|(name, _)| name.as_str())
    }

    /// How many tests have ended.
    pub(super) fn num_ended(&self) -> usize {
        self.ended.len()
    }

    /// Whether a test of this name may begin once the one that runs has ended.
    pub(super) fn may_follow(&self, name: &str) -> Result<(), TestError> {
        check_name(name)?;
        let is_new = self.running() != Some(name) && self.ended.iter().all(|test| test.name != name);
        if is_new && self.ended.len() >= MAX_TESTS {
            return Err(TestError::TooMany { name: name.to_owned() });
        }
        Ok(())
    }

    /// Whether a test of this name may begin; that one runs already is no error, and nothing to do (`false`).
    pub(super) fn may_begin(&self, name: &str) -> Result<bool, TestError> {
        check_name(name)?;
        match self.running() {
            Some(running) if running == name => return Ok(false),
            Some(running) => {
                return Err(TestError::Runs { name: name.to_owned(), running: running.to_owned() });
            }
            None => {}
        }
        self.may_follow(name)?;
        Ok(true)
    }

    /// Whether the test of this name, or whatever test runs, may end.
    pub(super) fn may_end(&self, name: Option<&str>) -> Result<(), TestError> {
        match (self.running(), name) {
            (None, _) => Err(TestError::None),
            (Some(running), Some(name)) if running != name => {
                Err(TestError::Other { name: name.to_owned(), running: running.to_owned() })
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// Begins a test, with all that was counted so far.
    pub(super) fn begin(&mut self, name: String, all: Arc<Counters>) {
        self.running = Some((name, all));
    }

    /// Ends the test that runs, with all that was counted so far, and gives what it counted in all of its runs.
    pub(super) fn end(&mut self, regions: &[CounterRegion], all: &Counters) -> Option<TestCounts> {
        let test = self.close(regions, all)?;
        test.runs += 1;
        Some(test.clone())
    }

    /// The session ends while a test runs: gives what it counted in all of its runs and in this one so far.
    pub(super) fn cut(&mut self, regions: &[CounterRegion], all: &Counters) -> Option<TestCounts> {
        let test = self.close(regions, all)?;
        test.is_cut = true;
        Some(test.clone())
    }

    /// Adds what the test that runs has counted to what it did before; none runs any more.
    fn close(&mut self, regions: &[CounterRegion], all: &Counters) -> Option<&mut TestCounts> {
        let (name, before) = self.running.take()?;
        let index = self.ended.iter().position(|test| test.name == name).unwrap_or(self.ended.len());
        if index == self.ended.len() {
            let counted = vec![BTreeMap::new(); regions.len()];
            self.ended.push(TestCounts { name, index, runs: 0, is_cut: false, counted });
        }
        let test = self.ended.get_mut(index)?;
        test.add(regions, &before, all);
        Some(test)
    }
}

fn check_name(name: &str) -> Result<(), TestError> {
    let reason = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_TEST_NAME_BYTES {
        "is longer than 256 bytes"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Ok(());
    };
    Err(TestError::Name { reason })
}

impl TestCounts {
    /// Adds what was counted between two readings of all.
    fn add(&mut self, regions: &[CounterRegion], before: &Counters, after: &Counters) {
        let pairs = before.regions().iter().zip(after.regions());
        for ((region, counted), (old, new)) in regions.iter().zip(&mut self.counted).zip(pairs) {
            if matches!(region.merge, MergeRule::Minimum | MergeRule::Latest) {
                continue;
            }
            for (at, old, new) in differing(region, old, new) {
                let most = largest(region);
                let (old, new) = (uint(old, region.endianness), uint(new, region.endianness));
                let value = without(region.merge, most, new, old);
                let sum = counted.entry(at).or_insert(nothing(region));
                *sum = merged(region.merge, most, *sum, value);
            }
        }
    }

    /// The same as a reading of all regions; `None` if the host has no memory for it.
    #[must_use]
    pub fn counters(&self, regions: &[CounterRegion]) -> Option<Counters> {
        let mut counters = Counters::for_regions(regions)?;
        for ((region, counted), bytes) in regions.iter().zip(&self.counted).zip(counters.regions_mut()) {
            if region.merge == MergeRule::ClearedWhenHit {
                bytes.fill(u8::MAX);
            }
            for (at, value) in counted {
                let end = at.saturating_add(region.element_bytes);
                if let Some(element) = bytes.get_mut(*at..end) {
                    write_uint(element, region, *value);
                }
            }
        }
        Some(counters)
    }
}

/// The largest number that an element holds.
fn largest(region: &CounterRegion) -> u64 {
    match region.element_bytes {
        8 => u64::MAX,
        4 => u32::MAX.into(),
        _ => u8::MAX.into(),
    }
}

/// An element of what never ran.
fn nothing(region: &CounterRegion) -> u64 {
    if region.merge == MergeRule::ClearedWhenHit { largest(region) } else { 0 }
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
