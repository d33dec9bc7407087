//! The values of a function's counters.
//!
//! What always holds: expressions that refer to themselves are refused, and each is computed once, so that no
//! mapping takes longer than its length. Values wrap as LLVM's do: a difference of counters that were read at
//! different moments may be below 0, which is shown as a very large count, by LLVM too.
//! Source: `CounterMappingContext::evaluate` in `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`,
//! llvmorg-19.1.7.

use super::mapping::{Counter, Expression, Operator};

/// Values by expression and counter.
pub(super) struct Evaluator<'a> {
    expressions: &'a [Expression],
    /// `None` for a function that has no counts: all its counters are 0.
    counts: Option<&'a [u64]>,
    values: Vec<State>,
}

#[derive(Clone, Copy)]
enum State {
    New,
    Entered,
    Done(u64),
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(expressions: &'a [Expression], counts: Option<&'a [u64]>) -> Self {
        Self { expressions, counts, values: vec![State::New; expressions.len()] }
    }

    /// The counter's value, or why it has none.
    pub(super) fn value(&mut self, counter: Counter) -> Result<u64, String> {
        let mut pending = Vec::new();
        if let Some(index) = self.unknown(counter)? {
            pending.push(index);
        }
        while let Some(index) = pending.last().copied() {
            let Expression { operator, lhs, rhs } = self.expression(index)?;
            self.set(index, State::Entered);
            let sides = [self.unknown(lhs)?, self.unknown(rhs)?];
            if sides == [None, None] {
                let (lhs, rhs) = (self.known(lhs)?, self.known(rhs)?);
                let value = match operator {
                    Operator::Subtract => lhs.wrapping_sub(rhs),
                    Operator::Add => lhs.wrapping_add(rhs),
                };
                self.set(index, State::Done(value));
                pending.pop();
            } else {
                // One at a time: the other side may need the same expressions.
                pending.extend(sides.into_iter().flatten().next());
            }
        }
        self.known(counter)
    }

    /// The expression that the counter is, if its value is not computed yet.
    fn unknown(&self, counter: Counter) -> Result<Option<usize>, String> {
        let Counter::Expression(index) = counter else { return Ok(None) };
        let position = usize::try_from(index).map_err(|error| error.to_string())?;
        match self.values.get(position) {
            Some(State::New) => Ok(Some(position)),
            Some(State::Done(_)) => Ok(None),
            Some(State::Entered) => Err(format!("expression {index} refers to itself")),
            None => Err(format!("expression {index} of {}", self.expressions.len())),
        }
    }

    fn known(&self, counter: Counter) -> Result<u64, String> {
        let get = |index: u32| usize::try_from(index).ok();
        match (counter, self.counts) {
            (Counter::Zero, _) | (Counter::Reference(_), None) => Ok(0),
            (Counter::Reference(index), Some(counts)) => {
                let count = get(index).and_then(|index| counts.get(index)).copied();
                count.ok_or_else(|| format!("counter {index} of {}", counts.len()))
            }
            (Counter::Expression(index), _) => {
                match get(index).and_then(|index| self.values.get(index)).copied() {
                    Some(State::Done(value)) => Ok(value),
                    _ => Err(format!("expression {index} has no value")),
                }
            }
        }
    }

    fn expression(&self, index: usize) -> Result<Expression, String> {
        self.expressions.get(index).copied().ok_or_else(|| format!("expression {index}"))
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some(value) = self.values.get_mut(index) {
            *value = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(operator: Operator, lhs: Counter, rhs: Counter) -> Expression {
        Expression { operator, lhs, rhs }
    }

    #[test]
    fn sums_and_differences_nest() {
        use Counter::{Expression as E, Reference as R};
        let expressions = [expression(Operator::Add, E(1), E(1)), expression(Operator::Subtract, R(0), R(1))];
        assert_eq!(Evaluator::new(&expressions, Some(&[7, 3])).value(E(0)), Ok(8));
        assert_eq!(Evaluator::new(&expressions, Some(&[3, 7])).value(E(1)), Ok(4u64.wrapping_neg()));
        assert_eq!(Evaluator::new(&expressions, None).value(E(0)), Ok(0));
        let missing = Evaluator::new(&expressions, Some(&[7])).value(E(0));
        assert_eq!(missing, Err("counter 1 of 1".into()));
    }

    #[test]
    fn a_circle_is_refused_and_a_long_chain_is_not() {
        use Counter::Expression as E;
        let circle =
            [expression(Operator::Add, E(1), Counter::Zero), expression(Operator::Add, E(0), Counter::Zero)];
        let error = Evaluator::new(&circle, None).value(E(0)).unwrap_err();
        assert_eq!(error, "expression 0 refers to itself");
        // Each doubles the one behind it: computed twice a time, this would not end.
        let chain: Vec<Expression> = (1..=100_000).map(|i| expression(Operator::Add, E(i), E(i))).collect();
        let chain = [chain, vec![expression(Operator::Add, Counter::Reference(0), Counter::Zero)]].concat();
        assert_eq!(Evaluator::new(&chain, Some(&[1])).value(E(100_000 - 63)), Ok(1 << 63));
        assert_eq!(Evaluator::new(&chain, Some(&[1])).value(E(0)), Ok(0));
    }
}
