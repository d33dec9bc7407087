//! Follows lists through the target's memory while the target changes them.
//!
//! What enters is where lists begin and a reading of those regions; what leaves is the values of each list with their
//! counts, or a [`ListFault`]. The lists are followed side by side: one reading has the next node of each.
//!
//! What always holds: a pair that leaves here is one that the target had. A list is read twice, and is sure if the second
//! reading has the same nodes with the same values, and no smaller counts: a node that is given another value begins to
//! count again. How many nodes are read is bounded, whatever they say, and none is where the head has an absurd number:
//! memory that is not set to 0 yet leads anywhere, to devices too.

use covtap_link::{LinkError, ReadReport, ReadRequest, TargetAddr};

use super::places::Places;
use super::{CollectError, Counters, MeteredLink, Part};
use crate::locate::ListHead;

/// Programs keep 32 values; threads that race add a few.
const MAX_NODES: usize = 256;

/// The most that all lists together may have.
const MAX_ALL_NODES: usize = 1 << 18;

/// How often a list is followed.
const MAX_TRIES: u32 = 4;

/// How many nodes may be where there is no memory until no more are looked at: each costs readings of its own.
const MAX_REFUSED: u32 = 64;

/// The values of a list with their counts, in its order.
pub type FollowedList = Result<Vec<(u64, u64)>, ListFault>;

/// A list cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListFault {
    /// The head is none: nothing is looked for where it points.
    #[error("it is said to have {said} nodes")]
    NoHead {
        /// What its head says.
        said: u64,
    },
    /// A pointer leads to no node.
    #[error("there is no node at {at:#x}")]
    NoNode {
        /// What the pointer says.
        at: u64,
    },
    /// A pointer leads back.
    #[error("the node at {at:#x} follows itself")]
    Circle {
        /// What the pointer says.
        at: u64,
    },
    /// It is longer than any program makes it, or all lists together are.
    #[error("it is longer than {nodes} nodes")]
    TooLong {
        /// How many were found.
        nodes: usize,
    },
    /// It ends too early.
    #[error("it is said to have {said} nodes and has {found}")]
    TooShort {
        /// What its head says.
        said: u64,
        /// How many were found.
        found: usize,
    },
    /// It changed every time that it was followed.
    #[error("it changed each of {times} times that it was read")]
    Restless {
        /// How often.
        times: u32,
    },
}

/// Bytes to be read on their own: a range without memory fails nothing else.
struct Wanted {
    at: TargetAddr,
    bytes: Vec<u8>,
    is_there: bool,
}

impl Wanted {
    fn new(at: TargetAddr, len_bytes: usize) -> Self {
        Self { at, bytes: vec![0; len_bytes], is_there: true }
    }
}

/// A list on the way through it.
struct Walk<'l> {
    /// Which one of all.
    index: usize,
    list: &'l ListHead,
    head: Vec<u8>,
    nodes: Vec<(TargetAddr, Vec<u8>)>,
    fault: Option<ListFault>,
}

/// Follows all lists, and puts heads into `reading` that are of one moment with the nodes.
pub(super) fn follow(
    lists: &[ListHead],
    (link, places): (&mut MeteredLink, &Places),
    reading: &mut Counters,
    report: &mut ReadReport,
) -> Result<Vec<FollowedList>, CollectError> {
    let mut target = Target { link, places, report, refused: 0 };
    let mut followed = vec![Ok(Vec::new()); lists.len()];
    let all = lists.iter().enumerate();
    let mut walks: Vec<_> =
        all.filter_map(|(index, list)| Walk::begin(index, list, part(list).of(reading.regions()))).collect();
    for _ in 0..MAX_TRIES {
        target.walk(&mut walks)?;
        let again = target.read_again(&walks)?;
        let settled = walks.into_iter().zip(again);
        walks = settled.filter_map(|(walk, again)| walk.settle(again, reading, &mut followed)).collect();
        if walks.is_empty() {
            break;
        }
    }
    for Walk { index, fault, .. } in walks {
        let fault = fault.unwrap_or(ListFault::Restless { times: MAX_TRIES });
        followed.get_mut(index).into_iter().for_each(|list| *list = Err(fault));
    }
    Ok(followed)
}

fn part(list: &ListHead) -> Part {
    Part { region: list.region, offset: list.offset, len_bytes: ListHead::BYTES }
}

impl<'l> Walk<'l> {
    /// `None` if the list is empty.
    fn begin(index: usize, list: &'l ListHead, head: &[u8]) -> Option<Self> {
        let is_empty = list.first(head) == 0 && list.num_nodes(head) == 0;
        (!is_empty).then(|| Self { index, list, head: head.to_vec(), nodes: Vec::new(), fault: None })
    }

    /// Where the list goes on; `None` at its end, or if it cannot be followed.
    fn next(&mut self, budget: &mut usize) -> Option<TargetAddr> {
        let at = match self.nodes.last() {
            Some((_, node)) => self.list.next(node),
            None => self.list.first(&self.head),
        };
        if at == 0 || self.fault.is_some() {
            return None;
        }
        let said = self.list.num_nodes(&self.head);
        if !(1..=MAX_NODES as u64).contains(&said) {
            self.fault = Some(ListFault::NoHead { said });
            return None;
        }
        let address = self.list.node_at(at);
        let is_known = self.nodes.iter().any(|(node, _)| Some(*node) == address);
        self.fault = match address {
            None => Some(ListFault::NoNode { at }),
            Some(_) if is_known => Some(ListFault::Circle { at }),
            Some(_) if self.nodes.len() == MAX_NODES || *budget == 0 => {
                Some(ListFault::TooLong { nodes: self.nodes.len() })
            }
            Some(_) => None,
        };
        *budget = budget.saturating_sub(1);
        address.filter(|_| self.fault.is_none())
    }

    /// Compares with a second reading, of each node and then of the head. `None` if the list is sure.
    fn settle(
        self,
        mut again: Vec<Wanted>,
        reading: &mut Counters,
        followed: &mut [FollowedList],
    ) -> Option<Self> {
        let Self { index, list, head: old, nodes, mut fault } = self;
        let Some(head) = again.pop().filter(|head| head.is_there) else {
            return Some(Self { index, list, head: old, nodes: Vec::new(), fault });
        };
        let (said, found) = (list.num_nodes(&head.bytes), nodes.len());
        if fault.is_none() && said > found as u64 {
            fault = Some(ListFault::TooShort { said, found });
        }
        let is_same = list.first(&old) == list.first(&head.bytes)
            && nodes
                .iter()
                .zip(&again)
                .all(|((_, old), new)| new.is_there && is_later(list, old, &new.bytes));
        if fault.is_some() || !is_same {
            // From what the head says now, all over again.
            return Some(Self { index, list, head: head.bytes, nodes: Vec::new(), fault });
        }
        let pairs = again.iter().map(|node| list.pair(&node.bytes)).collect();
        if let Some(list) = followed.get_mut(index) {
            *list = Ok(pairs);
        }
        part(list).put(reading.regions_mut(), &head.bytes);
        None
    }
}

/// Whether a node has only been counted on.
fn is_later(list: &ListHead, old: &[u8], new: &[u8]) -> bool {
    let ((old_value, old_count), (new_value, new_count)) = (list.pair(old), list.pair(new));
    list.next(old) == list.next(new) && old_value == new_value && old_count <= new_count
}

struct Target<'t> {
    link: &'t mut MeteredLink,
    places: &'t Places,
    report: &'t mut ReadReport,
    refused: u32,
}

impl Target<'_> {
    /// Follows each list to its end.
    fn walk(&mut self, walks: &mut [Walk<'_>]) -> Result<(), CollectError> {
        let mut budget = MAX_ALL_NODES;
        walks.iter_mut().for_each(|walk| walk.fault = None);
        loop {
            let mut wanted = Vec::new();
            let mut on_the_way = Vec::new();
            for walk in walks.iter_mut() {
                if let Some(at) = walk.next(&mut budget) {
                    wanted.push(Wanted::new(at, walk.list.node_bytes()));
                    on_the_way.push(walk);
                }
            }
            if wanted.is_empty() {
                return Ok(());
            }
            self.read(&mut wanted)?;
            for (walk, node) in on_the_way.into_iter().zip(wanted) {
                if node.is_there {
                    walk.nodes.push((node.at, node.bytes));
                } else {
                    walk.fault = Some(ListFault::NoNode { at: node.at.get() });
                }
            }
        }
    }

    /// Reads all nodes of each list and its head at once. The head is last: a program adds to the total before it adds to
    /// a count, and no reader takes counts that come to more than the total.
    fn read_again(&mut self, walks: &[Walk<'_>]) -> Result<Vec<Vec<Wanted>>, CollectError> {
        let mut all = Vec::new();
        for Walk { list, nodes, .. } in walks {
            // A list without a head is one of regions that are not read.
            let head = self.places.address(&part(list)).unwrap_or(TargetAddr::new(0));
            all.extend(nodes.iter().map(|(at, bytes)| Wanted::new(*at, bytes.len())));
            all.push(Wanted::new(head, ListHead::BYTES));
        }
        self.read(&mut all)?;
        let mut all = all.into_iter();
        Ok(walks.iter().map(|walk| all.by_ref().take(1 + walk.nodes.len()).collect()).collect())
    }

    /// Reads in one go what is there.
    fn read(&mut self, wanted: &mut [Wanted]) -> Result<(), CollectError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let requests = wanted.iter_mut().map(|it| ReadRequest { addr: it.at, buf: &mut it.bytes });
        let mut requests: Vec<_> = requests.collect();
        match self.link.read_many(&mut requests) {
            Ok(once) => {
                *self.report += once;
                Ok(())
            }
            Err(LinkError::Refused { .. }) if wanted.len() == 1 || self.refused >= MAX_REFUSED => {
                self.refused = self.refused.saturating_add(1);
                wanted.iter_mut().for_each(|wanted| wanted.is_there = false);
                Ok(())
            }
            Err(LinkError::Refused { .. }) => {
                let (first, second) = wanted.split_at_mut(wanted.len() / 2);
                self.read(first)?;
                self.read(second)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
