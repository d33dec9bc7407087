//! Readings of random flow graphs at arbitrary moments.

use proptest::prelude::*;

use super::conservation::Conservation;
use super::solve::Graph;
use super::tests::tangle;
use super::*;

const ON_TREE: u32 = 1;
const FAKE: u32 = 2;
const ENTRY: u32 = 0;
const EXIT: u32 = 1;

/// Arcs such as GCC has: all blocks lie between entry and exit.
fn arcs() -> impl Strategy<Value = Vec<(u32, u32)>> {
    (3u32..10).prop_flat_map(|blocks| {
        let chain = (2..blocks).map(|block| (block, if block + 1 == blocks { EXIT } else { block + 1 }));
        let chain: Vec<_> = std::iter::once((ENTRY, 2)).chain(chain).collect();
        // From any but entry and exit, to any but the entry.
        let further = prop::collection::vec((2..blocks, 1..blocks), 0..12);
        further.prop_map(move |further| {
            let mut all = [chain.as_slice(), &further].concat();
            all.sort_unstable();
            all.dedup();
            all
        })
    })
}

/// A spanning tree of the graph in which exit and entry are one, as GCC has it: the first arcs of `order` that close no circle.
fn with_tree(arcs: &[(u32, u32)], order: &[usize]) -> Vec<(u32, u32, u32)> {
    let mut component: Vec<u32> = (0..16).map(|block| if block == EXIT { ENTRY } else { block }).collect();
    let mut flagged: Vec<_> = arcs.iter().map(|(source, destination)| (*source, *destination, 0)).collect();
    let mut by_order: Vec<usize> = (0..arcs.len()).collect();
    by_order.sort_by_key(|index| order[*index]);
    for index in by_order {
        let (source, destination, flags) = &mut flagged[index];
        let [from, to] = [*source, *destination].map(|block| component[usize::try_from(block).unwrap()]);
        if from != to {
            *flags = ON_TREE;
            component.iter_mut().filter(|of| **of == from).for_each(|of| *of = to);
        }
    }
    flagged
}

/// The counters after each step of a walk that begins again when it ends, and whether it had just ended.
fn walk(arcs: &[(u32, u32, u32)], choices: &[usize]) -> Vec<(Vec<u64>, bool)> {
    let counted: Vec<_> = arcs.iter().filter(|arc| arc.2 & ON_TREE == 0).collect();
    let mut counters = vec![0; counted.len()];
    let mut seen = vec![(counters.clone(), true)];
    let mut block = ENTRY;
    for choice in choices {
        let ways: Vec<_> = arcs.iter().filter(|arc| arc.0 == block).collect();
        let way = ways[choice % ways.len()];
        if let Some(counter) = counted.iter().position(|arc| *arc == way) {
            counters[counter] += 1;
        }
        block = if way.1 == EXIT { ENTRY } else { way.1 };
        seen.push((counters.clone(), block == ENTRY));
    }
    seen
}

fn prepared(arcs: &[(u32, u32, u32)]) -> (Notes, Conservation) {
    let blocks = arcs.iter().map(|arc| arc.0.max(arc.1)).max().unwrap() + 1;
    let notes = tangle(blocks, arcs);
    let flow = Conservation::of(&notes.functions[0]).expect("a tree");
    (notes, flow)
}

/// What solving the graph says against it.
fn certain(function: &Function, counters: &[u64]) -> Option<Incoherence> {
    Graph::solve(function, counters).incoherence.filter(Incoherence::is_certain)
}

proptest! {
    /// Each counter is read at a moment of its own, one after the other.
    #[test]
    fn what_passes_gives_no_negative_count(
        arcs in arcs(),
        order in prop::collection::vec(any::<usize>(), 32),
        choices in prop::collection::vec(any::<usize>(), 0..200),
        mut moments in prop::collection::vec(any::<prop::sample::Index>(), 32),
    ) {
        let arcs = with_tree(&arcs, &order);
        let (notes, flow) = prepared(&arcs);
        let function = &notes.functions[0];
        let seen = walk(&arcs, &choices);
        moments.sort_by_key(|moment| moment.index(seen.len()));
        let num = function.num_counters();
        let torn: Vec<u64> = (0..num).map(|at| seen[moments[at].index(seen.len())].0[at]).collect();
        let fault = flow.fault(torn.iter().copied());
        prop_assert_eq!(fault.is_some(), certain(function, &torn).is_some(), "{:?}", fault);
        for (counters, is_at_rest) in &seen {
            let fault = flow.fault(counters.iter().copied());
            prop_assert_eq!(fault.is_some(), certain(function, counters).is_some());
            // At rest nothing is wrong. On the way one arc may seem to lack what was not counted yet.
            match fault {
                None => {}
                Some(Incoherence::Negative { count, .. }) => prop_assert!(count == -1 && !is_at_rest),
                Some(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    /// Graphs that no compiler makes are solved alike, or not at all.
    #[test]
    fn it_agrees_with_what_solves_the_graph(
        arcs in prop::collection::vec((0u32..10, 1u32..10, 0u32..8), 0..40),
        counters in prop::collection::vec(prop_oneof![0u64..9, 0..u64::MAX >> 1], 40),
    ) {
        let arcs: Vec<_> = arcs.into_iter().filter(|arc| arc.0 != EXIT).collect();
        let notes = tangle(10, &arcs);
        let function = &notes.functions[0];
        let counters = &counters[..function.num_counters()];
        if let Some(flow) = Conservation::of(function) {
            let fault = flow.fault(counters.iter().copied());
            prop_assert_eq!(fault.is_some(), certain(function, counters).is_some(), "{:?}", fault);
        }
    }
}

/// GCC joins an endless loop to the exit by an arc that nothing takes.
#[test]
fn a_function_that_never_returns_is_coherent() {
    let arcs = [(ENTRY, 2, ON_TREE), (2, 3, 0), (3, EXIT, ON_TREE | FAKE), (3, 2, 0)];
    let (_, flow) = prepared(&arcs);
    for round in 0..5 {
        for counters in [[round, round], [round + 1, round]] {
            assert_eq!(flow.fault(counters.into_iter()), None);
        }
    }
    let negative = Incoherence::Negative { source_block: ENTRY, destination: 2, count: -1 };
    assert_eq!(flow.fault([4, 5].into_iter()), Some(negative));
}

/// A thunk goes on in another function: its notes say that it is entered, and not that it is left.
#[test]
fn a_thunk_is_coherent() {
    let (notes, flow) = prepared(&[(ENTRY, 2, 0)]);
    assert_eq!(flow.fault([4].into_iter()), None);
    assert_eq!(certain(&notes.functions[0], &[4]), None);
}

/// A call that returned twice, as `setjmp` does, is nothing that a reading tore.
#[test]
fn calls_that_return_twice_are_coherent() {
    let arcs = [(ENTRY, 2, 0), (2, EXIT, ON_TREE | FAKE), (2, 3, 0), (3, EXIT, ON_TREE)];
    let (_, flow) = prepared(&arcs);
    assert_eq!(flow.fault([1, 2].into_iter()), None);
}

#[test]
fn a_counter_that_gcov_takes_for_negative_is_none() {
    let (_, flow) = prepared(&[(ENTRY, 2, 0), (2, EXIT, ON_TREE)]);
    assert_eq!(flow.fault([u64::MAX >> 1].into_iter()), None);
    assert!(flow.fault([u64::MAX].into_iter()).is_some());
}

/// Without a tree nothing can be told of the counters.
#[test]
fn a_circle_without_counters_is_not_checked() {
    let notes = tangle(4, &[(ENTRY, 2, 0), (2, 3, ON_TREE), (3, 2, ON_TREE), (3, EXIT, 0)]);
    assert!(Conservation::of(&notes.functions[0]).is_none());
}
